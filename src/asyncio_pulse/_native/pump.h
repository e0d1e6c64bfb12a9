// The pump: once a turn of the loop, while anything is parked, it decides who is released.
//
// Owned by a governor; the loop's own thread runs it. Offenders together get an allowance of time. It is granted anew when
// the loop has been round since the last slices, so that whatever those kept waiting, timers and sockets included, comes
// first.
#ifndef PULSE_PUMP_H
#define PULSE_PUMP_H

#include "park.h"

typedef struct pulse_pump {
    pulse_runqueue *queue;
    // Those at Isolate.
    pulse_runqueue *isolated;
    uint64_t slice_ticks;
    double isolated_share;
    uint64_t starvation_ticks;
    // When more than one in a hundred of a group waited longer, the decisions are told.
    uint64_t breaker_ticks;
    // The group to tell of, owned, or NULL; and how long it waited.
    pulse_group *overdue;
    uint64_t overdue_ticks;
    // What offenders may still use before the next grant; below 0 when a slice was longer than expected.
    int64_t allowance_ticks;
    // The same for those who were cancelled while parked, each turn.
    int64_t cancel_allowance_ticks;
    int64_t isolated_credit_ticks;
    uint64_t isolated_credited_at;
    uint64_t isolated_served_at;
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
} pulse_pump_settings;

// Make or change a governor's pump; everything parked stays. -1 with an exception on failure.
int pulse_pump_configure(pulse_governor *governor, const pulse_pump_settings *settings);

// The queue that a coroutine waits in.
pulse_runqueue *pulse_pump_queue(const pulse_pump *pump, const pulse_parking *parking);

// Have the loop call the pump in its next turn. -1 with an exception if it cannot.
int pulse_pump_arm(pulse_governor *governor, PyObject *loop);

// Release one that is queued, out of its turn.
void pulse_pump_lift(pulse_governor *governor, pulse_parking *parking);

// Release everything that is parked, in the loop's thread; from any thread.
void pulse_pump_release_all(pulse_governor *governor);

void pulse_pump_free(pulse_governor *governor);

// New dict of counters, and what both queues tell.
PyObject *pulse_pump_statistics(const pulse_governor *governor);

extern PyType_Spec pulse_pump_token_spec;

#endif
