// Deficit round robin: each flow in turn, until its quantum is used up. No Python.h.
#ifndef PULSE_DEFICIT_H
#define PULSE_DEFICIT_H

#include "queue/discipline.h"

extern const pulse_discipline pulse_deficit_round_robin;

#endif
