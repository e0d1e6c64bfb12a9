// Parking: a resumption of an offender waits in the slow queue.
//
// What the coroutine should receive, a value or an exception, is kept, and its task is given a future of the loop to wait
// for. When that is done the task resumes the coroutine, which then gets what was kept. So nothing of asyncio is changed: a
// parked task is a task that waits for a future, and it is cancelled as one.
#ifndef PULSE_PARK_H
#define PULSE_PARK_H

#include "model/governed.h"
#include "park/waiting.h"

// What a coroutine is resumed with: one of the two, owned.
typedef struct {
    PyObject *value;
    PyObject *exception;
} pulse_delivery;

// A resumption begins. Either it is to run now, with what `delivery` then holds; or it is parked: then true, `delivery` is
// empty, and `*future` is what the task is to wait for. Never fails: what cannot be parked runs.
bool pulse_park(pulse_governed *governed, pulse_delivery *delivery, PyObject **future);

// A coroutine has just suspended with what it waits for. If that is a task which is parked, and this is no offender, the task
// need not wait any longer. Never fails.
void pulse_park_suspended(pulse_governed *governed, PyObject *awaited);

// A poll ended that may have been a slice, or was left in the middle of its code.
void pulse_park_poll_ended(pulse_governed *governed, uint64_t own_ticks, bool preempted);

// After that: a preempted coroutine waits in the queue until it goes on. `*result` is what its task gets, None, and becomes
// a future if it can be parked.
void pulse_park_preempted(pulse_governed *governed, PyObject **result);

// The same, of one that was released but is not measured any more.
void pulse_park_unmeasured(pulse_governed *governed);

#endif
