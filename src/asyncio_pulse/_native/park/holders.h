// Who keeps others waiting while it waits itself.
#ifndef PULSE_HOLDERS_H
#define PULSE_HOLDERS_H

#include "model/governed.h"

// Forget where code may hold something, as another finder may say otherwise.
void pulse_holders_forget(pulse_state *state);

// Whether a suspended coroutine, or one that it awaits, is inside the body of an `async with`: it may hold a lock, a
// semaphore, a connection. Runs Python code once for each code object; never fails.
bool pulse_holders_is_one(pulse_governor *governor, PyObject *coro);

// Whether a governed call that a task awaits is more urgent than NORMAL. Never fails.
bool pulse_holders_has_urgent_call(pulse_governed *governed);

// The governed coroutine of the task whose wake-up a callback is, or NULL; new reference. Never fails.
pulse_governed *pulse_holders_waiter_of(pulse_state *state, PyObject *callback);

// The task that is being resumed is awaited by others. They lend it their priority: `priority` becomes the smallest number.
// True if one of them is no offender: then this one must not wait. Never fails.
bool pulse_holders_is_waited_for(pulse_governed *governed, unsigned *priority);

#endif
