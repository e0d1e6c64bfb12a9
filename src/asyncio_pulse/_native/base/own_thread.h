// The core's own threads.
#ifndef PULSE_OWN_THREAD_H
#define PULSE_OWN_THREAD_H

#include <stdbool.h>
#include <stdint.h>

// Start a thread of the core; false if the system refuses. Needs the GIL.
//
// The thread receives no signals that are sent to the process. A program may block a signal in all its threads to wait for
// it; one other thread that did not block it would let the signal end the process.
bool pulse_own_thread_start(void (*run)(void *), void *argument);

// Wait until a thread of the core that has done its work no longer counts as a thread of the process. `thread` is its
// pulse_os_thread_self(). Otherwise a fork soon afterwards warns of a process with several threads. Does nothing where
// threads have no number. Call it without the GIL.
void pulse_own_thread_wait_until_gone(uint64_t thread);

#endif
