// What one import of the module owns. Every interpreter has its own; nothing mutable is global.
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
    PyTypeObject *standing_type;
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
    PyTypeObject *segment_type;

    // asyncio's own functions, looked up once.
    PyObject *is_coroutine;
    PyObject *task_type;
    // The namespace of asyncio.tasks, where a program may put another Task than the one that was there.
    PyObject *tasks_namespace;
    PyObject *stock_task;
    // BaseEventLoop's.
    PyObject *stock_create_future;
    PyObject *current_task;
    PyObject *task_get_name;
    PyObject *get_running_loop;
    PyObject *loop_keyword;
    PyObject *context_keyword;
    PyObject *cancelled_error;

    // The explicit group that children inherit: its name, or unset.
    PyObject *group_variable;
    // Names of coroutines that only wrap another one, mapped to the variable that holds the wrapped one.
    PyObject *wrappers;
    // Finds the bodies of `async with` of a code object, or NULL; and what it found, by the address of the code object.
    PyObject *find_regions;
    PyObject *held_regions;
    // What was asked for last, by some bits of the address; borrowed from `held_regions`.
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

    // Newest first; pushed by threads that hold the GIL, walked by the watchdog, which does not.
    _Atomic(struct pulse_thread *) threads;
    _Atomic(struct pulse_turns *) turns;
    struct pulse_watchdog *watchdog;
    uint64_t watchdog_interval_us;
    // Called once, by the first coroutine that is to be armed; or NULL.
    PyObject *preemption_starter;
    // The same, for when it has to be started anew.
    PyObject *preemption_restarter;
    uint64_t last_task_id;
    // Faults of ours that were contained.
    pulse_counter internal_errors;
} pulse_state;

// Objects that use the state hold the module: a type may be cleared by the collector before its last instance is gone.
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

// Contain a fault of ours: count it, show it once where unraisable exceptions go, clear it.
void pulse_state_contain_error(pulse_state *state);

// End of a call of Python code that is not the task's: takes over the result, contains what was raised.
void pulse_state_settle(pulse_state *state, PyObject *result);

#endif
