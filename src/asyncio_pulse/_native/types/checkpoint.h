// Cooperative budgets: spend operations of the running poll, and yield to the loop when they are used up.
#ifndef PULSE_CHECKPOINT_H
#define PULSE_CHECKPOINT_H

#include "model/state.h"

extern PyType_Spec pulse_checkpoint_spec;

// A new awaitable. It yields to the loop once if `yields` is true; otherwise it is done at once.
PyObject *pulse_checkpoint_new(pulse_state *state, bool yields);

// Module functions.
PyObject *pulse_checkpoint_current(PyObject *module, PyObject *ignored);
PyObject *pulse_checkpoint_budget_spent(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
PyObject *pulse_checkpoint(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);

#endif
