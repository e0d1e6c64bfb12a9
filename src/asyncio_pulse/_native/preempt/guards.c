// Sections in which the running task is not preempted: they nest, and belong to its innermost governed coroutine.
#include "preempt/guards.h"

#include "model/governed.h"

enum { MOST_GUARDS = UINT8_MAX };

PyObject *
pulse_guards_enter(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(module), false);
    pulse_governed *governed = thread == NULL ? NULL : thread->current;
    if (governed == NULL) {
        Py_RETURN_NONE;
    }
    if (governed->guards == MOST_GUARDS) {
        PyErr_SetString(PyExc_RecursionError, "no_preempt() is nested more than 255 deep");
        return NULL;
    }
    governed->guards++;
    return Py_NewRef((PyObject *)governed);
}

// The entry that the running coroutine made last, if several share a section; otherwise the last one.
static Py_ssize_t
entry_of(PyObject *entered, const pulse_governed *running)
{
    Py_ssize_t last = PyList_GET_SIZE(entered) - 1;
    for (Py_ssize_t i = last; i >= 0 && running != NULL; i--) {
        if (PyList_GET_ITEM(entered, i) == (PyObject *)running) {
            return i;
        }
    }
    return last;
}

PyObject *
pulse_guards_leave(PyObject *module, PyObject *entered)
{
    if (!PyList_Check(entered) || PyList_GET_SIZE(entered) == 0) {
        PyErr_SetString(PyExc_RuntimeError, "no_preempt() was left more often than entered");
        return NULL;
    }
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(module), false);
    Py_ssize_t index = entry_of(entered, thread == NULL ? NULL : thread->current);
    PyObject *guarded = Py_NewRef(PyList_GET_ITEM(entered, index));
    if (PyList_SetSlice(entered, index, index + 1, NULL) < 0) {
        Py_DECREF(guarded);
        return NULL;
    }
    if (Py_IS_TYPE(guarded, pulse_state_of_module(module)->governed_type) && ((pulse_governed *)guarded)->guards > 0) {
        ((pulse_governed *)guarded)->guards--;
    }
    Py_DECREF(guarded);
    Py_RETURN_NONE;
}
