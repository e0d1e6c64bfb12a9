// A native thread that looks, a few times a second, whether a poll or a loop is overdue, and captures why.
//
// It takes the GIL only for one that is overdue already.
#ifndef PULSE_WATCHDOG_H
#define PULSE_WATCHDOG_H

#include "model/thread.h"

// Start it, or do nothing if it runs. -1 with an exception on failure. Needs the GIL.
int pulse_watchdog_start(pulse_state *state, uint64_t interval_us);

// Stop and join it, or do nothing. Needs the GIL, and lets go of it while it waits.
void pulse_watchdog_stop(pulse_state *state);

// The forked child has no such thread, even if another thread, or another library's hook, started it just before the fork.
void pulse_watchdog_after_fork(pulse_state *state);

// How often it has woken since it was started.
uint64_t pulse_watchdog_wake_ups(const pulse_state *state);

#endif
