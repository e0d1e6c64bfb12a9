// Awaiter: the object that `governed.__await__()` returns to Python code, which may want to `yield from` it.
//
// `await` itself needs none. The awaiter is an iterator, like that of a coroutine, so that the governed coroutine need not
// be one: with `__iter__` it would pass for a generator.
#ifndef PULSE_AWAITER_H
#define PULSE_AWAITER_H

#include "model/state.h"

extern PyType_Spec pulse_awaiter_spec;

// A new awaiter of `target` (borrowed), an object with am_send, send, throw and close.
PyObject *pulse_awaiter_new(pulse_state *state, PyObject *target);

#endif
