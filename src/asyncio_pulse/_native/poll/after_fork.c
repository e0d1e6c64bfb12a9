#include "poll/after_fork.h"

#include "preempt/preemption.h"
#include "watch/watchdog.h"

// Whether the call that forks is over: its frame runs, or is left. Hooks of the fork run above it.
static bool
has_forked(PyObject *forking_frame)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    bool runs = (PyObject *)frame == forking_frame, is_found = runs;
    while (frame != NULL && !is_found) {
        Py_SETREF(frame, PyFrame_GetBack(frame));
        is_found = (PyObject *)frame == forking_frame;
    }
    Py_XDECREF(frame);
    return runs || !is_found;
}

// Runs in the main thread between two instructions.
static int
resume_if_forked(void *argument)
{
    pulse_state *state = argument;
    if (state->forking_frame == NULL) {
        return 0;
    }
    pulse_exception raised = pulse_exception_take();
    if (!has_forked(state->forking_frame)) {
        // A full queue is no loss: the next poll starts the threads, too.
        Py_AddPendingCall(resume_if_forked, state);
    }
    else {
        Py_CLEAR(state->forking_frame);
        if (pulse_watchdog_start(state, state->watchdog_interval_us) < 0) {
            pulse_state_contain_error(state);
        }
        pulse_preemption_go_on(state);
    }
    pulse_exception_put_back(raised);
    return 0;
}

void
pulse_after_fork_resume(pulse_state *state)
{
    PyFrameObject *hook = PyThreadState_GetFrame(PyThreadState_Get());
    PyFrameObject *forking = hook == NULL ? NULL : PyFrame_GetBack(hook);
    Py_XDECREF(hook);
    Py_XSETREF(state->forking_frame, (PyObject *)forking);
    if (forking != NULL) {
        Py_AddPendingCall(resume_if_forked, state);
    }
}

void
pulse_after_fork_forget(pulse_state *state)
{
    Py_CLEAR(state->forking_frame);
}
