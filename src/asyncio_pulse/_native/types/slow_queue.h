// SlowQueue: the run queue for any Python objects.
//
// It owns its items and the names of its groups. Needs the GIL. Python code runs where an item is let go of and in a
// discipline that was plugged in; the queue is whole whenever that happens, so such code may use it.
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

extern PyType_Spec pulse_slow_queue_spec;
extern PyStructSequence_Desc pulse_flow_description;

// New list of Flow: all that are known, or only those that wait. NULL with an exception on failure.
PyObject *pulse_slow_queue_flows(pulse_slow_queue *self, bool only_waiting, uint64_t now_ns);

// Methods.
PyObject *pulse_slow_queue_enqueue(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_slow_queue_process_batch(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_slow_queue_drain(PyObject *self, PyObject *ignored);
PyObject *pulse_slow_queue_charge(PyObject *self, PyObject *args);
PyObject *pulse_slow_queue_remove(PyObject *self, PyObject *item);
PyObject *pulse_slow_queue_promote(PyObject *self, PyObject *item);

// New reference to the item of a node that left the queue; the node is gone.
PyObject *pulse_slow_queue_take_item(pulse_queue_node *node);

// Forget a group's name, `key`, unless a flow has it; `context` is the slow queue.
void pulse_slow_queue_release_name(void *context, uintptr_t key);

// A number from 0 to `highest`, or `otherwise` for None; a time in nanoseconds, now for None. -1 with an exception if it is
// neither.
int pulse_slow_queue_number(PyObject *value, const char *name, uint64_t highest, uint64_t otherwise, uint64_t *out);
int pulse_slow_queue_time(PyObject *value, uint64_t *now_ns);

// Ask the discipline that is plugged in for a flow that waits. Runs Python code, which may change the queue. NULL, and
// no exception, when there is no answer: if that was its own fault it is removed, and the failure logged.
pulse_flow *pulse_plugged_choose(pulse_slow_queue *self, uint64_t now_ns);

#endif
