#include "watch/waits.h"

#include "base/diagnosis.h"
#include "watch/overdue.h"

// Blocked time is summed up over this many stall thresholds, as is the time of a loop that spins.
enum { WINDOW_STALLS = 10 };

// The wait that goes on in the loop's selector, identified by the end of the wait before; 0 if the loop is busy, or if its
// selector cannot be seen.
static uint64_t
wait_now(pulse_turns *turns)
{
    return pulse_turns_key(turns) == 0 ? atomic_load(&turns->last_waited) : 0;
}

static uint64_t
later(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

// Whether a wait has lasted long enough to be looked at.
static bool
is_long(pulse_turns *turns, uint64_t wait)
{
    return wait != 0 && pulse_overdue_age(wait) > atomic_load(&turns->stall_after_ticks) / 4;
}

// The loop is busy, or has just begun to wait.
static void
forget_wait(pulse_turns *turns)
{
    atomic_store(&turns->gil_since, 0);
    turns->look.wait = 0;
    turns->look.is_new = false;
}

static void
look_for_gil(pulse_turns *turns, const pulse_os_thread *thread, uint64_t wait, uint64_t now_ns,
             uint64_t switch_interval_ns)
{
    pulse_turns_look *last = &turns->look;
    uint64_t window_ns = pulse_less(now_ns, last->taken_ns), now = pulse_clock_ticks();
    bool is_same = wait == last->wait;
    if (!is_same) {
        // The loop came back at `wait`, and has waited since a little later.
        last->gil_since = wait;
        atomic_store(&turns->gil_since, 0);
    }
    else if (!pulse_diagnosis_waited_for_gil(&last->thread, thread, window_ns, switch_interval_ns)) {
        last->gil_since = now;
        atomic_store(&turns->gil_since, 0);
    }
    else if (atomic_load(&turns->gil_since) == 0) {
        uint64_t awake_ns = pulse_less(thread->runs, last->thread.runs) * switch_interval_ns;
        bool was_idle = last->gil_since != wait;
        atomic_store(&turns->gil_since,
                     was_idle ? later(last->gil_since, now - pulse_clock_from_ns(awake_ns)) : last->gil_since);
    }
    last->is_new = !is_same;
    last->wait = wait;
    last->thread = *thread;
    last->taken_ns = now_ns;
}

static void
begin_window(pulse_turns *turns, const pulse_os_thread *thread, uint64_t now_ns)
{
    turns->window = (pulse_turns_window){
        .thread = *thread,
        .began_ns = now_ns,
        .busy_ticks = pulse_counter_read(&turns->busy_ticks) - pulse_counter_read(&turns->stalled_ticks),
    };
}

static bool
is_window_over(pulse_turns *turns, const pulse_thread *thread, uint64_t now_ns)
{
    uint64_t limit_ns = pulse_clock_to_ns(atomic_load(&turns->stall_after_ticks)) * WINDOW_STALLS;
    return turns->window.thread.thread != thread->os_thread || pulse_less(now_ns, turns->window.began_ns) >= limit_ns;
}

static void
look_for_blocking(pulse_turns *turns, const pulse_os_thread *thread, uint64_t now_ns)
{
    pulse_turns_window *window = &turns->window;
    uint64_t passed_ns = pulse_less(now_ns, window->began_ns);
    if (window->thread.thread != thread->thread) {
        begin_window(turns, thread, now_ns);
        return;
    }
    // Stalls are reported on their own, so only turns that were none count.
    uint64_t busy = pulse_counter_read(&turns->busy_ticks) - pulse_counter_read(&turns->stalled_ticks);
    uint64_t used_ns =
        pulse_less(thread->run_ns, window->thread.run_ns) + pulse_less(thread->queued_ns, window->thread.queued_ns);
    uint64_t blocked_ns = pulse_less(pulse_clock_to_ns(pulse_less(busy, window->busy_ticks)), used_ns);
    bool is_blocked = blocked_ns * 2 > passed_ns;
    atomic_store(&turns->blocked_within_ticks, is_blocked ? pulse_clock_from_ns(passed_ns) : 0);
    turns->blocked_ticks = pulse_clock_from_ns(blocked_ns);
    begin_window(turns, thread, now_ns);
}

static void
forget_all(pulse_turns *turns)
{
    turns->look = (pulse_turns_look){0};
    turns->window = (pulse_turns_window){0};
}

void
pulse_waits_look(pulse_turns *turns, uint64_t now_ns, uint64_t switch_interval_ns)
{
    const pulse_thread *thread = atomic_load(&turns->thread);
    if (thread == NULL || atomic_load(&turns->stall_after_ticks) == UINT64_MAX) {
        forget_all(turns);
        return;
    }
    uint64_t wait = wait_now(turns);
    bool waits_long = is_long(turns, wait), window_is_over = is_window_over(turns, thread, now_ns);
    if (!waits_long) {
        forget_wait(turns);
    }
    // A reading costs up to 50 us where the system's code has left the caches.
    pulse_os_thread now;
    if (!waits_long && !window_is_over) {
        return;
    }
    if (!pulse_os_thread_read(thread->os_thread, &now)) {
        forget_all(turns);
        return;
    }
    if (waits_long) {
        look_for_gil(turns, &now, wait, now_ns, switch_interval_ns);
    }
    if (window_is_over) {
        look_for_blocking(turns, &now, now_ns);
    }
}

bool
pulse_waits_is_overdue(pulse_turns *turns)
{
    uint64_t since = atomic_load(&turns->gil_since);
    return wait_now(turns) == turns->look.wait && turns->look.wait != turns->look.told &&
           pulse_overdue_age(since) > atomic_load(&turns->stall_after_ticks);
}

bool
pulse_waits_is_new(const pulse_turns *turns)
{
    return turns->look.is_new;
}
