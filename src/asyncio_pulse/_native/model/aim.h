// When the poll that runs in the main thread is to be asked to give way. Polls write it, the signal thread reads it.
//
// A poll with a deadline of its own publishes it here. All other polls are due some time after the beginning of their task's
// step, which the thread's slot tells, so they publish nothing. No GIL is needed.
#ifndef PULSE_AIM_H
#define PULSE_AIM_H

#include "base/alarm.h"
#include "model/thread.h"

// The deadline of a poll that is never asked.
#define PULSE_AIM_NEVER UINT64_MAX

enum { PULSE_AIM_ALERT_LOOKS = 100 };

enum { PULSE_NOT_ASKED, PULSE_ASKED_UNHEARD, PULSE_ASKED_HEARD };

typedef struct {
    // The deadline that the running poll published, ticks; 0 for none.
    _Atomic(uint64_t) deadline;
    // The slot of the main thread, and how long a step may last there, ticks; NULL and 0 if no step is due by itself.
    _Atomic(pulse_thread *) thread;
    _Atomic(uint64_t) step_ticks;
    // The step that was asked in vain, and when it is asked next.
    _Atomic(uint64_t) put_off_step;
    _Atomic(uint64_t) put_off_until;
    // Whether a step was asked that has not ended, and whether our handler has heard that.
    _Atomic(int) asked;
    // A step was suspended lately: for so many looks more, the signal thread must not be late.
    _Atomic(int) alert_for;
    // The signal thread looks at nothing before this time unless it is woken; 0 while it is awake.
    _Atomic(uint64_t) sleeps_until;
    // What ends that sleep; NULL while there is no signal thread.
    pulse_alarm *alarm;
} pulse_aim;

extern pulse_aim pulse_the_aim;

// When the running poll is due, ticks; 0 if none is.
uint64_t pulse_aim_due(void);

void pulse_aim_wake(void);

// A poll begins that has a deadline, or it is asked again: publish that.
PULSE_INLINE void
pulse_aim_at(uint64_t deadline)
{
    atomic_store(&pulse_the_aim.deadline, deadline);
    if (PULSE_UNLIKELY(deadline < atomic_load(&pulse_the_aim.sleeps_until))) {
        pulse_aim_wake();
    }
}

#endif
