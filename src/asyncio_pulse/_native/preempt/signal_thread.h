// A native thread that sends a signal to the main thread when the poll that runs there has used its budget.
//
// It never takes the GIL. It sleeps until the poll that it saw last is due (model/aim.h), and looks again. While the main
// thread waits, it sleeps. A poll with a deadline of its own wakes it. The process has one such thread, because signals belong
// to the process and their handlers run in the main thread only.
#ifndef PULSE_SIGNAL_THREAD_H
#define PULSE_SIGNAL_THREAD_H

#include "model/aim.h"

// Start it in the main thread, or do nothing if it runs. -1 with an exception on failure. Needs the GIL.
int pulse_signal_thread_start(int signal_number);

// Stop and join it: no signal comes after this. Needs the GIL, and releases it during the join.
void pulse_signal_thread_stop(void);

// Forget the thread in a forked child, which does not have it. A hook of another library may have started it just before
// the fork.
void pulse_signal_thread_after_fork(void);

bool pulse_signal_thread_is_running(void);

// How often it woke.
uint64_t pulse_signal_thread_wake_ups(void);

#endif
