#include "poll/poll.h"

#include "base/thread_clock.h"
#include "park/park.h"
#include "poll/decisions.h"
#include "poll/last_poll.h"
#include "preempt/request.h"
#include "preempt/record.h"
#include "watch/turns.h"

// Whether modules were imported in a poll: their number has grown since it began, and the watchdog, if it saw the poll, saw
// it importing. This happens once, usually at a server's start, and is no offence.
static bool
is_importing(const pulse_poll *poll)
{
    pulse_samples *samples = &poll->thread->samples;
    bool is_seen = pulse_samples_most(samples, poll->begun) != NULL;
    return pulse_thread_modules_grew(poll->thread) &&
           (!is_seen || samples->importing_ticks * 2 >= samples->sampled_ticks);
}

// CPU time since the sample, ticks.
static uint64_t
cpu_since_sample(const pulse_poll *poll)
{
    if (poll->cpu_sampled_ns == PULSE_ALL_ON_CPU) {
        return UINT64_MAX;
    }
    uint64_t now = pulse_thread_clock_ns();
    // The clock begins anew in a forked child.
    return now > poll->cpu_sampled_ns ? pulse_clock_from_ns(now - poll->cpu_sampled_ns) : 0;
}

// Whether a poll, with its time off the CPU in which it was blocked, took long by its own doing.
static bool
is_blocking(pulse_thread *thread, const pulse_verdict *verdict, uint64_t own)
{
    pulse_off_cpu_reading now;
    if (!pulse_off_cpu_read(pulse_thread_clock_ns(), &now)) {
        return false;
    }
    uint64_t off_cpu_ns = pulse_clock_to_ns(verdict->own_off_cpu);
    uint64_t blocked_ns = pulse_off_cpu_blocked_ns(&thread->off_cpu, &now, off_cpu_ns, pulse_switch_interval_ns());
    thread->off_cpu = now;
    return (own + pulse_clock_from_ns(blocked_ns)) * 2 >= verdict->own_wall;
}

// The same. The system's answer costs 70 us where its code has left the caches, so there is an allowance for it. Beyond that,
// a poll is expected to be as the last one of its group that was asked for.
static bool
is_expected_blocking(const pulse_governed *governed, pulse_thread *thread, const pulse_verdict *verdict, uint64_t own)
{
    enum { AT_ONCE_NS = 2000000 };
    uint64_t began_ns = pulse_thread_clock_ns(), now_ns = pulse_clock_to_ns(pulse_clock_ticks());
    if (pulse_allowance_wait(&thread->off_cpu_allowance, AT_ONCE_NS, now_ns, began_ns) > 0) {
        return governed->group->is_blocking;
    }
    governed->group->is_blocking = is_blocking(thread, verdict, own);
    uint64_t ended_ns = pulse_thread_clock_ns();
    pulse_allowance_spend(&thread->off_cpu_allowance, pulse_less(ended_ns, began_ns), now_ns, ended_ns);
    return governed->group->is_blocking;
}

// Whether a slow poll took long by its own doing: for most of its time it computed or blocked. Waiting for the GIL or a
// processor, and garbage collection, do not count. A poll that counts by its CPU time need not count by what else it did.
static bool
is_own_doing(const pulse_governed *governed, pulse_thread *thread, const pulse_verdict *verdict, uint64_t gc_ticks)
{
    uint64_t own = pulse_less(verdict->own_wall - verdict->own_off_cpu, gc_ticks);
    return own * 2 >= verdict->own_wall ||
           (!verdict->violation && is_expected_blocking(governed, thread, verdict, own));
}

// Keep the place of a poll past its alarm, for the report and for a stall that this poll may be.
static void
keep_place(pulse_governed *governed, PyObject *stack, const pulse_verdict *verdict, const pulse_poll *poll)
{
    pulse_governor *governor = governed->governor;
    pulse_worst_entry place;
    if (pulse_worst_describe(&place, governor->state, governed->group->name, governed->coro, stack) < 0) {
        pulse_state_contain_error(governor->state);
        return;
    }
    if (governor->turns != NULL) {
        place.off_cpu_ticks = verdict->own_off_cpu;
        pulse_turns_note_poll(governor->turns, &place, verdict->own_wall, pulse_clock_ticks());
    }
    pulse_worst_enter_poll(&governor->worst, &place, verdict, poll->thread->gc_ticks);
}

