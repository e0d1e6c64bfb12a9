// GovernedCoroutine: a coroutine whose every poll is measured.
//
// A task drives it through am_send. If another coroutine awaits it, it governs only that call. It owns the coroutine, its
// governor (once bound) and its group. Needs the GIL. Our own errors are never raised into the wrapped code.
#ifndef PULSE_GOVERNED_H
#define PULSE_GOVERNED_H

#include "model/governor.h"
#include "model/account.h"

// In a coroutine's mode of preemption.
enum {
    // Preemption is only decided and counted.
    PULSE_PREEMPT_OBSERVED = 1u << 7,
    // The coroutine or its group says how far it may be preempted, so an enclosing poll does not.
    PULSE_PREEMPT_SETTLED = 1u << 6,
};

// All that makes a poll special is a bit here, so that a plain poll tests the whole word once.
enum {
    // Not polled yet: its governor or group has still to be found.
    PULSE_GOVERNED_NEW = 1u << 0,
    // Awaited by another coroutine: its polls are parts of a task's step, not steps of their own.
    PULSE_GOVERNED_CALL = 1u << 1,
    // Passes everything through: nothing governs here, or its options went to the task around it.
    PULSE_GOVERNED_TRANSPARENT = 1u << 2,
    // Has a budget of its own.
    PULSE_GOVERNED_BUDGET = 1u << 3,
    // Driven by another kind of loop: the current context is not the task's own.
    PULSE_GOVERNED_MANUAL = 1u << 4,
    // Its own tier is above Monitor.
    PULSE_GOVERNED_TIERED = 1u << 5,
    // One of its resumptions waits in the slow queue, or was just released from it.
    PULSE_GOVERNED_PARKED = 1u << 6,
    // It has a suspension: it is or was suspended in the middle of its code.
    PULSE_GOVERNED_LEFT = 1u << 7,
    // Its options say whether it may be preempted, so every poll is checked.
    PULSE_GOVERNED_OPTED = 1u << 8,
    // A task that was made of a call; the call is preempted in its place.
    PULSE_GOVERNED_DELEGATES = 1u << 10,
    // Awaited inside no_preempt().
    PULSE_GOVERNED_GUARDED = 1u << 9,
    // In its first poll, while its group is being found. Python code that resumes it now is not measured.
    PULSE_GOVERNED_BINDING = 1u << 11,
    // One of its bad polls is due to be reported.
    PULSE_GOVERNED_DUE = 1u << 12,
    // Its last poll was long by its own doing, or cut short by a suspension. It waits if its next one comes late in a turn.
    PULSE_GOVERNED_LONG = 1u << 13,
};

typedef struct pulse_governed {
    PyObject_HEAD
    PyObject *coro;
    pulse_governor *governor;
    pulse_group *group;
    uint32_t flags;
    uint8_t priority;
    // Together with the flags these are eight bytes, because every task has them.
    bool counted_alive : 1;
    // Number of no_preempt() blocks that it is in.
    uint8_t guards;
    // A pulse_preempt_mode, with PULSE_PREEMPT_OBSERVED if it is only observed.
    uint8_t preempt_mode;
    uint32_t operations_left;
    uint32_t operations_poll;
    // Identifies it to hooks; never used again.
    uint64_t task_id;
    pulse_counter polls;
    pulse_totals totals;
    PyObject *options;
    // Owned; NULL until it is suspended in the middle of its code.
    struct pulse_suspension *suspension;
    // Its Account; NULL until it first misbehaves.
    PyObject *account;
    // NULL until it may be parked.
    struct pulse_parking *parking;
    // Undoes what the explicit group set in the context.
    PyObject *group_token;
    PyObject *weak_references;
    // Keeps the module alive, and with it the state.
    PyObject *module;
} pulse_governed;

// A new coroutine of the given type, not yet polled. `coro` is trusted to be a coroutine. NULL with an exception on
// failure.
pulse_governed *pulse_governed_new(PyTypeObject *type, PyObject *coro);

// Whether asyncio takes an object for a coroutine: 1 or 0; -1 with an exception if the answer cannot be had.
int pulse_governed_is_coroutine(const pulse_state *state, PyObject *object);

// A new coroutine for a task of this governor.
PyObject *pulse_governed_new_task(pulse_governor *governor, PyObject *coro);

// Make a coroutine that was constructed by hand, and not yet polled, the coroutine of a task.
void pulse_governed_become_task(pulse_governed *governed, pulse_governor *governor);

// The coroutine ended or was dropped: take it out of the numbers of live coroutines. A second call does nothing.
void pulse_governed_no_longer_alive(pulse_governed *governed);

// CPU budget of one poll, ticks.
uint64_t pulse_governed_budget(const pulse_governed *governed);

// Spend operations of the running poll. True when its budget of operations or of time is used up.
bool pulse_governed_spend(pulse_governed *governed, pulse_thread *thread, uint64_t cost);

// Number of operations that the running poll has left.
uint32_t pulse_governed_operations_left(pulse_governed *governed);

// The nearest cap that was given by name: the task's, or its group's. Accounts keep to their caps by themselves, but a task
// shares its group's tier. A critical task goes no further than Warn, unless a cap was given.
unsigned pulse_governed_cap(const pulse_governed *governed);

// The tier in force for a coroutine, 0..3: the higher of its own and its explicit group's, capped.
unsigned pulse_governed_tier(const pulse_governed *governed);

// The tier of its own account, without its group.
unsigned pulse_governed_own_tier(const pulse_governed *governed);

// The Account of its group; borrowed, or NULL.
static inline PyObject *
pulse_governed_group_account(const pulse_governed *governed)
{
    return governed->group == NULL ? NULL : governed->group->account;
}

// Whether its tier is only observed.
bool pulse_governed_is_observed(const pulse_governed *governed);

#endif
