// Methods of a governor that put numbers in force. Python code checks the numbers.
#ifndef PULSE_CONFIGURE_H
#define PULSE_CONFIGURE_H

#include "base/compat.h"

PyObject *pulse_configure_governor(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_configure_tiers(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_configure_slow_queue(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_configure_chaos(PyObject *self, PyObject *args);

#endif
