// Sections of no_preempt(). Functions of the module.
#ifndef PULSE_GUARDS_H
#define PULSE_GUARDS_H

#include "base/compat.h"

PyObject *pulse_guards_enter(PyObject *module, PyObject *ignored);
PyObject *pulse_guards_leave(PyObject *module, PyObject *entered);

#endif
