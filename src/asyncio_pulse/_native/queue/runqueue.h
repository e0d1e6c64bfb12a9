// The run queue: what waits, and what is next.
//
// A *flow* is (priority, key), served first in, first out. A discipline chooses among the waiting flows. Three rules stand
// above every discipline: urgent nodes go first; a flow that has waited for the starvation threshold is rescued (at most
// every tenth slice); within a priority, holders go before other nodes.
//
// Nodes belong to the caller, which embeds them, keeps them in place while they are queued, and frees them. No Python.h;
// one thread at a time. The queue reads no clock, and its only source of randomness is its seed. Operations take amortised
// constant time. Those of the lottery take the logarithm of the number of flows.
#ifndef PULSE_RUNQUEUE_H
#define PULSE_RUNQUEUE_H

#include "queue/records.h"

// Make an empty queue. NULL when memory runs out.
pulse_runqueue *pulse_runqueue_new(const pulse_queue_settings *settings);

// Free a queue, which must be empty. Releases every key.
void pulse_runqueue_free(pulse_runqueue *queue);

// Queue a node that is not queued. False, without taking the node, when the queue is full or memory runs out.
bool pulse_runqueue_enqueue(pulse_runqueue *queue, pulse_queue_node *node, const pulse_queue_request *request,
                            uint64_t now_ns);

// Release the next node. NULL if none is queued.
pulse_queue_node *pulse_runqueue_next(pulse_runqueue *queue, uint64_t now_ns);

// The same for a caller with a discipline of its own. First `next_due`: what goes before any discipline, that is an urgent
// node or a node of a flow to rescue; NULL if there is neither. Then `next_of`: the next node when a waiting flow has its
// turn.
pulse_queue_node *pulse_runqueue_next_due(pulse_runqueue *queue, uint64_t now_ns);
pulse_queue_node *pulse_runqueue_next_of(pulse_runqueue *queue, pulse_flow *flow, uint64_t now_ns);

// Charge a flow for one slice with what the slice really used. Call it once for every released node, with 0 if the node
// never ran, and also for time used without queueing. Urgent nodes are not charged: their time counts for no flow.
void pulse_runqueue_charge(pulse_runqueue *queue, uint8_t priority, uintptr_t key, uint64_t used_us);

// Take out a queued node that was cancelled.
void pulse_runqueue_remove(pulse_runqueue *queue, pulse_queue_node *node);

// Make a queued node a holder: it now goes before the others of its priority.
void pulse_runqueue_promote(pulse_runqueue *queue, pulse_queue_node *node);

// Take out any node, to drain the queue. NULL if none is left.
pulse_queue_node *pulse_runqueue_take_any(pulse_runqueue *queue);

// Change the discipline. Everything stays queued, in order within its flow; debts are forgotten. False, with nothing
// changed, when memory runs out.
bool pulse_runqueue_set_algorithm(pulse_runqueue *queue, pulse_algorithm algorithm);

// Change every number of the settings, and the discipline as above. If the queue holds more than the new size, all of it
// stays.
bool pulse_runqueue_configure(pulse_runqueue *queue, const pulse_queue_settings *settings);

pulse_algorithm pulse_runqueue_algorithm(const pulse_runqueue *queue);
const pulse_queue_statistics *pulse_runqueue_statistics(const pulse_runqueue *queue);

// Reset the statistics. Queued nodes stay queued.
void pulse_runqueue_start_anew(pulse_runqueue *queue);

// The longest time that a flow or an urgent node has waited for a slice so far.
uint64_t pulse_runqueue_longest_wait(const pulse_runqueue *queue, uint64_t now_ns);

// All known flows, waiting or idle, by number from 0 to count - 1; NULL for a forgotten one.
uint32_t pulse_runqueue_flow_count(const pulse_runqueue *queue);
pulse_flow *pulse_runqueue_flow(const pulse_runqueue *queue, uint32_t number);
pulse_flow *pulse_runqueue_find_flow(const pulse_runqueue *queue, uint8_t priority, uintptr_t key);

// Call `visit` for each queued node until it returns something other than 0, and return that. It must not change the queue.
typedef int (*pulse_queue_visitor)(pulse_queue_node *node, void *context);
int pulse_runqueue_visit(const pulse_runqueue *queue, pulse_queue_visitor visit, void *context);

#endif
