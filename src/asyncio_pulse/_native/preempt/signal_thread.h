// A native thread that sends a signal to the main thread when the poll that runs there has used its budget.
//
// It never takes the GIL. It sleeps until the deadline of the last poll that it saw, and looks again. When no poll had
// a deadline for a while, it sleeps for good. The next such poll wakes it, as does a poll with an earlier deadline. The
// process has one such thread, because signals belong to the process and their handlers run in the main thread only.
#ifndef PULSE_SIGNAL_THREAD_H
#define PULSE_SIGNAL_THREAD_H

#include "base/clock.h"
#include "base/compat.h"

typedef struct {
    // When to interrupt the running poll, in ticks; 0 if it is not to be interrupted. It also identifies the request.
    _Atomic(uint64_t) deadline;
    // The thread does not read `deadline` before this time unless it is woken; 0 while it is awake.
    _Atomic(uint64_t) sleeps_until;
} pulse_aim;

extern pulse_aim pulse_the_aim;

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

void pulse_signal_thread_wake(void);

// A poll begins that may be preempted, or it is asked again: aim at it.
PULSE_INLINE void
pulse_aim_at(uint64_t deadline)
{
    atomic_store(&pulse_the_aim.deadline, deadline);
    if (PULSE_UNLIKELY(deadline < atomic_load(&pulse_the_aim.sleeps_until))) {
        pulse_signal_thread_wake();
    }
}

#endif
