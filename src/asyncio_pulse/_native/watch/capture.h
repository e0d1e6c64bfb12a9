// What the watchdog captures once it has the GIL: stacks of other threads, as text.
//
// Functions that return objects return new references, or NULL with an exception on failure. The only Python code that runs
// is a loop's `_thread_id` and `is_running`, and a coroutine's `cr_frame`, and only where these are written in Python.
// Other threads may run meanwhile, and may stop the watching of the loop.
#ifndef PULSE_CAPTURE_H
#define PULSE_CAPTURE_H

#include "base/diagnosis.h"
#include "model/governor.h"

// A frame as a tuple of (function, filename, line).
PyObject *pulse_capture_frame(PyFrameObject *frame);

// The stack of the innermost governed poll of a thread, as a tuple of (function, filename, line), innermost first; NULL
// without an exception if there is none, or if its coroutine does not execute: not yet, or not any more. If the GIL was kept from
// the caller for long, functions that have just begun are left out.
PyObject *pulse_capture_poll(pulse_state *state, pulse_thread *thread, bool gil_was_kept);

// Whether the loop runs at all. A stopped loop is not stalled.
bool pulse_capture_is_running(pulse_governor *governor);

// Fill in group, task, place and class of a stall. -1 with an exception on failure.
int pulse_capture_stall(pulse_governor *governor, pulse_stall_class stall_class, bool gil_was_kept,
                        pulse_worst_entry *entry);

// Fill in group, task and place of a stall of which nothing is known. -1 with an exception on failure.
int pulse_capture_nothing(pulse_worst_entry *entry);

// Name the culprit of a stall for lack of the GIL. `suspects` are threads of the operating system. A culprit is a suspect
// that runs Python code and stands still while the caller has the GIL. -1 with an exception on failure.
int pulse_capture_culprit(const uint64_t *suspects, int count, pulse_worst_entry *entry);

#endif
