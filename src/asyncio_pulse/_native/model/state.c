#include "model/state.h"

void
pulse_state_contain_error(pulse_state *state)
{
    bool is_first = atomic_fetch_add_explicit(&state->internal_errors, 1, memory_order_relaxed) == 0;
    if (is_first) {
        PyErr_WriteUnraisable(state->group_variable);
    }
    PyErr_Clear();
}

// Runs in the main thread, within whatever Python code is next.
static int
raise_there(void *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)exception), (PyObject *)exception);
    Py_DECREF((PyObject *)exception);
    return -1;
}

// Hooks and decisions handle their own faults in Python, where each is called. What still gets out is either a fault of
// ours, or Ctrl-C or SystemExit from a user's signal handler that ran in there. The latter is raised again, outside our
// code.
void
pulse_state_settle(pulse_state *state, PyObject *result)
{
    if (result != NULL) {
        Py_DECREF(result);
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        pulse_state_contain_error(state);
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        // Raised again through the signal, which the loop may handle in its own way.
        PyErr_Clear();
        PyErr_SetInterrupt();
        return;
    }
    PyObject *exception = pulse_exception_take_object();
    if (Py_AddPendingCall(raise_there, exception) < 0) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
        pulse_state_contain_error(state);
    }
}
