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

PyObject *
pulse_guards_leave(PyObject *module, PyObject *argument)
{
    if (Py_IS_TYPE(argument, pulse_state_of_module(module)->governed_type) &&
        ((pulse_governed *)argument)->guards > 0) {
        ((pulse_governed *)argument)->guards--;
    }
    Py_RETURN_NONE;
}
