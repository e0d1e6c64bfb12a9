// The pump: once a turn of the loop, while anything is parked, it decides who is released.
//
// Owned by a governor; the loop's own thread runs it. Offenders together get an allowance of time. It is granted anew when
// the loop has been round since the last slices, so that whatever those kept waiting, timers and sockets included, comes
// first.
#ifndef PULSE_PUMP_H
#define PULSE_PUMP_H

#include "park/park.h"

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
int pulse_pump_configure(pulse_governor *governor, const pulse_pump_settings *settings);

// How many are parked in that way.
uint32_t pulse_pump_waiting(const pulse_pump *pump, pulse_way_to_wait waits);
bool pulse_pump_is_empty(const pulse_pump *pump);

// Have the loop call the pump in its next turn. -1 with an exception if it cannot.
int pulse_pump_arm(pulse_governor *governor, PyObject *loop);

// The same for the loop that runs now. Leaves no exception.
void pulse_pump_arm_here(pulse_governor *governor);

// Release what waits in that way, in its order, until so much time is expected to be used. Returns what is left of it.
int64_t pulse_pump_release(pulse_governor *governor, pulse_way_to_wait waits, int64_t ticks);

// Release one that is queued, out of its turn.
void pulse_pump_lift(pulse_governor *governor, pulse_parking *parking);

// How many callbacks are ready in the loop that runs; -1 where that cannot be seen. Never fails.
Py_ssize_t pulse_pump_ready(const pulse_pump *pump);

// Release everything that is parked, in the loop's thread; from any thread.
void pulse_pump_release_all(pulse_governor *governor);

// Take out anybody, to empty the queues; NULL when nobody is left.
pulse_queue_node *pulse_pump_take_any(pulse_pump *pump);

// It is out of the queue, which held it, and its future is done from now on.
void pulse_pump_release_one(pulse_governor *governor, pulse_queue_node *node);

// The loop is gone, and nobody who is parked will run: let go of them.
void pulse_pump_drop_all(pulse_pump *pump);

void pulse_pump_free(pulse_governor *governor);

// New dict of counters, and what the queues tell.
PyObject *pulse_pump_statistics(const pulse_governor *governor);

extern PyType_Spec pulse_pump_token_spec;

#endif
