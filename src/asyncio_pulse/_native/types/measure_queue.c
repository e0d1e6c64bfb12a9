#include "types/measure_queue.h"

#include <stdlib.h>

enum { NODES = 1000, FLOWS = 100, SLICE_US = 1500 };

typedef struct {
    pulse_runqueue *queue;
    pulse_queue_node nodes[NODES];
} pulse_queue_subject;

static pulse_queue_request
request_of(uint64_t number)
{
    return (pulse_queue_request){.priority = number % 4, .key = number % FLOWS, .cost_us = 1000};
}

static pulse_queue_subject *
subject_new(pulse_algorithm algorithm)
{
    pulse_queue_settings settings = {
        .algorithm = algorithm,
        .max_size = NODES,
        .seed = 1,
        .starvation_threshold_ns = 1000000000,
        .quantum_us = {4000, 3000, 2000, 1000},
    };
    pulse_queue_subject *subject = calloc(1, sizeof *subject);
    pulse_runqueue *queue = subject == NULL ? NULL : pulse_runqueue_new(&settings);
    if (queue == NULL) {
        free(subject);
        return NULL;
    }
    subject->queue = queue;
    for (uint64_t i = 0; i < NODES; i++) {
        pulse_queue_request request = request_of(i);
        (void)pulse_runqueue_enqueue(queue, &subject->nodes[i], &request, 0);
    }
    return subject;
}

static void
subject_free(pulse_queue_subject *subject)
{
    while (pulse_runqueue_take_any(subject->queue) != NULL) {
    }
    pulse_runqueue_free(subject->queue);
    free(subject);
}

bool
pulse_measure_queue_slices(pulse_algorithm algorithm, uint64_t rounds)
{
    pulse_queue_subject *subject = subject_new(algorithm);
    if (subject == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t now_ns = i * SLICE_US * 1000;
        pulse_queue_node *node = pulse_runqueue_next(subject->queue, now_ns);
        // Slices of unequal cost, some beyond every quantum.
        pulse_runqueue_charge(subject->queue, node->priority, node->key, i * 2654435761u >> 7 & 8191u);
        pulse_queue_request request = {.priority = node->priority, .key = node->key, .cost_us = 1000};
        (void)pulse_runqueue_enqueue(subject->queue, node, &request, now_ns);
    }
    subject_free(subject);
    return true;
}

bool
pulse_measure_queue_removal(uint64_t rounds)
{
    pulse_queue_subject *subject = subject_new(PULSE_DEFICIT_ROUND_ROBIN);
    if (subject == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t number = i * 7919 % NODES;
        pulse_queue_request request = request_of(number);
        pulse_runqueue_remove(subject->queue, &subject->nodes[number]);
        (void)pulse_runqueue_enqueue(subject->queue, &subject->nodes[number], &request, i);
    }
    subject_free(subject);
    return true;
}
