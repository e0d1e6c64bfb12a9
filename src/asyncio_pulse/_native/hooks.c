#include "hooks.h"

// The hooks' own faults are dealt with in Python, where they are called one by one. What still comes out is either a fault
// of ours or the exception of a user's signal handler that happened to run in there: Ctrl-C is sent once more, so that it is
// raised outside of our code.
void
pulse_hooks_settle(pulse_governor *governor, PyObject *result)
{
    if (result != NULL) {
        Py_DECREF(result);
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        PyErr_SetInterrupt();
        return;
    }
    pulse_state_contain_error(governor->state);
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
