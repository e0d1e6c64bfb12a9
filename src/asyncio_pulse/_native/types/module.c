// The module: its state, its types, its functions.
#include <stdlib.h>

#include "bytecode/code_marks.h"
#include "model/group.h"
#include "model/group_report.h"
#include "model/options.h"
#include "model/account.h"
#include "park/holders.h"
#include "park/pump.h"
#include "poll/after_fork.h"
#include "poll/poll.h"
#include "preempt/asking.h"
#include "preempt/guards.h"
#include "preempt/preemption.h"
#include "preempt/request.h"
#include "preempt/signal_thread.h"
#include "preempt/trial.h"
#include "types/awaiter.h"
#include "types/checkpoint.h"
#include "types/coroutine_type.h"
#include "types/cpu_timer.h"
#include "types/factory.h"
#include "types/governor_type.h"
#include "types/manual_task.h"
#include "types/native_benchmarks.h"
#include "types/python_discipline.h"
#include "types/slow_queue_type.h"
#include "watch/heartbeat.h"
#include "watch/select_watch.h"
#include "watch/turns.h"
#include "watch/watchdog.h"

static PyObject *
clock_info(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("{sssssKsO}", "name", pulse_the_clock.name, "reason", pulse_the_clock.reason, "frequency_hz",
                         (unsigned long long)pulse_the_clock.frequency_hz, "uses_tsc",
                         pulse_the_clock.uses_tsc ? Py_True : Py_False);
}

static PyObject *
set_wrappers(PyObject *module, PyObject *wrappers)
{
    if (!PyDict_CheckExact(wrappers)) {
        PyErr_Format(PyExc_TypeError, "wrappers must be a dict of names, got %R", wrappers);
        return NULL;
    }
    Py_SETREF(pulse_state_of_module(module)->wrappers, Py_NewRef(wrappers));
    Py_RETURN_NONE;
}

static PyObject *
set_task_type(PyObject *module, PyObject *type)
{
    if (!PyCallable_Check(type)) {
        PyErr_Format(PyExc_TypeError, "the task type must be callable, got %R", type);
        return NULL;
    }
    Py_SETREF(pulse_state_of_module(module)->task_type, Py_NewRef(type));
    Py_RETURN_NONE;
}

static PyObject *
start_watchdog(PyObject *module, PyObject *interval)
{
    unsigned long long interval_us = PyLong_AsUnsignedLongLong(interval);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (interval_us < 1 || interval_us > 60000000) {
        PyErr_Format(PyExc_ValueError, "the interval must be 1 to 60000000 microseconds, got %llu", interval_us);
        return NULL;
    }
    if (pulse_watchdog_start(pulse_state_of_module(module), interval_us) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
stop_watchdog(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pulse_after_fork_forget(pulse_state_of_module(module));
    pulse_watchdog_stop(pulse_state_of_module(module));
    Py_RETURN_NONE;
}

static PyObject *
resume_after_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pulse_after_fork_resume(pulse_state_of_module(module));
    Py_RETURN_NONE;
}

static PyObject *
watchdog_wake_ups(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(pulse_watchdog_wake_ups(pulse_state_of_module(module)));
}

static PyObject *
after_fork_in_child(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pulse_state *state = pulse_state_of_module(module);
    pulse_counter_set(&state->internal_errors, 0);
    pulse_after_fork_forget(state);
    pulse_watchdog_after_fork(state);
    pulse_signal_thread_after_fork();
    pulse_threads_after_fork(state);
    pulse_preemption_after_fork();
    Py_RETURN_NONE;
}

static PyObject *
monotonic_ns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(pulse_clock_to_ns(pulse_clock_ticks()));
}

static PyObject *
set_region_finder(PyObject *module, PyObject *finder)
{
    pulse_state *state = pulse_state_of_module(module);
    Py_XSETREF(state->find_regions, Py_NewRef(finder));
    pulse_holders_forget(state);
    Py_RETURN_NONE;
}

