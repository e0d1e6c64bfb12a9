// Awaiter: what `governed.__await__()` returns to Python code, which may want to `yield from` it.
//
// `await` itself needs none. It is an iterator, as a coroutine's own is, so that the governed coroutine need not be one:
// with `__iter__` it would pass for a generator.
#ifndef PULSE_AWAITER_H
#define PULSE_AWAITER_H

#include "model/state.h"

extern PyType_Spec pulse_awaiter_spec;

// A new awaiter of an object that has am_send, send, throw and close (borrowed).
PyObject *pulse_awaiter_new(pulse_state *state, PyObject *target);

#endif
