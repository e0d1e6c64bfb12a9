// The credit-based discipline: a priority keeps its share, however many flows it has. No Python.h.
#ifndef PULSE_CREDIT_H
#define PULSE_CREDIT_H

#include "queue/discipline.h"

extern const pulse_discipline pulse_credit_based;

#endif
