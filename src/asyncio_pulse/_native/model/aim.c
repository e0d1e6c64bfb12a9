#include "model/aim.h"

pulse_aim pulse_the_aim;

uint64_t
pulse_aim_due(void)
{
    uint64_t deadline = atomic_load(&pulse_the_aim.deadline), step_ticks = atomic_load(&pulse_the_aim.step_ticks);
    if (deadline != 0) {
        return deadline == PULSE_AIM_NEVER ? 0 : deadline;
    }
    pulse_thread *thread = atomic_load(&pulse_the_aim.thread);
    if (thread == NULL || step_ticks == 0 || atomic_load_explicit(&thread->poll_started, memory_order_relaxed) == 0) {
        return 0;
    }
    uint64_t step = atomic_load_explicit(&thread->step_started, memory_order_relaxed), due = step + step_ticks;
    uint64_t until = atomic_load(&pulse_the_aim.put_off_step) == step ? atomic_load(&pulse_the_aim.put_off_until) : 0;
    return until > due ? until : due;
}

void
pulse_aim_wake(void)
{
    // The thread that sets it to 0 releases the lock, once: releasing a free lock is not allowed everywhere.
    if (pulse_the_aim.wake != NULL && atomic_exchange(&pulse_the_aim.sleeps_until, 0) != 0) {
        PyThread_release_lock(pulse_the_aim.wake);
    }
}

void
pulse_aim_notice_step(const pulse_thread *thread)
{
    if (PULSE_UNLIKELY(atomic_load(&pulse_the_aim.sleeps_until) == PULSE_AIM_NEVER) &&
        atomic_load(&pulse_the_aim.thread) == thread && atomic_load(&pulse_the_aim.step_ticks) != 0) {
        pulse_aim_wake();
    }
}
