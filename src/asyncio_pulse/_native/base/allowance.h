// Limits what an activity may cost beside the work that it serves: half a per cent of that work's CPU time, everything
// included. Three activities have one allowance each: reporting to the decisions, looking at stacks, and asking the system
// why polls were off the CPU.
//
// No Python.h, and no clock of its own: tested with made-up times. Times are in nanoseconds. An allowance of all zeros was
// never used.
#ifndef PULSE_ALLOWANCE_H
#define PULSE_ALLOWANCE_H

#include "base/portable.h"

typedef struct {
    // Spent, but not yet earned.
    uint64_t owed;
    // CPU time of the work when `owed` was last counted.
    uint64_t cpu;
    // Wall-clock time from which spending is allowed whatever is owed. Otherwise work that hardly computes would never earn
    // it.
    uint64_t latest;
} pulse_allowance;

// Record that `spent` was spent by the time `now`, when the work has used the CPU time `cpu`.
void pulse_allowance_spend(pulse_allowance *allowance, uint64_t spent, uint64_t now, uint64_t cpu);

// Return how long to wait before spending again, if the work has a processor to itself; 0 if spending is allowed now. Up to
// `credit` may be owed.
uint64_t pulse_allowance_wait(const pulse_allowance *allowance, uint64_t credit, uint64_t now, uint64_t cpu);

#endif
