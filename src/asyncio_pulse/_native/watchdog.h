// A native thread that looks, a few times a second, whether a poll has been running too long, and keeps its stack.
//
// It takes the GIL only for a poll that is too long already. Python code never runs on it.
#ifndef PULSE_WATCHDOG_H
#define PULSE_WATCHDOG_H

#include "thread.h"

// Start it, or do nothing if it runs. -1 with an exception on failure. Needs the GIL.
int pulse_watchdog_start(pulse_state *state, uint64_t interval_us);

// Stop and join it, or do nothing. Needs the GIL, and lets go of it while it waits.
void pulse_watchdog_stop(pulse_state *state);

// In a forked child: the thread does not exist any more. Returns whether it had been running.
bool pulse_watchdog_after_fork(pulse_state *state);

#endif
