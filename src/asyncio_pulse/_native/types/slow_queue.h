// The record of a SlowQueue: the run queue for any Python objects.
//
// It owns its items and the names of its groups. Needs the GIL. Python code runs when an item is dropped, and in a
// discipline in Python. The queue is whole whenever that happens, so such code may use it.
#ifndef PULSE_SLOW_QUEUE_H
#define PULSE_SLOW_QUEUE_H

#include "model/state.h"
#include "queue/runqueue.h"

typedef struct {
    PyObject_HEAD
    pulse_runqueue *queue;
    // name -> the same name: the object whose address is the flow's key. Holds the names that flows use.
    PyObject *groups;
    // An object with `choose`, or NULL for one of the queue's own algorithms.
    PyObject *discipline;
    uint64_t default_cost_us;
} pulse_slow_queue;

typedef struct {
    pulse_queue_node node;
    PyObject *item;
} pulse_slow_queue_entry;

#endif
