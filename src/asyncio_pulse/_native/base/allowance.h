// What something may cost beside the work that it serves: half a per cent of that work's CPU time, everything included.
// Telling and looking have one each, so that together they take a per cent.
//
// No Python.h, and no clock of its own: tested with made-up times. Nanoseconds. All zero is one that was never used.
#ifndef PULSE_ALLOWANCE_H
#define PULSE_ALLOWANCE_H

#include "base/portable.h"

typedef struct {
    // Spent, and not earned yet.
    uint64_t owed;
    // The CPU time of the work when that was last counted.
    uint64_t cpu;
    // By the wall clock: work that hardly computes does not wait for ever.
    uint64_t latest;
} pulse_allowance;

// So much was spent until now, when the work has used so much CPU time.
void pulse_allowance_spend(pulse_allowance *allowance, uint64_t spent, uint64_t now, uint64_t cpu);

// How long until something may be spent again, if the work has a processor to itself; 0 if it may be. So much may be owed.
uint64_t pulse_allowance_wait(const pulse_allowance *allowance, uint64_t credit, uint64_t now, uint64_t cpu);

#endif
