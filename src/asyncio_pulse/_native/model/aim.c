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
    // Only the thread that sets it to 0 sends the wake-up.
    if (pulse_the_aim.alarm != NULL && atomic_exchange(&pulse_the_aim.sleeps_until, 0) != 0) {
        pulse_alarm_wake(pulse_the_aim.alarm);
    }
}
