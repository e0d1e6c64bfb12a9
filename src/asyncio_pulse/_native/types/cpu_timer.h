// CpuTimer: the thread's CPU clock for Python. It subtracts its own cost from what it measures.
#ifndef PULSE_CPU_TIMER_H
#define PULSE_CPU_TIMER_H

#include "model/state.h"

extern PyType_Spec pulse_cpu_timer_spec;

#endif
