// What the run queue's operations cost, for the benchmarks. No Python.h.
#ifndef PULSE_MEASURE_QUEUE_H
#define PULSE_MEASURE_QUEUE_H

#include "queue/runqueue.h"

// Each does so many rounds on a queue of 1,000 nodes in 100 flows. False when memory runs out.

// A round releases a node, charges its flow and queues it again.
bool pulse_measure_queue_slices(pulse_algorithm algorithm, uint64_t rounds);

// A round takes a node out and queues it again.
bool pulse_measure_queue_removal(uint64_t rounds);

#endif
