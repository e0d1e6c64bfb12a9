// Keeps our signals, which come in hundreds, from what event loops are woken by.
//
// Only in the main thread, with the GIL; runs no Python code of the program.
#ifndef PULSE_WAKEUP_FD_H
#define PULSE_WAKEUP_FD_H

#include "base/compat.h"

// Once a process. -1 with an exception on failure.
int pulse_wakeup_fd_init(void);

// In a forked child: a pipe of its own, not its parent's.
void pulse_wakeup_fd_after_fork(void);

// From now on what signals write to wake the event loop goes to a pipe of ours. Nothing is done if it goes there already.
void pulse_wakeup_fd_divert(void);

// Pass on what the program's own signals wrote meanwhile, after a thousand signals at the latest: the pipe is finite.
void pulse_wakeup_fd_pass_on(int signal_number);

// The end of it, with all that is to be passed on. Nothing is done if it was not diverted, or so near the recursion limit that
// nothing can be called: then it has to be called again.
void pulse_wakeup_fd_restore(int signal_number);

#endif
