// Native costs for the benchmarks: the time of one operation without the call from Python around it.
#ifndef PULSE_NATIVE_BENCHMARKS_H
#define PULSE_NATIVE_BENCHMARKS_H

#include "model/state.h"

// measure_native(what, rounds) -> ns per operation.
PyObject *pulse_native_benchmarks_measure(PyObject *module, PyObject *args);

#endif
