#include "preempt/trial.h"

#include "bytecode/frame_layout.h"
#include "preempt/slice.h"

static pulse_slices *the_trial;

// Whether the interpreter's state has the layout that was compiled, as far as that can be told without a crash.
static bool
has_expected_layout(void)
{
    PyThreadState *thread_state = PyThreadState_Get();
    PyFrameObject *frame = PyThreadState_GetFrame(thread_state);
    PyCodeObject *code = frame == NULL ? NULL : PyFrame_GetCode(frame);
    const char *top = (const char *)thread_state->datastack_top, *chunk = (const char *)thread_state->datastack_chunk,
               *limit = (const char *)thread_state->datastack_limit;
    bool expected = code != NULL && pulse_frame_code(PULSE_CURRENT_FRAME(thread_state)) == code && chunk != NULL &&
                    chunk < top && top <= limit && thread_state->exc_info != NULL;
    Py_XDECREF(code);
    Py_XDECREF(frame);
    return expected;
}

static PyObject *
run_to_the_end(pulse_slices *slices, PyObject *coro, PyObject *between)
{
    pulse_slice *slice;
    PyObject *result;
    PySendResult outcome = pulse_slice_begin(slices, NULL, true, coro, Py_None, NULL, &result, &slice);
    while (slice != NULL && outcome == PYGEN_NEXT) {
        // What this leaves on the stack must not show in the coroutine.
        PyObject *done = PyObject_CallNoArgs(between);
        if (done == NULL) {
            PyErr_WriteUnraisable(between);
        }
        Py_XDECREF(done);
        outcome = pulse_slice_go_on(slices, slice, true, &result, &slice);
    }
    if (outcome == PYGEN_NEXT) {
        Py_CLEAR(result);
        PyErr_SetString(PyExc_RuntimeError, "the coroutine of a trial awaits nothing");
    }
    return result;
}

PyObject *
pulse_trial_run(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *coro, *between;
    if (!PyArg_ParseTuple(arguments, "O!O:try_suspension", &PyCoro_Type, &coro, &between)) {
        return NULL;
    }
    if (the_trial != NULL || !has_expected_layout()) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter's state is not what it should be");
        return NULL;
    }
    pulse_slices *slices = pulse_slices_new();
    if (slices == NULL) {
        return NULL;
    }
    the_trial = slices;
    PyObject *result = run_to_the_end(slices, coro, between);
    the_trial = NULL;
    pulse_slices_free(slices);
    return result;
}

PyObject *
pulse_trial_suspend(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (the_trial != NULL && pulse_slice_is_here(the_trial) && pulse_slice_suspend(the_trial) < 0) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}
