// Those that wait: what is kept of a parked coroutine, the queues of a loop's pump, and how one gets into them and out.
//
// A queue holds what waits in it. Needs the GIL; in the loop's thread.
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

typedef struct pulse_pump {
    pulse_runqueue *queues[PULSE_WAYS_TO_WAIT];
    uint64_t slice_ticks;
    // What all polls had used when this turn began.
    uint64_t used_before_turn;
    double isolated_share;
    uint64_t starvation_ticks;
    // Who waited longer was released late.
    uint64_t breaker_ticks;
    // Groups whose releases the decisions are to be told of, a list, or NULL.
    PyObject *released;
    // Who is no offender and waited for one that was parked, a dict, or NULL.
    PyObject *kept_waiting;
    // What offenders may still use before the next grant; below 0 when a slice was longer than expected.
    int64_t allowance_ticks;
    // The same for those who were cancelled while parked, each turn.
    int64_t cancel_allowance_ticks;
    int64_t isolated_credit_ticks;
    uint64_t isolated_credited_at;
    uint64_t isolated_served_at;
    // The ready queue of the loop, held from one turn to the next while anything is parked; NULL where it is hidden.
    PyObject *ready;
    // What the create_future of asyncio's loops calls, if the loop has that one; NULL if it has another, or has made none yet.
    PyObject *future_type;
    // Borrowed: the callable that the loop holds; it tells us when the loop drops it uncalled.
    PyObject *armed;
    // Runs outside of every task's context.
    PyObject *context;
    // Turns since the last grant.
    unsigned turns;
    uint64_t polls_seen;
    // Polls that were slices; all others are of those who came first.
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

// Make or change a governor's pump; everything parked stays. -1 with an exception on failure.
int pulse_waiting_configure(pulse_governor *governor, const pulse_pump_settings *settings);

// How many are parked in that way.
uint32_t pulse_waiting_count(const pulse_pump *pump, pulse_way_to_wait waits);
bool pulse_waiting_is_empty(const pulse_pump *pump);

// A coroutine's parking changes its state.
static inline void
pulse_waiting_set_state(pulse_governed *governed, pulse_parking_state state)
{
    governed->parking->state = state;
    // What is kept must be found again, whatever its tier is by then.
    if (state == PULSE_PARKED || state == PULSE_RELEASED) {
        governed->flags |= PULSE_GOVERNED_PARKED;
    }
    else {
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_PARKED;
    }
}

// Out of the queue, which lets go of the coroutine; the caller holds it.
void pulse_waiting_leave_queue(pulse_governed *governed);

// Charge the flow that one waited in with what its slice used.
void pulse_waiting_charge(pulse_parking *parking, uint64_t used_ticks);

// Release what waits in that way, in its order, until so much time is expected to be used. Returns what is left of it.
int64_t pulse_waiting_release(pulse_governor *governor, pulse_way_to_wait waits, int64_t ticks);

// Release one that is queued, out of its turn.
void pulse_waiting_lift(pulse_governor *governor, pulse_parking *parking);

// Take out anybody, to empty the queues; NULL when nobody is left.
pulse_queue_node *pulse_waiting_take_any(pulse_pump *pump);

// It is out of the queue, which held it, and its future is done from now on.
void pulse_waiting_release_one(pulse_governor *governor, pulse_queue_node *node);

// The coroutine ends: it is out of the queue, and what was kept for it is gone. Python code may run.
void pulse_waiting_forget(pulse_governed *governed);

// Its wrapper goes. Not before: whoever decides whether it waits has the parking in hand while Python code runs.
void pulse_waiting_free(pulse_governed *governed);

// It is out of the queue, and nobody will ever resume it. Python code may run; nothing is raised.
void pulse_waiting_abandon(pulse_governed *governed);

int pulse_waiting_traverse(const pulse_governed *governed, visitproc visit, void *arg);

// The loop is gone, and nobody who is parked will run: let go of them.
void pulse_waiting_drop_all(pulse_pump *pump);

// The governor goes: nothing is parked any more, and its pump is gone.
void pulse_waiting_free_pump(pulse_governor *governor);

// New dict of counters, and what the queues tell.
PyObject *pulse_waiting_statistics(const pulse_governor *governor);

#endif
