// Items on their way into the slow queue and out of it.
#ifndef PULSE_SLOW_QUEUE_ITEMS_H
#define PULSE_SLOW_QUEUE_ITEMS_H

#include "types/slow_queue.h"

// Methods.
PyObject *pulse_slow_queue_items_enqueue(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_slow_queue_items_process_batch(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *pulse_slow_queue_items_drain(PyObject *self, PyObject *ignored);
PyObject *pulse_slow_queue_items_charge(PyObject *self, PyObject *args);
PyObject *pulse_slow_queue_items_remove(PyObject *self, PyObject *item);
PyObject *pulse_slow_queue_items_promote(PyObject *self, PyObject *item);

// New reference to the item of a node that has left the queue. Frees the node.
PyObject *pulse_slow_queue_items_take(pulse_queue_node *node);

// Forget the name of a group, `key`, unless a flow uses it. `context` is the slow queue.
void pulse_slow_queue_items_release_name(void *context, uintptr_t key);

// Convert a value to a number from 0 to `highest` (None: `otherwise`), or to a time in nanoseconds (None: now). -1 with an
// exception if the value does not fit.
int pulse_slow_queue_items_number(PyObject *value, const char *name, uint64_t highest, uint64_t otherwise,
                                  uint64_t *out);
int pulse_slow_queue_items_time(PyObject *value, uint64_t *now_ns);

#endif
