// Tries a suspension before any is relied upon: the interpreter may differ from the headers that the core was compiled with.
//
// Functions of the module. Need the GIL.
#ifndef PULSE_TRIAL_H
#define PULSE_TRIAL_H

#include "base/compat.h"

// `try_suspension(coro, between)`: run a native coroutine to its end on slices of the stack, and call `between` whenever it
// is suspended. Returns what the coroutine returns.
PyObject *pulse_trial_run(PyObject *module, PyObject *arguments);

// `suspend_trial()`: suspend the coroutine of the trial in its middle. Does nothing outside of a trial.
PyObject *pulse_trial_suspend(PyObject *module, PyObject *ignored);

#endif
