#include "poll/hooks.h"

void
pulse_hooks_before_poll(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    PyObject *hooks = Py_NewRef(governor->hooks);
    PyObject *result = PyObject_CallMethod(hooks, "before_poll", "KiiO", (unsigned long long)governed->task_id,
                                           governor->worker_id, (int)governed->priority, governed->group->name);
    pulse_state_settle(governor->state, result);
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
    pulse_state_settle(governor->state, PyObject_CallMethod(hooks, what, "K", (unsigned long long)governed->task_id));
    Py_DECREF(hooks);
}

void
pulse_hooks_after_poll(pulse_governed *governed, pulse_poll_result result, uint64_t ticks, bool yielded)
{
    pulse_governor *governor = governed->governor;
    unsigned long long task = governed->task_id;
    pulse_exception raised = pulse_exception_take();
    PyObject *hooks = Py_NewRef(governor->hooks);
    pulse_state_settle(governor->state, PyObject_CallMethod(hooks, "after_poll", "KiK", task, (int)result,
                                                            (unsigned long long)pulse_clock_to_ns(ticks)));
    if (result != PULSE_POLL_PENDING) {
        pulse_state_settle(governor->state, PyObject_CallMethod(hooks, "on_completion", "K", task));
    }
    else if (yielded) {
        pulse_state_settle(governor->state, PyObject_CallMethod(hooks, "on_yield", "K", task));
    }
    Py_DECREF(hooks);
    pulse_exception_put_back(raised);
}
