// Lets a governor count from zero again, because its process was forked.
#ifndef PULSE_ANEW_H
#define PULSE_ANEW_H

#include <Python.h>

// `start_anew()` of governors. Needs the GIL, and no other thread may be running the loop. Runs no Python code except
// finalisers of dropped objects.
PyObject *pulse_anew_start(PyObject *self, PyObject *ignored);

#endif
