#include "watch/overdue.h"

uint64_t
pulse_overdue_age(uint64_t since)
{
    uint64_t now = pulse_clock_ticks();
    return since != 0 && now > since ? now - since : 0;
}

bool
pulse_overdue_has_poll(pulse_thread *thread)
{
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    bool is_seen = started == atomic_load_explicit(&thread->samples.poll, memory_order_relaxed);
    bool is_due = !is_seen || pulse_overdue_age(atomic_load_explicit(&thread->samples.due, memory_order_relaxed)) > 0;
    return is_due &&
           pulse_overdue_age(started) > atomic_load_explicit(&thread->sample_after_ticks, memory_order_relaxed);
}

_Atomic(uint64_t) *
pulse_overdue_field(pulse_turns *turns)
{
    uint64_t limit = atomic_load(&turns->stall_after_ticks);
    _Atomic(uint64_t) *fields[] = {&turns->busy_since, &turns->beat_due};
    for (int i = 0; i < 2; i++) {
        if (pulse_overdue_age(atomic_load(fields[i])) > limit) {
            return fields[i];
        }
    }
    return NULL;
}

bool
pulse_overdue_is_captured(pulse_turns *turns, _Atomic(uint64_t) *field)
{
    return atomic_load(field) == atomic_load(&turns->captured) && !turns->is_vague;
}
