// The hot path: what happens at the beginning and at the end of every poll.
//
// Inlined into its few callers. Nothing here may call Python code, raise, or touch an exception that is set.
#ifndef PULSE_POLL_H
#define PULSE_POLL_H

#include "poll/hooks.h"

// Fields of the enclosing poll, kept on the C stack of this one and read only when this one ends.
typedef struct {
    pulse_thread *thread;
    uint64_t begun;
    uint64_t outer_started;
    struct pulse_governed *outer;
    uint64_t tangles;
    uint64_t outer_nested_ticks;
    uint64_t outer_nested_off_cpu_ticks;
    uint64_t outer_gc_ticks;
    uint64_t cpu_sampled_at;
    uint64_t cpu_sampled_ns;
    // Hooks were called at its beginning.
    bool hooked;
    // It was suspended in the middle of its code.
    bool preempted;
    // How often polls had been suspended in this thread, if it is a special poll.
    uint64_t suspensions;
} pulse_poll;

// Value of `cpu_sampled_ns` for a poll whose length the caller supplied: all of it counts as CPU time.
#define PULSE_ALL_ON_CPU UINT64_MAX

// A poll past its alarm: read the CPU clock, judge, book, remember the place. Returns the poll's own time off the CPU.
uint64_t pulse_poll_judge(pulse_governed *governed, const pulse_poll *poll, uint64_t wall);

PULSE_INLINE void
pulse_poll_begin(pulse_poll *poll, pulse_thread *thread, pulse_governed *governed)
{
    poll->thread = thread;
    poll->outer_started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    poll->outer = thread->current;
    poll->tangles = thread->tangles;
    poll->outer_nested_ticks = thread->nested_ticks;
    poll->outer_nested_off_cpu_ticks = thread->nested_off_cpu_ticks;
    poll->outer_gc_ticks = thread->gc_ticks;
    thread->nested_ticks = thread->nested_off_cpu_ticks = thread->gc_ticks = 0;
    thread->current = governed;
    PULSE_PREFETCH(&governed->group->totals);
    uint64_t now = pulse_clock_ticks();
    if (PULSE_UNLIKELY(now - thread->cpu_sampled_at > governed->governor->cpu_sample_interval_ticks)) {
        now = pulse_thread_sample_cpu(thread);
        if (poll->outer == NULL) {
            // Modules that were imported earlier, outside of polls, do not count in favour of this poll.
            pulse_thread_modules_grew(thread);
        }
    }
    poll->cpu_sampled_at = thread->cpu_sampled_at;
    poll->cpu_sampled_ns = thread->cpu_sampled_ns;
    poll->begun = now;
    poll->preempted = false;
    // A step of a loop that runs inside another loop's step is a step of its own.
    if (PULSE_LIKELY(poll->outer == NULL) || poll->outer->governor != governed->governor) {
        atomic_store_explicit(&thread->step_started, now, memory_order_relaxed);
    }
    atomic_store_explicit(&thread->poll_started, now, memory_order_relaxed);
}

// Other greenlets may begin and end polls while this poll is suspended in its middle. Then the times of the polls cannot be
// told apart, and the `outer` that a poll remembers may be gone. All polls under way in this thread are given up: they go
// on uncounted.
void pulse_poll_untangle(pulse_thread *thread);

// Returns the poll's own time, in ticks. `is_step` and `in_group` are constants on the hot path. A governed call inside a
// task's step is not a step of its own. If a call stands in for its task, only the call is counted in the group of both.
PULSE_INLINE uint64_t
pulse_poll_end(const pulse_poll *poll, pulse_governed *governed, uint64_t alarm_ticks, bool is_step, bool in_group,
               bool bare_yield)
{
    pulse_thread *thread = poll->thread;
    pulse_governor *governor = governed->governor;
    pulse_group *group = governed->group;
    if (PULSE_UNLIKELY(thread->current != governed || thread->tangles != poll->tangles)) {
        pulse_poll_untangle(thread);
        return 0;
    }
    uint64_t now = pulse_clock_ticks();
    // A counter that was set back (the machine was suspended or migrated) must not count as a very long poll.
    uint64_t wall = now > poll->begun ? now - poll->begun : 0;
    uint64_t own = wall > thread->nested_ticks ? wall - thread->nested_ticks : 0;
    uint64_t own_off_cpu = 0;
    if (PULSE_UNLIKELY(own > alarm_ticks)) {
        own_off_cpu = pulse_poll_judge(governed, poll, wall);
    }
    pulse_counter_add(&governed->polls, 1);
    pulse_counter_add(&governed->totals.wall_ticks, own);
    pulse_counter_add(&governor->totals.wall_ticks, own);
    pulse_counter_add(&group->totals.wall_ticks, own);
    if (is_step) {
        pulse_counter_add(&governor->polls, 1);
        pulse_counter_add(&governor->voluntary_yields, bare_yield);
    }
    if (in_group) {
        if (own > pulse_counter_read(&group->max_ticks)) {
            pulse_counter_set(&group->max_ticks, own);
        }
        pulse_histogram_record(&group->histogram, own >> pulse_the_clock.histogram_shift);
    }
    uint64_t nested_off_cpu = thread->nested_off_cpu_ticks + own_off_cpu;
    thread->current = poll->outer;
    thread->nested_ticks = poll->outer_nested_ticks + wall;
    thread->nested_off_cpu_ticks = poll->outer_nested_off_cpu_ticks + nested_off_cpu;
    thread->gc_ticks = poll->outer_gc_ticks;
    atomic_store_explicit(&thread->poll_started, poll->outer_started, memory_order_relaxed);
    return own;
}

// The same for polls that are not plain: governed calls, own budgets, hooks.
void pulse_poll_begin_special(pulse_poll *poll, pulse_thread *thread, pulse_governed *governed);
void pulse_poll_end_special(const pulse_poll *poll, pulse_governed *governed, pulse_poll_result result,
                            bool bare_yield);

// gc.callbacks entry: takes the collector's time out of the running poll.
PyObject *pulse_poll_gc_callback(PyObject *module, PyObject *const *args, Py_ssize_t count);

#endif
