// The credit-based discipline: the share of a priority, whatever number of flows it has. No Python.h.
#ifndef PULSE_CREDIT_H
#define PULSE_CREDIT_H

#include "queue/discipline.h"

extern const pulse_discipline pulse_credit_based;

#endif
