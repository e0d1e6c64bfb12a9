// What the arguments of a coroutine's `throw` mean.
#ifndef PULSE_THROWN_H
#define PULSE_THROWN_H

#include "base/compat.h"

// The exception that one to three arguments stand for: an instance, or a class and what is to be made of it, and its
// traceback. New reference, or NULL with an exception. Python code may run.
PyObject *pulse_thrown_exception(PyObject *const *args, Py_ssize_t count);

// Whether this is the cancellation of a cancel scope of anyio. Such a scope cancels what waits in it once a turn, but nobody who
// was woken already, and nobody whom a shield protects by then: told in their place or later, it would lose what the one
// was woken with, and get through the shield of the other.
bool pulse_thrown_is_repeated(PyObject *exception);

#endif
