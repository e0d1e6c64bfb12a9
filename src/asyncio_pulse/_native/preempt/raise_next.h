// Raise an exception at the next instruction of the running code.
//
// At some jumps back the interpreter looks up the wrong handler for what a signal handler raises, so that a `finally` would be
// missed. A trace function may raise at any instruction. Needs the GIL.
#ifndef PULSE_RAISE_NEXT_H
#define PULSE_RAISE_NEXT_H

#include "base/compat.h"

// Arrange that the exception is raised. False if that is not possible, such as under a debugger.
bool pulse_raise_next(PyObject *exception);

#endif