static void
set_long(pulse_governed *governed, bool is_long, uint64_t own)
{
    if (is_long) {
        governed->flags |= PULSE_GOVERNED_LONG;
        pulse_park_expect(governed, own);
    }
    else {
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_LONG;
    }
}

uint64_t
pulse_poll_judge(pulse_governed *governed, const pulse_poll *poll, uint64_t wall)
{
    pulse_thread *thread = poll->thread;
    pulse_governor *governor = governed->governor;
    uint64_t gc_ticks = thread->gc_ticks;
    pulse_usage usage = {
        .wall = wall,
        .nested = thread->nested_ticks,
        .nested_off_cpu = thread->nested_off_cpu_ticks,
        .gc = gc_ticks,
        .cpu_since_sample = cpu_since_sample(poll),
        .cpu_sampled = poll->begun - poll->cpu_sampled_at,
    };
    // A task is not at fault if it is preempted late.
    uint64_t budget = poll->preempted ? pulse_record_alarm(governed) : pulse_governed_budget(governed);
    pulse_verdict verdict = pulse_totals_judge(&usage, budget, governor->slow_ticks);
    bool bad = verdict.violation || verdict.slow, importing = bad && is_importing(poll), is_long = false;
    verdict.violation = verdict.violation && !importing;
    pulse_totals_book(&governed->totals, &verdict);
    pulse_totals_book(&governor->totals, &verdict);
    pulse_totals_book(&governed->group->totals, &verdict);
    if (bad) {
        PyObject *stack = pulse_samples_most(&thread->samples, poll->begun);
        pulse_exception raised = pulse_exception_take();
        keep_place(governed, stack, &verdict, poll);
        bool is_open = !importing && pulse_decisions_are_open(governed, &verdict, poll->begun + wall);
        // Found out only where the answer matters.
        bool slow = !importing && verdict.slow && (is_open || !verdict.violation) &&
                    is_own_doing(governed, thread, &verdict, gc_ticks);
        is_long = verdict.violation || slow;
        if (is_open) {
            pulse_decisions_note(governed, &verdict, slow, stack, poll->begun + wall);
        }
        pulse_exception_put_back(raised);
    }
    set_long(governed, is_long, verdict.own_wall);
    return verdict.own_off_cpu;
}

void
pulse_poll_untangle(pulse_thread *thread)
{
    thread->tangles++;
    thread->current = NULL;
    thread->nested_ticks = thread->nested_off_cpu_ticks = thread->gc_ticks = 0;
    atomic_store_explicit(&thread->poll_started, 0, memory_order_relaxed);
}

static bool
is_tiered(const pulse_governed *governed)
{
    return governed->flags & PULSE_GOVERNED_TIERED || governed->group->tiered;
}

void
pulse_poll_begin_special(pulse_poll *poll, pulse_thread *thread, pulse_governed *governed)
{
    if (governed->governor->flags & PULSE_GOVERNOR_DUE) {
        pulse_decisions_tell(governed->governor, governed);
    }
    if (is_tiered(governed)) {
        pulse_decisions_before_poll(governed);
    }
    poll->hooked = governed->governor->hooks != NULL && !(governed->flags & PULSE_GOVERNED_CALL);
    if (poll->hooked) {
        pulse_hooks_before_poll(governed);
    }
    pulse_request_prepare(governed, thread);
    poll->suspensions = thread->suspensions;
    pulse_poll_begin(poll, thread, governed);
}

