// Hooks before and after the polls of a governor. Without hooks they cost nothing: a governor with hooks has a flag, and
// none of its polls is plain.
//
// Python code of users runs here. Its exceptions never reach the task.
#ifndef PULSE_HOOKS_H
#define PULSE_HOOKS_H

#include "model/governed.h"

typedef enum {
    PULSE_POLL_PENDING,
    PULSE_POLL_READY,
    PULSE_POLL_FAILED,
} pulse_poll_result;

// Before a poll: call before_poll(task, worker, priority, group). No exception may be set, and none is set afterwards.
void pulse_hooks_before_poll(pulse_governed *governed);

// Report one event of a task: on_yield(task) or on_completion(task). The same holds for exceptions. Does nothing without
// hooks.
void pulse_hooks_tell(pulse_governed *governed, const char *what);

// After a poll: call after_poll(task, result, ns), then on_yield(task) or on_completion(task) if one of them applies. An
// exception that is set stays set.
void pulse_hooks_after_poll(pulse_governed *governed, pulse_poll_result result, uint64_t ticks, bool yielded);

#endif
