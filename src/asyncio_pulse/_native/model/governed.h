// GovernedCoroutine: a coroutine whose every poll is measured.
//
// A task drives it through am_send; another coroutine may await it, and then it governs just that call. It owns the
// coroutine, its governor (once bound) and its group. Needs the GIL. Nothing of ours raises into the code it wraps.
#ifndef PULSE_GOVERNED_H
#define PULSE_GOVERNED_H

#include "model/governor.h"
#include "model/standing.h"

// In a coroutine's mode of preemption: only decided and counted.
enum { PULSE_PREEMPT_OBSERVED = 1u << 7 };

// Everything that is not plain is a bit here; a plain poll tests the whole word once.
enum {
    // Not polled yet: governor or group are still to be found.
    PULSE_GOVERNED_NEW = 1u << 0,
    // Awaited by another coroutine: its polls are parts of a task's step, not steps.
    PULSE_GOVERNED_CALL = 1u << 1,
    // Passes everything through: nothing governs here, or the options went to the task around it.
    PULSE_GOVERNED_TRANSPARENT = 1u << 2,
    // Has a budget of its own.
    PULSE_GOVERNED_BUDGET = 1u << 3,
    // Driven by somebody else: the context in which we hear of it is not its own.
    PULSE_GOVERNED_MANUAL = 1u << 4,
    // Its own tier is above Monitor.
    PULSE_GOVERNED_TIERED = 1u << 5,
    // A resumption of it waits in the slow queue, or has just been released from there.
    PULSE_GOVERNED_PARKED = 1u << 6,
    // Its polls run in a segment.
    PULSE_GOVERNED_ARMED = 1u << 7,
    // Whether it may be preempted was asked for: to be looked at with every poll.
    PULSE_GOVERNED_OPTED = 1u << 8,
    // The call that it was made of is armed in its place.
    PULSE_GOVERNED_DELEGATES = 1u << 10,
    // Awaited inside no_preempt().
    PULSE_GOVERNED_GUARDED = 1u << 9,
    // In its first poll, whose group is being found: Python code that resumes it meanwhile is not measured.
    PULSE_GOVERNED_BINDING = 1u << 11,
    // A bad poll of it is due to be told.
    PULSE_GOVERNED_DUE = 1u << 12,
};

typedef struct pulse_governed {
    PyObject_HEAD
    PyObject *coro;
    pulse_governor *governor;
    pulse_group *group;
    uint32_t flags;
    uint8_t priority;
    // Eight bytes together with the flags: every task has them.
    bool counted_alive : 1;
    bool counted_urgent : 1;
    // no_preempt() blocks that it is in.
    uint8_t guards;
    // A pulse_preempt_mode, and whether it is only observed.
    uint8_t preempt_mode;
    uint32_t operations_left;
    uint32_t operations_poll;
    // Names it to hooks; never used twice.
    uint64_t task_id;
    pulse_counter polls;
    pulse_account account;
    PyObject *options;
    // Owned; NULL until it is armed.
    struct pulse_segment *segment;
    // A Standing, once there is something to say against it; NULL before.
    PyObject *standing;
    // NULL until it may be parked.
    struct pulse_parking *parking;
    // Undoes what the explicit group set in the context.
    PyObject *group_token;
    PyObject *weak_references;
    // Held, for the state.
    PyObject *module;
} pulse_governed;

// A new coroutine, not yet polled, of the type given. `coro` is trusted to be a coroutine. NULL with an exception on failure.
pulse_governed *pulse_governed_new(PyTypeObject *type, PyObject *coro);

// A new coroutine for a task of this governor. `coro` is trusted to be a coroutine.
PyObject *pulse_governed_new_task(pulse_governor *governor, PyObject *coro);

// Make a coroutine that was constructed by hand, and not yet polled, the coroutine of a task.
void pulse_governed_become_task(pulse_governed *governed, pulse_governor *governor);

// The coroutine ended, or was dropped: whoever counts the living counts one less. Twice does no harm.
void pulse_governed_no_longer_alive(pulse_governed *governed);

// CPU budget of one poll, ticks.
uint64_t pulse_governed_budget(const pulse_governed *governed);

// Spend operations of the running poll. True when its budget of operations or of time is used up.
bool pulse_governed_spend(pulse_governed *governed, pulse_thread *thread, uint64_t cost);

// Operations left to the running poll.
uint32_t pulse_governed_operations_left(pulse_governed *governed);

// The tier in force for a coroutine: the higher of its own and its explicit group's, capped; 0..3.
unsigned pulse_governed_tier(const pulse_governed *governed);

// That of its own account, without its group.
unsigned pulse_governed_own_tier(const pulse_governed *governed);

// The Standing of its group, borrowed, or NULL.
static inline PyObject *
pulse_governed_group_standing(const pulse_governed *governed)
{
    return governed->group == NULL ? NULL : governed->group->standing;
}

// Whether its tier is only observed.
bool pulse_governed_is_observed(const pulse_governed *governed);

// The priority of a coroutine that lives is another one now, or it does not live any longer.
void pulse_governed_count_urgent(pulse_governed *governed);

#endif
