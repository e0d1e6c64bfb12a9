// What the watchdog captures once it has the GIL: stacks of other threads, as text.
//
// New references; NULL with an exception on failure. C only: Python code does not run, except the `is_running` of a loop.
#ifndef PULSE_CAPTURE_H
#define PULSE_CAPTURE_H

#include "diagnosis.h"
#include "governor.h"

// The stack of the innermost governed poll of a thread, as a tuple of (function, filename, line), innermost first; NULL
// without an exception if there is none.
PyObject *pulse_capture_poll(pulse_state *state, pulse_thread *thread);

// Whether the loop runs at all. A stopped loop is not stalled.
bool pulse_capture_is_running(pulse_governor *governor);

// Fill in group, task, place, class and culprit of a stall. -1 with an exception on failure.
int pulse_capture_stall(pulse_governor *governor, const pulse_diagnosis *diagnosis, pulse_worst_entry *entry);

#endif
