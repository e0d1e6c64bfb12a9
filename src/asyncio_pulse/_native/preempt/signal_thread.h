// A native thread that sends a signal to the main thread when the armed poll that runs there has used its budget.
//
// It never takes the GIL. It sleeps until the deadline of the poll that it saw last, looks again, and sleeps for good when
// nothing armed has run for a while; then the next armed poll wakes it, as does one whose deadline comes sooner. There is one for the process, because signals
// belong to the process and their handlers run in the main thread only.
#ifndef PULSE_SIGNAL_THREAD_H
#define PULSE_SIGNAL_THREAD_H

#include "base/clock.h"
#include "base/compat.h"

typedef struct {
    // When the running armed poll is to be interrupted, ticks; 0 while none runs. It names the request, too.
    _Atomic(uint64_t) deadline;
    // Until then nobody looks at `deadline`, unless somebody wakes the thread; 0 while it is awake.
    _Atomic(uint64_t) sleeps_until;
} pulse_aim;

extern pulse_aim pulse_the_aim;

// Start it in the main thread, or do nothing if it runs. -1 with an exception on failure. Needs the GIL.
int pulse_signal_thread_start(int signal_number);

// Stop and join it: no signal comes after this. Needs the GIL, and lets go of it while it waits.
void pulse_signal_thread_stop(void);

// The forked child has no such thread, even if another library's hook has started it just before the fork.
void pulse_signal_thread_after_fork(void);

bool pulse_signal_thread_is_running(void);

// How often it woke.
uint64_t pulse_signal_thread_wake_ups(void);

void pulse_signal_thread_wake(void);

// An armed poll begins, or asks again: aim at it.
PULSE_INLINE void
pulse_aim_at(uint64_t deadline)
{
    atomic_store(&pulse_the_aim.deadline, deadline);
    if (PULSE_UNLIKELY(deadline < atomic_load(&pulse_the_aim.sleeps_until))) {
        pulse_signal_thread_wake();
    }
}

#endif
