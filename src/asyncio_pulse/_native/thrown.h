// What the arguments of a coroutine's `throw` mean.
#ifndef PULSE_THROWN_H
#define PULSE_THROWN_H

#include "compat.h"

// The exception that one to three arguments stand for: an instance, or a class and what is to be made of it, and its
// traceback. New reference, or NULL with an exception. Python code may run.
PyObject *pulse_thrown_exception(PyObject *const *args, Py_ssize_t count);

#endif
