// What one poll used, what it was allowed, and the verdict.
//
// No Python.h: these are plain numbers, tested and fuzzed without an interpreter. All durations are ticks.
#ifndef PULSE_TOTALS_H
#define PULSE_TOTALS_H

#include "base/portable.h"

// Counters of a task, a group or a worker. CPU time is wall time less time off the CPU. The CPU clock is read only for a
// poll past its alarm. For a shorter poll the wall time, at most one budget, stands for the CPU time.
typedef struct {
    pulse_counter wall_ticks;
    pulse_counter off_cpu_ticks;
    pulse_counter gc_ticks;
    pulse_counter violations;
    pulse_counter slow_polls;
    pulse_counter forced_yields;
} pulse_totals;

typedef struct {
    uint64_t wall;
    // Time in polls inside this one (an eager task, a governed call, another loop), and the part of it off the CPU.
    uint64_t nested;
    uint64_t nested_off_cpu;
    uint64_t gc;
    // CPU time of the thread from `cpu_sampled` ticks before the poll's start to its end.
    uint64_t cpu_since_sample;
    uint64_t cpu_sampled;
} pulse_usage;

typedef struct {
    uint64_t own_wall;
    uint64_t own_off_cpu;
    // CPU time beyond the budget.
    uint64_t over_budget;
    bool violation;
    bool slow;
} pulse_verdict;

// Judge a poll against its CPU budget and the threshold of a slow poll.
pulse_verdict pulse_totals_judge(const pulse_usage *usage, uint64_t budget, uint64_t slow_threshold);

// Book the verdict on a poll past its alarm. Wall time is booked with every poll, the collector's time when it ran.
void pulse_totals_book(pulse_totals *totals, const pulse_verdict *verdict);

#endif
