// The interface of a discipline, and the inside of the run queue, for the files that implement them. No Python.h.
#ifndef PULSE_DISCIPLINE_H
#define PULSE_DISCIPLINE_H

#include "queue/records.h"

// Functions marked (optional) may be NULL if they have nothing to do.
typedef struct {
    // Take over: the discipline's rings are still empty, and `arrived` follows for each waiting flow. False when memory
    // runs out.
    bool (*start)(pulse_runqueue *queue);
    // (optional)
    void (*stop)(pulse_runqueue *queue);
    // Make room for this many flows; false when memory runs out. (optional)
    bool (*reserve)(pulse_runqueue *queue, uint32_t flows);
    // Reset what is kept of a flow that is new or comes from another discipline. (optional)
    void (*forgive)(pulse_runqueue *queue, pulse_flow *flow);
    // `arrived`: the flow now has something queued. `left`: nothing is queued any more. In between, `turn` is the
    // discipline's.
    void (*arrived)(pulse_runqueue *queue, pulse_flow *flow);
    void (*left)(pulse_runqueue *queue, pulse_flow *flow);
    // Choose one of the waiting flows; there is at least one.
    pulse_flow *(*choose)(pulse_runqueue *queue);
    // A slice was given to this flow, whether it was chosen or not (a holder, a rescue).
    void (*released)(pulse_runqueue *queue, pulse_flow *flow, uint64_t cost_us);
    // (optional)
    void (*charged)(pulse_runqueue *queue, pulse_flow *flow, uint64_t used_us);
} pulse_discipline;

enum { PULSE_LOTTERY_STRATA = 16 };

typedef struct {
    int credits[PULSE_QUEUE_PRIORITIES];
    pulse_link turns[PULSE_QUEUE_PRIORITIES];
} pulse_credit_state;

typedef struct {
    // A binary tree of sums, with its root at 1. The leaves are the tickets of the waiting flows, by slot.
    uint32_t *sums;
    uint32_t leaves;
    uint64_t random;
    uint8_t strata[PULSE_LOTTERY_STRATA];
    unsigned strata_left;
} pulse_lottery_state;

typedef struct {
    uint64_t round;
    // Flows that this round has not reached yet, and flows that wait for the next round.
    pulse_link this_round;
    pulse_link next_round;
} pulse_deficit_state;

struct pulse_runqueue {
    pulse_queue_settings settings;
    const pulse_discipline *discipline;
    pulse_flow_table flows;
    // Urgent nodes, first in first out.
    pulse_link urgent;
    // Rings of flows: all that wait; those with holders, by priority; the idle ones.
    pulse_link waiting;
    pulse_link holding[PULSE_QUEUE_PRIORITIES];
    pulse_link idle;
    uint32_t idle_count;
    unsigned slices_since_rescue;
    // The latest time seen, because time must not go back.
    uint64_t now_ns;
    pulse_queue_statistics statistics;

    pulse_credit_state credit;
    pulse_lottery_state lottery;
    pulse_deficit_state deficit;
};

#endif
