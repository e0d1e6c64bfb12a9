// What a run queue shows of itself; nothing here changes it.
#include "queue/discipline.h"

pulse_algorithm
pulse_runqueue_algorithm(const pulse_runqueue *queue)
{
    return queue->settings.algorithm;
}

const pulse_queue_statistics *
pulse_runqueue_statistics(const pulse_runqueue *queue)
{
    return &queue->statistics;
}

uint64_t
pulse_runqueue_longest_wait(const pulse_runqueue *queue, uint64_t now_ns)
{
    uint64_t since_ns = now_ns;
    if (!pulse_link_is_alone(&queue->waiting)) {
        since_ns = PULSE_ELEMENT(queue->waiting.next, pulse_flow, waiting)->waiting_since_ns;
    }
    if (!pulse_link_is_alone(&queue->urgent)) {
        uint64_t urgent_ns = PULSE_ELEMENT(queue->urgent.next, pulse_queue_node, link)->enqueued_ns;
        since_ns = urgent_ns < since_ns ? urgent_ns : since_ns;
    }
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

uint32_t
pulse_runqueue_flow_count(const pulse_runqueue *queue)
{
    return queue->flows.made;
}

pulse_flow *
pulse_runqueue_flow(const pulse_runqueue *queue, uint32_t number)
{
    pulse_flow *flow = queue->flows.slots[number];
    return pulse_flows_find(&queue->flows, flow->priority, flow->key) == flow ? flow : NULL;
}

pulse_flow *
pulse_runqueue_find_flow(const pulse_runqueue *queue, uint8_t priority, uintptr_t key)
{
    return pulse_flows_find(&queue->flows, priority, key);
}

static int
visit_ring(const pulse_link *ring, pulse_queue_visitor visit, void *context)
{
    int result = 0;
    for (pulse_link *link = ring->next; link != ring && result == 0; link = link->next) {
        result = visit(PULSE_ELEMENT(link, pulse_queue_node, link), context);
    }
    return result;
}

int
pulse_runqueue_visit(const pulse_runqueue *queue, pulse_queue_visitor visit, void *context)
{
    int result = visit_ring(&queue->urgent, visit, context);
    for (pulse_link *link = queue->waiting.next; link != &queue->waiting && result == 0; link = link->next) {
        pulse_flow *flow = PULSE_ELEMENT(link, pulse_flow, waiting);
        for (int lane = 0; lane < PULSE_FLOW_LANES && result == 0; lane++) {
            result = visit_ring(&flow->lanes[lane], visit, context);
        }
    }
    return result;
}
