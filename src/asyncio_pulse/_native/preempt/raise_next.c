#include "preempt/raise_next.h"

static bool
trace_instructions(PyObject *frame, bool wanted)
{
    int result = PyObject_SetAttrString(frame, "f_trace_opcodes", wanted ? Py_True : Py_False);
    PyErr_Clear();
    return result == 0;
}

// Called for the next instruction. `waiting` has the frame that it is for, and the exception.
static int
on_event(PyObject *waiting, PyFrameObject *frame, int Py_UNUSED(event), PyObject *Py_UNUSED(argument))
{
    // The handler of another signal may run first.
    if ((PyObject *)frame != PyTuple_GET_ITEM(waiting, 0)) {
        return 0;
    }
    PyObject *exception = Py_NewRef(PyTuple_GET_ITEM(waiting, 1));
    trace_instructions((PyObject *)frame, false);
    PyEval_SetTrace(NULL, NULL);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return -1;
}

bool
pulse_raise_next(PyObject *exception)
{
    PyThreadState *thread_state = PyThreadState_Get();
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    if (frame == NULL || thread_state->c_tracefunc != NULL || thread_state->tracing > 0) {
        return false;
    }
    PyObject *waiting = PyTuple_Pack(2, frame, exception);
    if (waiting == NULL) {
        PyErr_Clear();
        return false;
    }
    // Before the trace function: Python 3.12 looks for it then.
    bool is_set = trace_instructions(frame, true);
    if (is_set) {
        PyEval_SetTrace(on_event, waiting);
        is_set = thread_state->c_tracefunc == on_event;
    }
    Py_DECREF(waiting);
    PyErr_Clear();
    return is_set;
}
