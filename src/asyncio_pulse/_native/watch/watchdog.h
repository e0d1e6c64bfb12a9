// A native thread that checks, a few times a second, whether a poll or a loop is overdue, and captures why.
//
// It takes the GIL only when something is overdue already.
#ifndef PULSE_WATCHDOG_H
#define PULSE_WATCHDOG_H

#include "model/thread.h"

// Start the thread, or do nothing if it runs. -1 with an exception on failure. Needs the GIL.
int pulse_watchdog_start(pulse_state *state, uint64_t interval_us);

// Stop and join the thread, or do nothing if it does not run. Needs the GIL, and releases it during the join.
void pulse_watchdog_stop(pulse_state *state);

// Forget the thread in a forked child, which does not have it. Another thread, or a hook of another library, may have
// started it just before the fork.
void pulse_watchdog_after_fork(pulse_state *state);

// How often the thread has woken since it was started.
uint64_t pulse_watchdog_wake_ups(const pulse_state *state);

#endif
