#include "base/totals.h"

pulse_verdict
pulse_totals_judge(const pulse_usage *usage, uint64_t budget, uint64_t slow_threshold)
{
    pulse_verdict verdict = {.own_wall = pulse_less(usage->wall, usage->nested)};
    // The CPU clock was sampled before the poll began. The time in between is subtracted as CPU time, although the thread
    // may have been off the CPU. This errs in the task's favour, by at most one sampling interval.
    uint64_t cpu = pulse_less(usage->cpu_since_sample, usage->cpu_sampled);
    uint64_t own_cpu = pulse_less(cpu, pulse_less(usage->nested, usage->nested_off_cpu));
    if (own_cpu > verdict.own_wall) {
        own_cpu = verdict.own_wall;
    }
    verdict.own_off_cpu = verdict.own_wall - own_cpu;
    verdict.over_budget = pulse_less(pulse_less(own_cpu, usage->gc), budget);
    verdict.violation = verdict.over_budget > 0;
    verdict.slow = verdict.own_wall > slow_threshold;
    return verdict;
}

void
pulse_totals_book(pulse_totals *totals, const pulse_verdict *verdict)
{
    pulse_counter_add(&totals->off_cpu_ticks, verdict->own_off_cpu);
    if (verdict->violation) {
        pulse_counter_add(&totals->violations, 1);
    }
    if (verdict->slow) {
        pulse_counter_add(&totals->slow_polls, 1);
    }
}
