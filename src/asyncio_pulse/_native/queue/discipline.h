// What a discipline is, and the inside of the run queue, for the files that implement them. No Python.h.
#ifndef PULSE_DISCIPLINE_H
#define PULSE_DISCIPLINE_H

#include "queue/records.h"

// Those marked (optional) may be NULL: nothing to do.
typedef struct {
    // Take over: no flow is in any of its rings yet. Flows that wait come by `arrived` next. False when memory runs out.
    bool (*start)(pulse_runqueue *queue);
    // (optional)
    void (*stop)(pulse_runqueue *queue);
    // Memory for so many flows; false when it runs out. (optional)
    bool (*reserve)(pulse_runqueue *queue, uint32_t flows);
    // A new flow, or one that waited under another discipline. (optional)
    void (*forgive)(pulse_runqueue *queue, pulse_flow *flow);
    // It has something queued now; it has nothing queued any more. Its `turn` is the discipline's in between.
    void (*arrived)(pulse_runqueue *queue, pulse_flow *flow);
    void (*left)(pulse_runqueue *queue, pulse_flow *flow);
    // One of the flows that wait; there is at least one.
    pulse_flow *(*choose)(pulse_runqueue *queue);
    // A slice was given to this flow, chosen or not (a holder, a rescue).
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
    // A binary tree of sums, root at 1; its leaves are the tickets of the flows that wait, by slot.
    uint32_t *sums;
    uint32_t leaves;
    uint64_t random;
    uint8_t strata[PULSE_LOTTERY_STRATA];
    unsigned strata_left;
} pulse_lottery_state;

typedef struct {
    uint64_t round;
    // Flows that this round has not passed yet, and those that wait for the next one.
    pulse_link this_round;
    pulse_link next_round;
} pulse_deficit_state;

struct pulse_runqueue {
    pulse_queue_settings settings;
    const pulse_discipline *discipline;
    pulse_flow_table flows;
    // Nodes, first come first.
    pulse_link urgent;
    // Flows: all that wait, and those with holders by priority; and the idle ones.
    pulse_link waiting;
    pulse_link holding[PULSE_QUEUE_PRIORITIES];
    pulse_link idle;
    uint32_t idle_count;
    unsigned slices_since_rescue;
    // The latest time that was told: time does not go back.
    uint64_t now_ns;
    pulse_queue_statistics statistics;

    pulse_credit_state credit;
    pulse_lottery_state lottery;
    pulse_deficit_state deficit;
};

#endif
