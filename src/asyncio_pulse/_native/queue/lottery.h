// The lottery: a draw among the waiting flows, weighted by their tickets. No Python.h.
#ifndef PULSE_LOTTERY_H
#define PULSE_LOTTERY_H

#include "queue/discipline.h"

extern const pulse_discipline pulse_lottery;

#endif
