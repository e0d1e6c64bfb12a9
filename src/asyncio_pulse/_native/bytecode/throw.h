// What the arguments of a coroutine's `throw` mean.
#ifndef PULSE_THROW_H
#define PULSE_THROW_H

#include "base/compat.h"

// The exception that one to three arguments stand for: an instance, or a class and the value to make one from, then a
// traceback. New reference, or NULL with an exception. Python code may run.
PyObject *pulse_throw_exception(PyObject *const *args, Py_ssize_t count);

// Whether this is the cancellation of an anyio cancel scope. Once a turn, such a scope cancels the tasks that wait in it.
// It spares tasks that were already woken, and tasks behind a shield. Delivered late, the cancellation would drop the woken
// task's result, or get through the shield.
bool pulse_throw_is_repeated(PyObject *exception);

#endif
