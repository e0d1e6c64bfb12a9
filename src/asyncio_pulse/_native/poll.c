#include "poll.h"

// The stack that the watchdog saw in this very poll, or NULL; borrowed.
static PyObject *
take_sample(const pulse_poll *poll)
{
    return poll->thread->sample_poll == poll->begun ? poll->thread->sample : NULL;
}

uint64_t
pulse_poll_judge(pulse_governed *governed, const pulse_poll *poll, uint64_t wall)
{
    pulse_thread *thread = poll->thread;
    pulse_governor *governor = governed->governor;
    uint64_t cpu_now = pulse_clock_thread_cpu_ns();
    uint64_t gc_ticks = thread->gc_ticks;
    pulse_usage usage = {
        .wall = wall,
        .nested = thread->nested_ticks,
        .nested_off_cpu = thread->nested_off_cpu_ticks,
        .gc = gc_ticks,
        // The clock begins anew in a forked child.
        .cpu_since_sample = cpu_now > poll->cpu_sampled_ns ? pulse_clock_from_ns(cpu_now - poll->cpu_sampled_ns) : 0,
        .cpu_sampled = poll->begun - poll->cpu_sampled_at,
    };
    pulse_verdict verdict = pulse_account_judge(&usage, pulse_governed_budget(governed), governor->slow_ticks);
    pulse_account_book(&governed->account, &verdict);
    pulse_account_book(&governor->account, &verdict);
    pulse_account_book(&governed->group->account, &verdict);
    if (verdict.violation || verdict.slow) {
        PyObject *raised = pulse_exception_take();
        if (pulse_worst_record(&governor->worst, governor->state, governed->group->name, governed->coro,
                               take_sample(poll), &verdict, gc_ticks) < 0) {
            pulse_state_contain_error(governor->state);
        }
        pulse_exception_put_back(raised);
    }
    return verdict.own_off_cpu;
}
