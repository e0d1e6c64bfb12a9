#include "poll.h"

#include "park.h"
#include "preemption.h"
#include "tiers.h"

// The stack that the watchdog saw in this very poll, or NULL; borrowed.
static PyObject *
take_sample(const pulse_poll *poll)
{
    return poll->thread->sample_poll == poll->begun ? poll->thread->sample : NULL;
}

// CPU time since the sample, ticks.
static uint64_t
cpu_since_sample(const pulse_poll *poll)
{
    if (poll->cpu_sampled_ns == PULSE_ALL_ON_CPU) {
        return UINT64_MAX;
    }
    uint64_t now = pulse_clock_thread_cpu_ns();
    // The clock begins anew in a forked child.
    return now > poll->cpu_sampled_ns ? pulse_clock_from_ns(now - poll->cpu_sampled_ns) : 0;
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
    // That it was left late is not the task's fault.
    uint64_t budget = poll->preempted ? pulse_preemption_alarm(governed) : pulse_governed_budget(governed);
    pulse_verdict verdict = pulse_account_judge(&usage, budget, governor->slow_ticks);
    pulse_account_book(&governed->account, &verdict);
    pulse_account_book(&governor->account, &verdict);
    pulse_account_book(&governed->group->account, &verdict);
    if (verdict.violation || verdict.slow) {
        pulse_exception raised = pulse_exception_take();
        if (pulse_worst_record(&governor->worst, governor->state, governed->group->name, governed->coro,
                               take_sample(poll), &verdict, gc_ticks) < 0) {
            pulse_state_contain_error(governor->state);
        }
        pulse_exception_put_back(raised);
        pulse_tiers_note(governed, &verdict, take_sample(poll), poll->begun + wall);
    }
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
        pulse_tiers_tell(governed->governor, governed);
    }
    if (is_tiered(governed)) {
        pulse_tiers_before_poll(governed);
    }
    poll->hooked = governed->governor->hooks != NULL && !(governed->flags & PULSE_GOVERNED_CALL);
    if (poll->hooked) {
        pulse_hooks_before_poll(governed);
    }
    pulse_preemption_prepare(governed, thread);
    pulse_poll_begin(poll, thread, governed);
}

void
pulse_poll_end_special(const pulse_poll *poll, pulse_governed *governed, pulse_poll_result result, bool bare_yield)
{
    uint64_t budget = pulse_governed_budget(governed), slow = governed->governor->slow_ticks;
    bool is_step = !(governed->flags & PULSE_GOVERNED_CALL);
    uint64_t alarm = poll->preempted ? pulse_preemption_alarm(governed) : budget < slow ? budget : slow;
    uint64_t violations = pulse_counter_read(&governed->account.violations);
    uint64_t own = pulse_poll_end(poll, governed, alarm, is_step, bare_yield);
    bool is_forced = poll->preempted && pulse_counter_read(&governed->account.violations) == violations;
    pulse_preemption_count(governed, own, is_forced);
    // "coroutine already executing" ends nothing.
    if (result != PULSE_POLL_PENDING && poll->outer != governed) {
        pulse_governed_finish(governed);
    }
    if (governed->governor->flags & PULSE_GOVERNOR_DUE) {
        // Not from its begin and its own time: it may have nested others.
        governed->governor->busy_until = pulse_clock_ticks();
    }
    if (governed->parking != NULL || poll->preempted) {
        pulse_park_poll_ended(governed, own, poll->preempted);
    }
    if (is_tiered(governed) && !is_forced) {
        pulse_tiers_after_poll(governed, own, alarm);
    }
    if (poll->hooked && governed->governor->hooks != NULL) {
        pulse_hooks_after_poll(governed, result, own, bare_yield);
    }
}
