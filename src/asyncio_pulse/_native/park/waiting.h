// What waits: the record of a parked coroutine, the queues of a loop's pump, and how a coroutine enters and leaves them.
//
// A queue holds the coroutines that wait in it. Needs the GIL; in the loop's thread.
#ifndef PULSE_WAITING_H
#define PULSE_WAITING_H

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

// What a parked coroutine waits for. Each kind has its own queue.
typedef enum {
    // Its turn among the offenders.
    PULSE_WAITS_AS_OFFENDER,
    // The share of the tasks at Isolate.
    PULSE_WAITS_ISOLATED,
    // A turn of the loop that is not overlong.
    PULSE_WAITS_FOR_TURN,
    PULSE_WAYS_TO_WAIT,
} pulse_way_to_wait;

// The record of one coroutine, made the first time that it may be parked.
typedef struct pulse_parking {
    // First member, because the queue knows only this.
    pulse_queue_node node;
    // Borrowed: the owner of this record.
    pulse_governed *governed;
    pulse_parking_state state;
    pulse_way_to_wait waits;
    // Its time is charged to no flow, because it was critical or about to be cancelled.
    bool is_urgent;
    // The decision whether it waits is under way, and Python code may run in it. A coroutine that such code resumes runs at
    // once.
    bool is_deciding;
    // Held, because its address is the node's key.
    pulse_group *group;
    // Taken off the allowance already, when it was released.
    uint64_t expected_ticks;
    uint64_t parked_at;
    // Time from parking to release.
    uint64_t waited_ticks;
    PyObject *future;
    // What was delivered: either a value or an exception.
    PyObject *value;
    PyObject *exception;
} pulse_parking;

typedef struct pulse_pump {
    pulse_runqueue *queues[PULSE_WAYS_TO_WAIT];
    uint64_t slice_ticks;
    // What all polls had used when this turn began.
    uint64_t used_before_turn;
    double isolated_share;
    uint64_t starvation_ticks;
    // A task that waited longer was released late.
    uint64_t breaker_ticks;
    // List of the groups whose releases are to be reported to the decisions, or NULL.
    PyObject *released;
    // Dict of the non-offenders that waited for a parked task, or NULL.
    PyObject *kept_waiting;
    // What offenders may still use before the next grant; negative after a slice that was longer than expected.
    int64_t allowance_ticks;
    // The same for tasks that were cancelled while parked, granted each turn.
    int64_t cancel_allowance_ticks;
    int64_t isolated_credit_ticks;
    uint64_t isolated_credited_at;
    uint64_t isolated_served_at;
    // The loop's ready queue, held from one turn to the next while anything is parked; NULL where it is hidden.
    PyObject *ready;
    // The class that asyncio's own create_future calls. NULL if the loop has another create_future, or has made no future
    // yet.
    PyObject *future_type;
    // Borrowed: the callable that the loop holds. Its deallocation shows that the loop has dropped it uncalled.
    PyObject *armed;
    // The pump runs in this context, outside of every task's context.
    PyObject *context;
    // Turns since the last grant.
    unsigned turns;
    uint64_t polls_seen;
    // Polls that had waited for a turn.
    uint64_t turn_polls;
    // Polls that were slices. All other polls are of tasks that come first.
    pulse_counter slices;
    pulse_counter parked;
    pulse_counter admitted;
    pulse_counter cancelled;
    pulse_counter lifted;
} pulse_pump;

typedef struct {
    pulse_algorithm algorithm;
    uint32_t max_size;
    uint64_t seed;
    uint64_t starvation_threshold_ns;
    uint64_t slice_ticks;
    double isolated_share;
    uint64_t breaker_ticks;
    uint64_t turn_ticks;
} pulse_pump_settings;

// Create or change a governor's pump. Everything parked stays parked. -1 with an exception on failure.
int pulse_waiting_configure(pulse_governor *governor, const pulse_pump_settings *settings);

// How many coroutines wait in that way.
uint32_t pulse_waiting_count(const pulse_pump *pump, pulse_way_to_wait waits);
bool pulse_waiting_is_empty(const pulse_pump *pump);

// Change the state of a coroutine's parking.
static inline void
pulse_waiting_set_state(pulse_governed *governed, pulse_parking_state state)
{
    governed->parking->state = state;
    // The flag leads to what is kept, whatever the tier is when the coroutine is resumed.
    if (state == PULSE_PARKED || state == PULSE_RELEASED) {
        governed->flags |= PULSE_GOVERNED_PARKED;
    }
    else {
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_PARKED;
    }
}

// Take a coroutine out of its queue, which drops its reference. The caller holds another one.
void pulse_waiting_leave_queue(pulse_governed *governed);

// Charge the use of a slice to the flow in which its coroutine waited.
void pulse_waiting_charge(pulse_parking *parking, uint64_t used_ticks);

// Release what waits in that way, in order, until `ticks` are expected to be used. Returns what is left of `ticks`.
int64_t pulse_waiting_release(pulse_governor *governor, pulse_way_to_wait waits, int64_t ticks);

// Release a queued coroutine out of its turn.
void pulse_waiting_lift(pulse_governor *governor, pulse_parking *parking);

// Take any node out of the queues, to empty them. NULL when they are empty.
pulse_queue_node *pulse_waiting_take_any(pulse_pump *pump);

// Complete the future of a coroutine that is out of its queue. Takes over the queue's reference to the coroutine.
void pulse_waiting_release_one(pulse_governor *governor, pulse_queue_node *node);

// The coroutine ends: take it out of its queue, and drop what was kept for it. Python code may run.
void pulse_waiting_forget(pulse_governed *governed);

// The wrapper is deallocated: free the parking. Not earlier, because the code that decides whether the coroutine waits
// still uses the parking after Python code has run.
void pulse_waiting_free(pulse_governed *governed);

// Give up a coroutine that is out of its queue and will never be resumed. Python code may run; nothing is raised.
void pulse_waiting_abandon(pulse_governed *governed);

int pulse_waiting_traverse(const pulse_governed *governed, visitproc visit, void *arg);

// The loop is gone, and no parked coroutine will run: drop them all.
void pulse_waiting_drop_all(pulse_pump *pump);

// The governor is deallocated: drop everything parked, and free the pump.
void pulse_waiting_free_pump(pulse_governor *governor);

// New dict of counters and of the statistics of the queues.
PyObject *pulse_waiting_statistics(const pulse_governor *governor);

#endif
