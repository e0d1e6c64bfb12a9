// Hooks round the polls of a governor. Absent, they cost nothing: a hooked governor has a flag, and is not plain.
//
// Python code of users runs here. What it raises never reaches the task.
#ifndef PULSE_HOOKS_H
#define PULSE_HOOKS_H

#include "model/governed.h"

typedef enum {
    PULSE_POLL_PENDING,
    PULSE_POLL_READY,
    PULSE_POLL_FAILED,
} pulse_poll_result;

// Before a poll: before_poll(task, worker, priority, group). No exception may be set, and none is afterwards.
void pulse_hooks_before_poll(pulse_governed *governed);

// Tell of one thing that a task did: on_yield(task) or on_completion(task). The same of exceptions. Nothing without hooks.
void pulse_hooks_tell(pulse_governed *governed, const char *what);

// After it: after_poll(task, result, ns), then on_yield(task) or on_completion(task) as the case may be. An exception that
// is set stays set.
void pulse_hooks_after_poll(pulse_governed *governed, pulse_poll_result result, uint64_t ticks, bool yielded);

#endif
