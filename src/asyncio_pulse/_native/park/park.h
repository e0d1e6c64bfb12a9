// Parking: a resumption of an offender waits in the slow queue.
//
// What the coroutine should receive, a value or an exception, is kept, and its task is given a future of the loop to wait
// for. When that is done the task resumes the coroutine, which then gets what was kept. So nothing of asyncio is changed: a
// parked task is a task that waits for a future, and it is cancelled as one.
#ifndef PULSE_PARK_H
#define PULSE_PARK_H

#include "model/governed.h"
#include "queue/runqueue.h"

typedef enum {
    PULSE_UNPARKED,
    // In the queue, which holds the coroutine.
    PULSE_PARKED,
    // Its future is done; its task is about to resume it.
    PULSE_RELEASED,
    // Running, in a slice that is charged when it ends.
    PULSE_IN_SLICE,
} pulse_parking_state;

// What one that is parked waits for; each has a queue of its own.
typedef enum {
    // Its turn among the offenders.
    PULSE_WAITS_AS_OFFENDER,
    // The share of those at Isolate.
    PULSE_WAITS_ISOLATED,
    // A turn of the loop that is not overlong.
    PULSE_WAITS_FOR_TURN,
    PULSE_WAYS_TO_WAIT,
} pulse_way_to_wait;

// Of one coroutine, from the first time that it may be parked.
typedef struct pulse_parking {
    // First: the queue knows only this.
    pulse_queue_node node;
    // Borrowed: its owner.
    pulse_governed *governed;
    pulse_parking_state state;
    pulse_way_to_wait waits;
    // Whose time is nobody's: it was critical, or about to be cancelled.
    bool is_urgent;
    // It is being decided whether it waits: whoever resumes it meanwhile, from Python code that runs in there, runs it.
    bool is_deciding;
    // Held: the node's key is its address.
    pulse_group *group;
    // Already taken off the allowance when it was released.
    uint64_t expected_ticks;
    uint64_t parked_at;
    // Until it was released.
    uint64_t waited_ticks;
    PyObject *future;
    // What was delivered: one of the two.
    PyObject *value;
    PyObject *exception;
} pulse_parking;

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

// The coroutine ends: it is out of the queue, and what was kept for it is gone. Python code may run.
void pulse_park_forget(pulse_governed *governed);

// Its wrapper goes. Not before: whoever decides whether it waits has the parking in hand while Python code runs.
void pulse_park_free(pulse_governed *governed);

// It is out of the queue, and nobody will ever resume it. Python code may run; nothing is raised.
void pulse_park_abandon(pulse_governed *governed);

int pulse_park_traverse(const pulse_governed *governed, visitproc visit, void *arg);

#endif
