// Deficit round robin: each flow in turn, as far as its quantum goes. No Python.h.
#ifndef PULSE_DEFICIT_H
#define PULSE_DEFICIT_H

#include "queue/discipline.h"

extern const pulse_discipline pulse_deficit_round_robin;

#endif
