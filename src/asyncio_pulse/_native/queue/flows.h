// Flows: what waits for one group at one priority, and what the disciplines remember of it.
//
// The table owns its flows. A flow keeps its address until the table is freed, but a forgotten flow is used again for
// another key. No Python.h; one thread at a time.
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
    // Its number among all flows that the table ever made, from 0.
    uint32_t slot;
    // Number of nodes in its lanes. A flow is *waiting* while there are any, *idle* otherwise.
    uint32_t queued;
    uint64_t served;
    // When it began to wait, or had its last slice, whichever is later.
    uint64_t waiting_since_ns;
    pulse_link lanes[PULSE_FLOW_LANES];

    // In the ring of all waiting flows, longest wait first.
    pulse_link waiting;
    // In the ring of the flows of its priority that have holders.
    pulse_link holding;
    // While waiting: where its discipline put it. While idle: in the ring of idle flows, longest idle first. Once
    // forgotten: in the ring of spare flows.
    pulse_link turn;
    struct pulse_flow *chain;

    // Deficit round robin: what the flow may still use, or owes if negative; the last round in which it was granted a
    // quantum; what was taken in advance for slices not yet charged, and the number of these slices.
    int64_t deficit_us;
    uint64_t round;
    uint64_t prepaid_us;
    uint64_t unpaid;
    // Lottery: its tickets, including the compensation.
    uint32_t tickets;
} pulse_flow;

typedef struct {
    pulse_flow **slots;
    pulse_flow **buckets;
    uint32_t made;
    // Capacity of slots and of buckets; a power of two.
    uint32_t capacity;
    pulse_link spare;
} pulse_flow_table;

void pulse_flows_init(pulse_flow_table *table);
void pulse_flows_free(pulse_flow_table *table);

// Find a flow; NULL if there is none.
pulse_flow *pulse_flows_find(const pulse_flow_table *table, uint8_t priority, uintptr_t key);

// Make a flow that `pulse_flows_find` did not find: all zero, in no ring. NULL when memory runs out.
pulse_flow *pulse_flows_make(pulse_flow_table *table, uint8_t priority, uintptr_t key);

// Forget a flow that is in no ring.
void pulse_flows_forget(pulse_flow_table *table, pulse_flow *flow);

#endif
