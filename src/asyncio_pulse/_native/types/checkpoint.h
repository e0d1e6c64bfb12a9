// Cooperative budgets: spend operations of the running poll, and give way when they are used up.
#ifndef PULSE_CHECKPOINT_H
#define PULSE_CHECKPOINT_H

#include "model/state.h"

extern PyType_Spec pulse_checkpoint_spec;

// A new awaitable; one that yields gives way to the loop once, one that does not is done at once.
PyObject *pulse_checkpoint_new(pulse_state *state, bool yields);

// Module functions.
PyObject *pulse_checkpoint_current(PyObject *module, PyObject *ignored);
PyObject *pulse_checkpoint_budget_spent(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);
PyObject *pulse_checkpoint(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);

#endif
