// The core's own threads.
#ifndef PULSE_OWN_THREAD_H
#define PULSE_OWN_THREAD_H

#include <stdbool.h>

// Start a thread of the core; false if the system refuses. The thread receives no signals that are sent to the process: a
// program may block a signal in all its threads to wait for it, and what one other thread does not block would end the
// process. Needs the GIL.
bool pulse_own_thread_start(void (*run)(void *), void *argument);

#endif
