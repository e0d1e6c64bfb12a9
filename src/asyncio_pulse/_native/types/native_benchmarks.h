// Native costs for the benchmarks: what one operation takes without the call from Python around it.
#ifndef PULSE_NATIVE_BENCHMARKS_H
#define PULSE_NATIVE_BENCHMARKS_H

#include "model/state.h"

// measure_native(what, rounds) -> ns an operation.
PyObject *pulse_native_benchmarks_measure(PyObject *module, PyObject *args);

#endif