// After a poll that was not plain: a poll past its alarm was judged. First polls are never plain.
static void
note_length(pulse_governed *governed, uint64_t own, bool was_judged, bool preempted)
{
    enum { MOST_FIRSTS = 8 };
    pulse_group *group = governed->group;
    if (preempted || !was_judged) {
        set_long(governed, preempted, own);
    }
    // Calls never wait, so they say nothing of those that may.
    if (pulse_counter_read(&governed->polls) == 1 && !(governed->flags & PULSE_GOVERNED_CALL)) {
        bool is_long = governed->flags & PULSE_GOVERNED_LONG;
        bool is_sure = group->long_firsts == (is_long ? MOST_FIRSTS : -MOST_FIRSTS);
        group->long_firsts += is_sure ? 0 : is_long ? 1 : -1;
    }
}

void
pulse_poll_end_special(const pulse_poll *poll, pulse_governed *governed, pulse_poll_result result, bool bare_yield)
{
    uint64_t budget = pulse_governed_budget(governed), slow = governed->governor->slow_ticks;
    bool is_step = !(governed->flags & PULSE_GOVERNED_CALL);
    uint64_t alarm = poll->preempted ? pulse_record_alarm(governed) : budget < slow ? budget : slow;
    uint64_t violations = pulse_counter_read(&governed->totals.violations);
    // A call that stands in for its task counts in the group of both. All that is left of the task is its decorator.
    bool in_group = !(governed->flags & PULSE_GOVERNED_DELEGATES);
    uint64_t own = pulse_poll_end(poll, governed, alarm, is_step, in_group, bare_yield);
    note_length(governed, own, own > alarm, poll->preempted);
    bool is_forced = poll->preempted && pulse_counter_read(&governed->totals.violations) == violations;
    pulse_record_count(governed, own, is_forced);
    if (!poll->preempted && result == PULSE_POLL_PENDING && poll->thread->suspensions != poll->suspensions) {
        // A call inside it was suspended in its middle, and counted.
        pulse_counter_add(&governed->totals.forced_yields, 1);
    }
    // The error "coroutine already executing" ends nothing.
    if (result != PULSE_POLL_PENDING && poll->outer != governed) {
        pulse_last_poll_finish(governed);
    }
    if (governed->governor->flags & PULSE_GOVERNOR_DUE) {
        // Not computed from its beginning and its own time, because other polls may be nested in it.
        governed->governor->busy_until = pulse_clock_ticks();
    }
    if (governed->parking != NULL || poll->preempted) {
        pulse_park_poll_ended(governed, own, poll->preempted);
    }
    if (is_tiered(governed) && !is_forced) {
        pulse_decisions_after_poll(governed, own, alarm);
    }
    if (poll->hooked && governed->governor->hooks != NULL) {
        pulse_hooks_after_poll(governed, result, own, bare_yield);
    }
}

// The collector's time belongs to no task: accounts show it, but it never counts against a task.
static void
book_collection(pulse_thread *thread, uint64_t ticks)
{
    pulse_governed *governed = thread->current;
    thread->gc_ticks += ticks;
    pulse_counter_add(&governed->totals.gc_ticks, ticks);
    pulse_counter_add(&governed->group->totals.gc_ticks, ticks);
    pulse_counter_add(&governed->governor->totals.gc_ticks, ticks);
}

PyObject *
pulse_poll_gc_callback(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "gc_callback takes a phase and its information, as gc.callbacks passes them");
        return NULL;
    }
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(module), false);
    if (thread != NULL && PyUnicode_CompareWithASCIIString(args[0], "start") == 0) {
        atomic_store_explicit(&thread->gc_started, pulse_clock_ticks(), memory_order_relaxed);
    }
    else if (thread != NULL) {
        uint64_t started = atomic_exchange_explicit(&thread->gc_started, 0, memory_order_relaxed);
        uint64_t ticks = started == 0 ? 0 : pulse_clock_ticks() - started;
        pulse_counter_add(&thread->collected_ticks, ticks);
        if (started != 0 && thread->current != NULL) {
            book_collection(thread, ticks);
        }
    }
    Py_RETURN_NONE;
}
