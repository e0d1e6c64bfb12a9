// Starts the core's threads again after a fork, in the parent, in the middle of the poll that forked.
#ifndef PULSE_AFTER_FORK_H
#define PULSE_AFTER_FORK_H

#include "model/state.h"

// Called by the hook that runs after the fork. The threads start when the call that forks is over, because Python counts the
// threads of the process, and warns, just before it returns.
void pulse_after_fork_resume(pulse_state *state);

// The process was forked again, or nothing is measured any more: start no thread.
void pulse_after_fork_forget(pulse_state *state);

#endif
