// Parking: a resumption of an offender waits in the slow queue.
//
// The value or exception that the coroutine should receive is kept, and its task gets a future of the loop to wait for.
// When the future is done, the task resumes the coroutine, which then receives what was kept. This changes nothing in
// asyncio: a parked task is a task that waits for a future, and is cancelled as one.
#ifndef PULSE_PARK_H
#define PULSE_PARK_H

#include "model/governed.h"
#include "park/waiting.h"

// What a coroutine is resumed with: either a value or an exception, owned.
typedef struct {
    PyObject *value;
    PyObject *exception;
} pulse_delivery;

// A resumption begins. False: it runs now, with the contents of `delivery`. True: it is parked, `delivery` is empty, and
// the task waits for `*future`. Never fails: a resumption that cannot be parked runs.
bool pulse_park(pulse_governed *governed, pulse_delivery *delivery, PyObject **future);

// A coroutine has just suspended on `awaited`. If that is a parked task, and the coroutine is no offender, the task is
// released at once. Never fails.
void pulse_park_suspended(pulse_governed *governed, PyObject *awaited);

// A poll was long: those of its group that wait are expected to take as long.
void pulse_park_expect(pulse_governed *governed, uint64_t own_ticks);

// A poll has ended that may have been a slice, or that was preempted.
void pulse_park_poll_ended(pulse_governed *governed, uint64_t own_ticks, bool preempted);

// Called after that: a preempted coroutine waits in the queue until it goes on. `*result` is None, which its task would
// get; it becomes a future if the coroutine can be parked.
void pulse_park_preempted(pulse_governed *governed, PyObject **result);

// A coroutine that was released is resumed, but no longer measured. Its slice is charged with nothing.
void pulse_park_unmeasured(pulse_governed *governed);

#endif
