#include "poll/hooks.h"

// Runs in the main thread, in whatever Python code is next.
static int
raise_there(void *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)exception), (PyObject *)exception);
    Py_DECREF((PyObject *)exception);
    return -1;
}

// The hooks' own faults are dealt with in Python, where they are called one by one. What still comes out is either a fault
// of ours or the exception of a user's signal handler that happened to run in there, Ctrl-C or SystemExit: that is raised
// once more, outside of our code.
void
pulse_hooks_settle(pulse_governor *governor, PyObject *result)
{
    if (result != NULL) {
        Py_DECREF(result);
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        pulse_state_contain_error(governor->state);
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        // By the signal, which the loop may handle in its own way.
        PyErr_Clear();
        PyErr_SetInterrupt();
        return;
    }
    PyObject *exception = pulse_exception_take_object();
    if (Py_AddPendingCall(raise_there, exception) < 0) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
        pulse_state_contain_error(governor->state);
    }
}

void
pulse_hooks_before_poll(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    PyObject *hooks = Py_NewRef(governor->hooks);
    PyObject *result = PyObject_CallMethod(hooks, "before_poll", "KiiO", (unsigned long long)governed->task_id,
                                           governor->worker_id, (int)governed->priority, governed->group->name);
    pulse_hooks_settle(governor, result);
    Py_DECREF(hooks);
}

void
pulse_hooks_tell(pulse_governed *governed, const char *what)
{
    pulse_governor *governor = governed->governor;
    if (governor->hooks == NULL) {
        return;
    }
    PyObject *hooks = Py_NewRef(governor->hooks);
    pulse_hooks_settle(governor, PyObject_CallMethod(hooks, what, "K", (unsigned long long)governed->task_id));
    Py_DECREF(hooks);
}

void
pulse_hooks_after_poll(pulse_governed *governed, pulse_poll_result result, uint64_t ticks, bool yielded)
{
    pulse_governor *governor = governed->governor;
    unsigned long long task = governed->task_id;
    pulse_exception raised = pulse_exception_take();
    PyObject *hooks = Py_NewRef(governor->hooks);
    pulse_hooks_settle(governor, PyObject_CallMethod(hooks, "after_poll", "KiK", task, (int)result,
                                         (unsigned long long)pulse_clock_to_ns(ticks)));
    if (result != PULSE_POLL_PENDING) {
        pulse_hooks_settle(governor, PyObject_CallMethod(hooks, "on_completion", "K", task));
    }
    else if (yielded) {
        pulse_hooks_settle(governor, PyObject_CallMethod(hooks, "on_yield", "K", task));
    }
    Py_DECREF(hooks);
    pulse_exception_put_back(raised);
}
