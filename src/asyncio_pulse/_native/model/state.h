// What one import of the module owns. Every interpreter has its own, so mutable data belongs here and not in globals.
#ifndef PULSE_STATE_H
#define PULSE_STATE_H

#include "base/compat.h"

struct pulse_thread;
struct pulse_turns;
struct pulse_watchdog;

enum { PULSE_HELD_LATELY = 64 };

typedef struct {
    PyTypeObject *options_type;
    PyTypeObject *group_type;
    PyTypeObject *account_type;
    PyTypeObject *governor_type;
    PyTypeObject *governed_type;
    PyTypeObject *task_factory_type;
    PyTypeObject *checkpoint_type;
    PyTypeObject *select_watch_type;
    PyTypeObject *heartbeat_type;
    PyTypeObject *cpu_timer_type;
    PyTypeObject *manual_task_type;
    PyTypeObject *group_totals_type;
    PyTypeObject *awaiter_type;
    PyTypeObject *pump_token_type;
    PyTypeObject *slow_queue_type;
    PyTypeObject *flow_type;

    // asyncio's own functions, looked up once.
    PyObject *is_coroutine;
    PyObject *task_type;
    // The namespace of asyncio.tasks, where a program may have replaced Task.
    PyObject *tasks_namespace;
    PyObject *stock_task;
    // The method of BaseEventLoop.
    PyObject *stock_create_future;
    PyObject *current_task;
    PyObject *task_get_name;
    PyObject *get_running_loop;
    PyObject *loop_keyword;
    PyObject *context_keyword;
    PyObject *cancelled_error;

    // The explicit group that children inherit: a context variable with its name, or unset.
    PyObject *group_variable;
    // Names of coroutines that only wrap another one, mapped to the variable that holds the wrapped one.
    PyObject *wrappers;
    // Finds the bodies of `async with` in a code object, or NULL; and the results, by the address of the code object.
    PyObject *find_regions;
    // Called by the watchdog while a loop is blocked; or NULL.
    PyObject *on_blocked;
    PyObject *held_regions;
    // The latest lookups in `held_regions`, by some bits of the address; borrowed from there.
    struct {
        PyObject *code, *regions;
    } held_lately[PULSE_HELD_LATELY];

    PyObject *str_empty;
    PyObject *str_throw;
    PyObject *str_close;
    PyObject *str_qualname;
    PyObject *str_cr_code;
    PyObject *str_cr_frame;
    PyObject *str_cr_await;
    PyObject *str_call_later;
    PyObject *str_is_running;
    PyObject *str_thread_id;
    PyObject *str_get_coro;
    PyObject *str_set_result;
    PyObject *str_ready;
    PyObject *str_callback;
    PyObject *str_create_future;
    PyObject *str_future_blocking;
    PyObject *str_callbacks;
    PyObject *str_call_soon;
    PyObject *str_call_soon_threadsafe;
    PyObject *str_source_traceback;
    PyObject *str_task;

    // Newest first. Threads that hold the GIL push; the watchdog walks without it.
    _Atomic(struct pulse_thread *) threads;
    _Atomic(struct pulse_turns *) turns;
    struct pulse_watchdog *watchdog;
    uint64_t watchdog_interval_us;
    // The frame that forks, until the core's threads are started again after the fork; or NULL.
    PyObject *forking_frame;
    // Called once, before the first poll that may be preempted; or NULL.
    PyObject *preemption_starter;
    // The same, for when preemption has to be started again.
    PyObject *preemption_restarter;
    uint64_t last_task_id;
    // Number of our own faults that were contained.
    pulse_counter internal_errors;
} pulse_state;

// Objects that use the state hold the module, because the collector may clear a type before its last instance is gone.
static inline pulse_state *
pulse_state_of_type(PyTypeObject *type)
{
    return (pulse_state *)PyType_GetModuleState(type);
}

static inline pulse_state *
pulse_state_of_module(PyObject *module)
{
    return (pulse_state *)PyModule_GetState(module);
}

// Contain a fault of ours: count it, report the first one as an unraisable exception, clear it.
void pulse_state_contain_error(pulse_state *state);

// Finish a call of Python code that is not the task's. Takes over the result, and contains what was raised.
void pulse_state_settle(pulse_state *state, PyObject *result);

#endif
