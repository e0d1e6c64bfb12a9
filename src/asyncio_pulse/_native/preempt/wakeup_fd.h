// Keeps our signals, which come in hundreds, away from the descriptor that wakes event loops.
//
// Only in the main thread, with the GIL; runs no Python code of the program.
#ifndef PULSE_WAKEUP_FD_H
#define PULSE_WAKEUP_FD_H

#include "base/compat.h"

// Once a process. -1 with an exception on failure.
int pulse_wakeup_fd_init(void);

// In a forked child: a pipe of its own, not its parent's.
void pulse_wakeup_fd_after_fork(void);

// From now on, what signals write to wake the event loop goes to our own pipe. Does nothing if it already goes there.
void pulse_wakeup_fd_divert(void);

// Pass on what the program's own signals wrote meanwhile. Call it at least every thousand signals, because the pipe is
// finite.
void pulse_wakeup_fd_pass_on(int signal_number);

// End the diversion, and pass on the rest. Does nothing if nothing was diverted. So near the recursion limit that nothing
// can be called, it fails and has to be called again.
void pulse_wakeup_fd_restore(int signal_number);

#endif
