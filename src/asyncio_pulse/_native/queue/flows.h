// Flows: what waits at one priority for one group, and what the disciplines remember of it.
//
// The table owns its flows; a flow stays where it is in memory until the table is freed, but a forgotten one is used again
// for another key. No Python.h; one thread at a time.
#ifndef PULSE_FLOWS_H
#define PULSE_FLOWS_H

#include "base/links.h"

enum {
    PULSE_FLOW_HOLDERS,
    PULSE_FLOW_PLAIN,
    PULSE_FLOW_LANES,
};

typedef struct pulse_flow {
    uintptr_t key;
    uint8_t priority;
    // Its number, from 0, among all flows that the table ever made.
    uint32_t slot;
    // Nodes in its lanes. A flow is *waiting* while there are any, *idle* otherwise.
    uint32_t queued;
    uint64_t served;
    // Since it began to wait, or its last slice, whichever is later.
    uint64_t waiting_since_ns;
    pulse_link lanes[PULSE_FLOW_LANES];

    // Among all that wait, longest first.
    pulse_link waiting;
    // Among those of its priority that have holders.
    pulse_link holding;
    // Waiting: where its discipline put it. Idle: among the idle, longest first. Forgotten: among the spare.
    pulse_link turn;
    struct pulse_flow *chain;

    // Deficit round robin: what it may still use, or owes when negative; the round it was last granted a quantum in; the
    // slices not yet charged, and what was taken for them in advance.
    int64_t deficit_us;
    uint64_t round;
    uint64_t prepaid_us;
    uint64_t unpaid;
    // Lottery: with compensation.
    uint32_t tickets;
} pulse_flow;

typedef struct {
    pulse_flow **slots;
    pulse_flow **buckets;
    uint32_t made;
    // Of slots and of buckets: a power of two.
    uint32_t capacity;
    pulse_link spare;
} pulse_flow_table;

void pulse_flows_init(pulse_flow_table *table);
void pulse_flows_free(pulse_flow_table *table);

// The flow, or NULL if there is none.
pulse_flow *pulse_flows_find(const pulse_flow_table *table, uint8_t priority, uintptr_t key);

// A flow that `pulse_flows_find` did not find: all zero, in no ring. NULL when memory runs out.
pulse_flow *pulse_flows_make(pulse_flow_table *table, uint8_t priority, uintptr_t key);

// Let go of a flow that is in no ring.
void pulse_flows_forget(pulse_flow_table *table, pulse_flow *flow);

#endif
