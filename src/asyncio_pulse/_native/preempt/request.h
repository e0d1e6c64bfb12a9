// Requests to the running poll to give way: when they are due, and what happens when the signal comes.
//
// Signals belong to the process and are handled in the main thread, so requests concern polls of that thread. Counters
// belong to the governor. Needs the GIL.
#ifndef PULSE_REQUEST_H
#define PULSE_REQUEST_H

#include "preempt/asking.h"

// Before a poll that is not plain: decide how far the coroutine may be preempted in it.
void pulse_request_prepare(pulse_governed *governed, pulse_thread *thread);

// The poll begins. Returns the request to the enclosing poll, for pulse_request_end.
pulse_request pulse_request_begin(pulse_governed *governed, pulse_thread *thread);
void pulse_request_end(const pulse_request *enclosing, bool was_suspended);

// Function of the module: the signal's handler.
PyObject *pulse_request_on_signal(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
