// The run queue: what waits, and who is next.
//
// A *flow* is (priority, key); inside it, first in, first out. A discipline chooses among the flows that wait; around every
// discipline stand three rules that no discipline can break: urgent nodes go first, a flow that has waited for the starvation
// threshold is rescued (at most every tenth slice), and inside a priority holders go before others.
//
// Nodes are the caller's: it embeds them, keeps them in place while they are queued, and frees them. No Python.h; one
// thread at a time; reads no clock and knows no randomness but its seed. Operations take constant time, amortised, but the
// lottery, which takes the logarithm of the number of flows.
#ifndef PULSE_RUNQUEUE_H
#define PULSE_RUNQUEUE_H

#include "queue/records.h"

// NULL when memory runs out.
pulse_runqueue *pulse_runqueue_new(const pulse_queue_settings *settings);

// The queue must be empty; every key is released.
void pulse_runqueue_free(pulse_runqueue *queue);

// Queue a node that is not queued. False, and nothing is taken, when the queue is full or memory runs out.
bool pulse_runqueue_enqueue(pulse_runqueue *queue, pulse_queue_node *node, const pulse_queue_request *request,
                            uint64_t now_ns);

// Release the next node. NULL when none is queued.
pulse_queue_node *pulse_runqueue_next(pulse_runqueue *queue, uint64_t now_ns);

// The same for a discipline of the caller's own: first what goes before any discipline, an urgent node or one of a flow to
// rescue, or NULL; then the next node at the turn of a flow that waits.
pulse_queue_node *pulse_runqueue_next_due(pulse_runqueue *queue, uint64_t now_ns);
pulse_queue_node *pulse_runqueue_next_of(pulse_runqueue *queue, pulse_flow *flow, uint64_t now_ns);

// Charge a flow for one slice with what it really used. Once for every node released, with 0 if it never ran; except for
// urgent ones, whose time is nobody's. Also for time used without queueing.
void pulse_runqueue_charge(pulse_runqueue *queue, uint8_t priority, uintptr_t key, uint64_t used_us);

// Take a queued node out: it was cancelled.
void pulse_runqueue_remove(pulse_runqueue *queue, pulse_queue_node *node);

// Make a queued node a holder: from now on it goes before the others of its priority.
void pulse_runqueue_promote(pulse_runqueue *queue, pulse_queue_node *node);

// Take out any node, to drain the queue; NULL when none is left.
pulse_queue_node *pulse_runqueue_take_any(pulse_runqueue *queue);

// Change the discipline: everything stays queued, in order within its flow; what flows owe is forgotten. False, and nothing is
// changed, when memory runs out.
bool pulse_runqueue_set_algorithm(pulse_runqueue *queue, pulse_algorithm algorithm);

// Change every number of the settings, and the discipline as above. More than the new size may stay queued.
bool pulse_runqueue_configure(pulse_runqueue *queue, const pulse_queue_settings *settings);

pulse_algorithm pulse_runqueue_algorithm(const pulse_runqueue *queue);
const pulse_queue_statistics *pulse_runqueue_statistics(const pulse_runqueue *queue);

// Count from zero again; what is queued stays so.
void pulse_runqueue_start_anew(pulse_runqueue *queue);

// How long the flow, or the urgent node, that has waited longest for a slice has done so.
uint64_t pulse_runqueue_longest_wait(const pulse_runqueue *queue, uint64_t now_ns);

// Every flow that is known, waiting or idle, by number from 0 to count - 1; NULL for one that was forgotten.
uint32_t pulse_runqueue_flow_count(const pulse_runqueue *queue);
pulse_flow *pulse_runqueue_flow(const pulse_runqueue *queue, uint32_t number);
pulse_flow *pulse_runqueue_find_flow(const pulse_runqueue *queue, uint8_t priority, uintptr_t key);

// Show every queued node until `visit` returns something other than 0, and return that. It must not change the queue.
typedef int (*pulse_queue_visitor)(pulse_queue_node *node, void *context);
int pulse_runqueue_visit(const pulse_runqueue *queue, pulse_queue_visitor visit, void *context);

#endif