// Runs in the main thread, between two instructions of its Python code.
static int
call_here(void *callable)
{
    PyObject *result = PyObject_CallNoArgs((PyObject *)callable);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_WriteUnraisable((PyObject *)callable);
    }
    Py_XDECREF(result);
    Py_DECREF((PyObject *)callable);
    // Ctrl-C is raised in the main thread's code.
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
call_in_main_thread(PyObject *Py_UNUSED(module), PyObject *callable)
{
    if (Py_AddPendingCall(call_here, Py_NewRef(callable)) < 0) {
        Py_DECREF(callable);
        Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

static PyObject *
set_blocked_listener(PyObject *module, PyObject *listener)
{
    Py_XSETREF(pulse_state_of_module(module)->on_blocked, Py_NewRef(listener));
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"set_region_finder", set_region_finder, METH_O,
     "What finds the bodies of `async with` of a code object: returns bytes, pairs of uint32, from and to, of "
     "f_lasti."},
    {"monotonic_ns", monotonic_ns, METH_NOARGS, "The tick clock, ns."},
    {"current", pulse_checkpoint_current, METH_NOARGS, "The governed coroutine being polled in this thread, or None."},
    {"budget_spent", (PyCFunction)(void (*)(void))pulse_checkpoint_budget_spent, METH_FASTCALL | METH_KEYWORDS,
     "Spend operations of the running poll; whether its budget is used up. By the clock where nothing is governed."},
    {"checkpoint", (PyCFunction)(void (*)(void))pulse_checkpoint, METH_FASTCALL | METH_KEYWORDS,
     "Spend operations of the running poll; await the result to give way when its budget is used up."},
    {"clock_info", clock_info, METH_NOARGS, "Which tick clock is in use, and why."},
    {"set_task_type", set_task_type, METH_O, "What task factories make tasks with; asyncio.Task to begin with."},
    {"set_wrappers", set_wrappers, METH_O,
     "Names of wrapping coroutines, mapped to the variable that holds the wrapped one; names of known coroutines, "
     "mapped to their module and the name of their group."},
    {"gc_callback", (PyCFunction)(void (*)(void))pulse_poll_gc_callback, METH_FASTCALL,
     "For gc.callbacks: takes the collector's time out of the running poll."},
    {"start_watchdog", start_watchdog, METH_O, "Start the thread that looks at polls and loops that are overdue."},
    {"stop_watchdog", stop_watchdog, METH_NOARGS, "Stop and join that thread."},
    {"resume_after_fork", resume_after_fork, METH_NOARGS,
     "Start the core's threads again in the poll that forked, once the fork is over that calls the hook that calls "
     "this."},
    {"watchdog_wake_ups", watchdog_wake_ups, METH_NOARGS, "How often that thread has woken since it was started."},
    {"after_fork_in_child", after_fork_in_child, METH_NOARGS, "Forget the threads that a forked child does not have."},
    {"set_ask_percent", pulse_asking_set_percent, METH_O,
     "What asking may cost of the CPU time of whoever is asked, 1 to 100; more than 1 is for tests of what it may not "
     "break."},
    {"set_preemption_starter", pulse_preemption_set_starter, METH_O, "Who starts preemption when it is first needed."},
    {"start_preemption", pulse_preemption_start, METH_VARARGS,
     "Begin to preempt, with a signal that is handled by us."},
    {"stop_preemption", pulse_preemption_stop, METH_NOARGS, "Stop it: no signal comes after this."},
    {"suspend_preemption", pulse_preemption_suspend, METH_NOARGS,
     "Stop the thread that sends signals; the next poll that may be preempted starts it again."},
    {"call_in_main_thread", call_in_main_thread, METH_O,
     "Call a function soon, in the main thread. Returns False if too many such calls wait."},
    {"set_blocked_listener", set_blocked_listener, METH_O,
     "What the watchdog calls, in its own thread, while a loop is blocked in a call."},
    {"preempted", pulse_preemption_list, METH_NOARGS,
     "The governed coroutines that stand in the middle of their code."},
    {"unwind_preempted", pulse_preemption_unwind, METH_NOARGS,
     "Close all coroutines that stand in the middle of their code."},
    {"on_preempt_signal", (PyCFunction)(void (*)(void))pulse_request_on_signal, METH_FASTCALL, "The signal's handler."},
    {"enter_no_preempt", pulse_guards_enter, METH_NOARGS, "Guard the running coroutine; returns it, or None."},
    {"leave_no_preempt", pulse_guards_leave, METH_O, "Undo that."},
    {"try_suspension", pulse_trial_run, METH_VARARGS,
     "Run a coroutine on slices of the stack, for a test of this Python."},
    {"suspend_trial", pulse_trial_suspend, METH_NOARGS, "Suspend the coroutine of try_suspension in its middle."},
    {"preemption_refusal", pulse_preemption_refusal, METH_NOARGS,
     "Why the core cannot suspend a task in its middle; or None."},
    {"preemption_facts", pulse_preemption_facts, METH_NOARGS, "Whether preemption is active, and by which signal."},
    {"code_marks", pulse_code_marks_show, METH_O, "What each code unit means for a suspension there."},
    {"measure_native", pulse_native_benchmarks_measure, METH_VARARGS, "Nanoseconds that one native operation takes."},
    {NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **place)
{
    *place = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *place == NULL ? -1 : PyModule_AddType(module, *place);
}

static int
add_types(PyObject *module, pulse_state *state)
{
    if (add_type(module, &pulse_options_spec, &state->options_type) < 0 ||
        add_type(module, &pulse_group_spec, &state->group_type) < 0 ||
        add_type(module, &pulse_account_spec, &state->account_type) < 0 ||
        add_type(module, &pulse_governor_type_spec, &state->governor_type) < 0 ||
        add_type(module, &pulse_coroutine_type_spec, &state->governed_type) < 0 ||
        add_type(module, &pulse_factory_spec, &state->task_factory_type) < 0 ||
        add_type(module, &pulse_select_watch_spec, &state->select_watch_type) < 0 ||
        add_type(module, &pulse_heartbeat_spec, &state->heartbeat_type) < 0 ||
        add_type(module, &pulse_cpu_timer_spec, &state->cpu_timer_type) < 0 ||
        add_type(module, &pulse_group_report_totals_spec, &state->group_totals_type) < 0 ||
        add_type(module, &pulse_manual_task_spec, &state->manual_task_type) < 0 ||
        add_type(module, &pulse_awaiter_spec, &state->awaiter_type) < 0 ||
        add_type(module, &pulse_pump_token_spec, &state->pump_token_type) < 0 ||
        add_type(module, &pulse_slow_queue_type_spec, &state->slow_queue_type) < 0) {
        return -1;
    }
    state->governed_type->tp_vectorcall = pulse_coroutine_type_call;
    state->flow_type = PyStructSequence_NewType(&pulse_python_discipline_flow);
    if (state->flow_type == NULL || PyModule_AddType(module, state->flow_type) < 0) {
        return -1;
    }
    return add_type(module, &pulse_checkpoint_spec, &state->checkpoint_type);
}

static int
intern(PyObject **place, const char *text)
{
    *place = PyUnicode_InternFromString(text);
    return *place == NULL ? -1 : 0;
}

static int
add_names(pulse_state *state)
{
    if (intern(&state->str_empty, "") < 0 || intern(&state->str_throw, "throw") < 0 ||
        intern(&state->str_close, "close") < 0 || intern(&state->str_qualname, "__qualname__") < 0 ||
        intern(&state->str_cr_code, "cr_code") < 0 || intern(&state->str_cr_frame, "cr_frame") < 0 ||
        intern(&state->str_cr_await, "cr_await") < 0 || intern(&state->str_call_later, "call_later") < 0 ||
        intern(&state->str_is_running, "is_running") < 0 || intern(&state->str_thread_id, "_thread_id") < 0 ||
        intern(&state->str_get_coro, "get_coro") < 0 || intern(&state->str_set_result, "set_result") < 0 ||
        intern(&state->str_create_future, "create_future") < 0 || intern(&state->str_ready, "_ready") < 0 ||
        intern(&state->str_callback, "_callback") < 0 ||
        intern(&state->str_future_blocking, "_asyncio_future_blocking") < 0 ||
        intern(&state->str_callbacks, "_callbacks") < 0 || intern(&state->str_call_soon, "call_soon") < 0 ||
        intern(&state->str_call_soon_threadsafe, "call_soon_threadsafe") < 0 ||
        intern(&state->str_source_traceback, "_source_traceback") < 0 || intern(&state->str_task, "Task") < 0) {
        return -1;
    }
    state->loop_keyword = Py_BuildValue("(s)", "loop");
    state->context_keyword = Py_BuildValue("(s)", "context");
    state->held_regions = PyDict_New();
    return state->loop_keyword == NULL || state->context_keyword == NULL || state->held_regions == NULL ? -1 : 0;
}

static int
look_up_asyncio(pulse_state *state)
{
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    PyObject *tasks = asyncio == NULL ? NULL : PyImport_ImportModule("asyncio.tasks");
    if (tasks == NULL) {
        Py_XDECREF(asyncio);
        return -1;
    }
    state->tasks_namespace = Py_NewRef(PyModule_GetDict(tasks));
    state->stock_task = PyObject_GetAttr(tasks, state->str_task);
    Py_DECREF(tasks);
    state->is_coroutine = PyObject_GetAttrString(asyncio, "iscoroutine");
    state->task_type = PyObject_GetAttrString(asyncio, "Task");
    state->get_running_loop = PyObject_GetAttrString(asyncio, "_get_running_loop");
    state->cancelled_error = PyObject_GetAttrString(asyncio, "CancelledError");
    PyObject *loop_class = PyObject_GetAttrString(asyncio, "BaseEventLoop");
    state->stock_create_future = loop_class == NULL ? NULL : PyObject_GetAttr(loop_class, state->str_create_future);
    Py_XDECREF(loop_class);
    Py_DECREF(asyncio);
    state->task_get_name = state->task_type == NULL ? NULL : PyObject_GetAttrString(state->task_type, "get_name");
    state->current_task = pulse_current_task_lookup();
    bool found = state->is_coroutine != NULL && state->stock_task != NULL && state->task_get_name != NULL &&
                 state->current_task != NULL && state->get_running_loop != NULL && state->cancelled_error != NULL &&
                 state->stock_create_future != NULL;
    return found ? 0 : -1;
}

// asyncio asks collections.abc whether an object is a coroutine.
static int
register_as_coroutine(pulse_state *state)
{
    PyObject *abc = PyImport_ImportModule("collections.abc");
    PyObject *coroutine = abc == NULL ? NULL : PyObject_GetAttrString(abc, "Coroutine");
    PyObject *done = coroutine == NULL ? NULL : PyObject_CallMethod(coroutine, "register", "O", state->governed_type);
    Py_XDECREF(abc);
    Py_XDECREF(coroutine);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
module_exec(PyObject *module)
{
    pulse_state *state = pulse_state_of_module(module);
    pulse_clock_init(getenv("ASYNCIO_PULSE_CLOCK"));
    if (add_names(state) < 0 || add_types(module, state) < 0 || look_up_asyncio(state) < 0 ||
        register_as_coroutine(state) < 0) {
        return -1;
    }
    state->group_variable = PyContextVar_New("asyncio_pulse.group", NULL);
    state->wrappers = PyDict_New();
    return state->group_variable != NULL && state->wrappers != NULL ? 0 : -1;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    pulse_state *state = pulse_state_of_module(module);
    Py_VISIT(state->forking_frame);
    Py_VISIT(state->options_type);
    Py_VISIT(state->group_type);
    Py_VISIT(state->account_type);
    Py_VISIT(state->governor_type);
    Py_VISIT(state->governed_type);
    Py_VISIT(state->task_factory_type);
    Py_VISIT(state->checkpoint_type);
    Py_VISIT(state->select_watch_type);
    Py_VISIT(state->heartbeat_type);
    Py_VISIT(state->cpu_timer_type);
    Py_VISIT(state->manual_task_type);
    Py_VISIT(state->group_totals_type);
    Py_VISIT(state->awaiter_type);
    Py_VISIT(state->pump_token_type);
    Py_VISIT(state->get_running_loop);
    Py_VISIT(state->context_keyword);
    Py_VISIT(state->find_regions);
    Py_VISIT(state->on_blocked);
    Py_VISIT(state->held_regions);
    Py_VISIT(state->slow_queue_type);
    Py_VISIT(state->flow_type);
    Py_VISIT(state->cancelled_error);
    Py_VISIT(state->preemption_starter);
    Py_VISIT(state->preemption_restarter);
    Py_VISIT(state->is_coroutine);
    Py_VISIT(state->task_type);
    Py_VISIT(state->tasks_namespace);
    Py_VISIT(state->stock_task);
    Py_VISIT(state->stock_create_future);
    Py_VISIT(state->current_task);
    Py_VISIT(state->task_get_name);
    Py_VISIT(state->group_variable);
    Py_VISIT(state->wrappers);
    return pulse_threads_traverse(state, visit, arg);
}

static int
module_clear(PyObject *module)
{
    pulse_threads_clear_samples(pulse_state_of_module(module));
    return 0;
}

// The types of live objects keep the module alive. So when it is freed, nothing of it is in use.
static void
module_free(void *module)
{
    pulse_state *state = pulse_state_of_module(module);
    pulse_after_fork_forget(state);
    pulse_watchdog_stop(state);
    pulse_threads_free(state);
    pulse_turns_free_all(state);
    Py_CLEAR(state->options_type);
    Py_CLEAR(state->group_type);
    Py_CLEAR(state->account_type);
    Py_CLEAR(state->governor_type);
    Py_CLEAR(state->governed_type);
    Py_CLEAR(state->task_factory_type);
    Py_CLEAR(state->checkpoint_type);
    Py_CLEAR(state->select_watch_type);
    Py_CLEAR(state->heartbeat_type);
    Py_CLEAR(state->cpu_timer_type);
    Py_CLEAR(state->manual_task_type);
    Py_CLEAR(state->group_totals_type);
    Py_CLEAR(state->awaiter_type);
    Py_CLEAR(state->pump_token_type);
    Py_CLEAR(state->get_running_loop);
    Py_CLEAR(state->context_keyword);
    Py_CLEAR(state->find_regions);
    Py_CLEAR(state->on_blocked);
    pulse_holders_forget(state);
    Py_CLEAR(state->held_regions);
    Py_CLEAR(state->slow_queue_type);
    Py_CLEAR(state->flow_type);
    Py_CLEAR(state->cancelled_error);
    Py_CLEAR(state->preemption_starter);
    Py_CLEAR(state->preemption_restarter);
    Py_CLEAR(state->is_coroutine);
    Py_CLEAR(state->task_type);
    Py_CLEAR(state->tasks_namespace);
    Py_CLEAR(state->stock_task);
    Py_CLEAR(state->stock_create_future);
    Py_CLEAR(state->current_task);
    Py_CLEAR(state->task_get_name);
    Py_CLEAR(state->loop_keyword);
    Py_CLEAR(state->group_variable);
    Py_CLEAR(state->wrappers);
    Py_CLEAR(state->str_empty);
    Py_CLEAR(state->str_throw);
    Py_CLEAR(state->str_close);
    Py_CLEAR(state->str_qualname);
    Py_CLEAR(state->str_cr_code);
    Py_CLEAR(state->str_cr_frame);
    Py_CLEAR(state->str_cr_await);
    Py_CLEAR(state->str_call_later);
    Py_CLEAR(state->str_is_running);
    Py_CLEAR(state->str_thread_id);
    Py_CLEAR(state->str_get_coro);
    Py_CLEAR(state->str_set_result);
    Py_CLEAR(state->str_ready);
    Py_CLEAR(state->str_callback);
    Py_CLEAR(state->str_create_future);
    Py_CLEAR(state->str_future_blocking);
    Py_CLEAR(state->str_callbacks);
    Py_CLEAR(state->str_call_soon);
    Py_CLEAR(state->str_call_soon_threadsafe);
    Py_CLEAR(state->str_source_traceback);
    Py_CLEAR(state->str_task);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    PULSE_MODULE_INTERPRETERS PULSE_MODULE_GIL{0, NULL},
};

static PyModuleDef the_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "asyncio_pulse._core",
    .m_doc = "The native core: governed coroutines, accounts, clocks.",
    .m_size = sizeof(pulse_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&the_module);
}
