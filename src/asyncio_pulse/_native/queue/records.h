// What callers hand to the run queue and read from it: nodes, requests, settings, statistics. No Python.h.
#ifndef PULSE_RECORDS_H
#define PULSE_RECORDS_H

#include "base/histogram.h"
#include "queue/flows.h"

enum {
    PULSE_QUEUE_PRIORITIES = 4,
    PULSE_QUEUE_LARGEST_SIZE = 100000,
    PULSE_QUEUE_LARGEST_QUANTUM_US = 10000000,
    // How many idle flows are remembered, with what they owe. Beyond that, the flow idle for longest is forgotten. To shed
    // a debt, a group has to wait until this many other flows had a slice.
    PULSE_QUEUE_IDLE_FLOWS = 1024,
};

typedef enum {
    PULSE_CREDIT_BASED,
    PULSE_LOTTERY,
    PULSE_DEFICIT_ROUND_ROBIN,
} pulse_algorithm;

// Opaque to callers. The disciplines know its inside from discipline.h.
typedef struct pulse_runqueue pulse_runqueue;

// Zero it before its first use. While it is queued, callers may only read it.
typedef struct {
    pulse_link link;
    // NULL for an urgent node.
    pulse_flow *flow;
    uintptr_t key;
    uint64_t enqueued_ns;
    uint64_t cost_us;
    uint8_t priority;
    bool is_queued;
    bool is_holder;
} pulse_queue_node;

typedef struct {
    pulse_algorithm algorithm;
    // Most nodes at a time, 1..PULSE_QUEUE_LARGEST_SIZE.
    uint32_t max_size;
    uint64_t seed;
    uint64_t starvation_threshold_ns;
    // CPU time that a flow is granted in a round, by priority, 1..PULSE_QUEUE_LARGEST_QUANTUM_US.
    uint32_t quantum_us[PULSE_QUEUE_PRIORITIES];
    // Called when a flow is made and when it is forgotten, so that the owner of a key can keep it alive. Each may be NULL.
    void (*hold_key)(void *context, uintptr_t key);
    void (*release_key)(void *context, uintptr_t key);
    void *context;
} pulse_queue_settings;

typedef struct {
    uint8_t priority;
    bool is_holder;
    bool is_urgent;
    uintptr_t key;
    // Expected cost of the slice, in force until the slice is charged.
    uint64_t cost_us;
} pulse_queue_request;

typedef struct {
    uint32_t queued[PULSE_QUEUE_PRIORITIES];
    uint32_t size;
    uint32_t high_water_mark;
    uint64_t served[PULSE_QUEUE_PRIORITIES];
    uint64_t rescues;
    uint64_t overflows;
    // Time from enqueue to release, microseconds.
    pulse_histogram waits_us;
} pulse_queue_statistics;

#endif
