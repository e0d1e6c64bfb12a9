// Tasks that keep others waiting while they wait themselves: they hold something, or are awaited.
#ifndef PULSE_HOLDERS_H
#define PULSE_HOLDERS_H

#include "model/governed.h"

// Forget all regions in which code may hold something. A new finder may find other ones.
void pulse_holders_forget(pulse_state *state);

// Whether a suspended coroutine, or one that it awaits, is inside the body of an `async with`: it may hold a lock, a
// semaphore, a connection. Runs Python code once for each code object. Never fails.
bool pulse_holders_is_one(pulse_governor *governor, PyObject *coro);

// Whether a governed call that a task awaits is more urgent than NORMAL. Never fails.
bool pulse_holders_has_urgent_call(pulse_governed *governed);

// The governed coroutine of the task that a callback wakes, or NULL. New reference. Never fails.
pulse_governed *pulse_holders_waiter_of(pulse_state *state, PyObject *callback);

// Whether a non-offender awaits the task that is being resumed. If so, this task must not wait. All tasks that await it
// lend it their priority: `priority` becomes the smallest number. Never fails.
bool pulse_holders_is_waited_for(pulse_governed *governed, unsigned *priority);

#endif
