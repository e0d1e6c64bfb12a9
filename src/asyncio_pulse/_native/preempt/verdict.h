// Whether the poll that runs on a slice may be suspended where the thread is, and whether it may be cancelled there.
//
// Needs the GIL. Judging allocates, so that the collector and with it Python code may run.
#ifndef PULSE_VERDICT_H
#define PULSE_VERDICT_H

#include "model/governed.h"
#include "preempt/slice.h"

// Which packages are never preempted, a frozenset, and which parts of a path mark installed code, a tuple of str.
void pulse_verdict_set_rules(PyObject *modules, PyObject *paths);

// Judge the place where the thread is, or where it will be if `starting` is about to run. `where` receives the frame that
// the verdict is about; its `code` is NULL if there is none.
pulse_rule pulse_verdict_place(const pulse_thread *thread, const pulse_slice *slice, const pulse_frame *starting,
                               pulse_frame *where);

// Whether a cancellation may be raised in the coroutine whose poll goes on, on that slice.
bool pulse_verdict_may_cancel(const pulse_governed *governed, const pulse_slice *slice);

#endif
