// What the watchdog captures once it has the GIL: stacks of other threads, as text.
//
// New references; NULL with an exception on failure. Of Python code only this runs, and only where it is written in Python:
// a loop's `_thread_id` and `is_running`, and a coroutine's `cr_frame`. Others run meanwhile, and may cease to watch the loop.
#ifndef PULSE_CAPTURE_H
#define PULSE_CAPTURE_H

#include "base/diagnosis.h"
#include "model/governor.h"

// The stack of the innermost governed poll of a thread, as a tuple of (function, filename, line), innermost first; NULL
// without an exception if there is none.
PyObject *pulse_capture_poll(pulse_state *state, pulse_thread *thread);

// Whether the loop runs at all. A stopped loop is not stalled.
bool pulse_capture_is_running(pulse_governor *governor);

// Fill in group, task, place and class of a stall. -1 with an exception on failure.
int pulse_capture_stall(pulse_governor *governor, pulse_stall_class stall_class, pulse_worst_entry *entry);

// Fill in the culprit of a stall for lack of the GIL: of the suspects, which are threads of the operating system, those
// that run Python code and stand still now that the caller has the GIL. -1 with an exception on failure.
int pulse_capture_culprit(const uint64_t *suspects, int count, pulse_worst_entry *entry);

#endif
