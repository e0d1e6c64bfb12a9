#include "queue/runqueue.h"

#include <stdlib.h>
#include <string.h>

#include "queue/credit.h"
#include "queue/deficit.h"
#include "queue/discipline.h"
#include "queue/lottery.h"

// At most one slice in ten is a rescue, so that the other slices keep the weights.
enum { SLICES_BETWEEN_RESCUES = 9 };

// An hour. More is a mistake of the caller, or the machine slept.
static const uint64_t largest_cost_us = UINT64_C(3600000000);

static const pulse_discipline *const disciplines[] = {
    [PULSE_CREDIT_BASED] = &pulse_credit_based,
    [PULSE_LOTTERY] = &pulse_lottery,
    [PULSE_DEFICIT_ROUND_ROBIN] = &pulse_deficit_round_robin,
};

pulse_runqueue *
pulse_runqueue_new(const pulse_queue_settings *settings)
{
    pulse_runqueue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        return NULL;
    }
    queue->settings = *settings;
    queue->discipline = disciplines[settings->algorithm];
    queue->lottery.random = settings->seed;
    queue->slices_since_rescue = SLICES_BETWEEN_RESCUES;
    pulse_flows_init(&queue->flows);
    pulse_link_init(&queue->urgent);
    pulse_link_init(&queue->waiting);
    pulse_link_init(&queue->idle);
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        pulse_link_init(&queue->holding[priority]);
    }
    // Cannot fail: without flows it needs no memory.
    (void)queue->discipline->start(queue);
    return queue;
}

static void
forget(pulse_runqueue *queue, pulse_flow *flow)
{
    uintptr_t key = flow->key;
    pulse_link_remove(&flow->turn);
    queue->idle_count--;
    pulse_flows_forget(&queue->flows, flow);
    if (queue->settings.release_key != NULL) {
        queue->settings.release_key(queue->settings.context, key);
    }
}

static pulse_flow *
longest_idle(const pulse_runqueue *queue)
{
    return PULSE_ELEMENT(queue->idle.next, pulse_flow, turn);
}

void
pulse_runqueue_free(pulse_runqueue *queue)
{
    while (queue->idle_count > 0) {
        forget(queue, longest_idle(queue));
    }
    if (queue->discipline->stop != NULL) {
        queue->discipline->stop(queue);
    }
    pulse_flows_free(&queue->flows);
    free(queue);
}

static uint64_t
advance_time(pulse_runqueue *queue, uint64_t now_ns)
{
    if (now_ns > queue->now_ns) {
        queue->now_ns = now_ns;
    }
    return queue->now_ns;
}

static void
become_idle(pulse_runqueue *queue, pulse_flow *flow)
{
    pulse_link_append(&queue->idle, &flow->turn);
    queue->idle_count++;
    if (queue->idle_count > PULSE_QUEUE_IDLE_FLOWS) {
        forget(queue, longest_idle(queue));
    }
}

// The flow with this priority and key; a new one is idle. NULL when memory runs out.
static pulse_flow *
find_or_make(pulse_runqueue *queue, uint8_t priority, uintptr_t key)
{
    pulse_flow *flow = pulse_flows_find(&queue->flows, priority, key);
    if (flow != NULL) {
        return flow;
    }
    flow = pulse_flows_make(&queue->flows, priority, key);
    if (flow == NULL) {
        return NULL;
    }
    if (queue->discipline->reserve != NULL && !queue->discipline->reserve(queue, queue->flows.capacity)) {
        pulse_flows_forget(&queue->flows, flow);
        return NULL;
    }
    if (queue->discipline->forgive != NULL) {
        queue->discipline->forgive(queue, flow);
    }
    if (queue->settings.hold_key != NULL) {
        queue->settings.hold_key(queue->settings.context, key);
    }
    become_idle(queue, flow);
    return flow;
}

static void
begin_waiting(pulse_runqueue *queue, pulse_flow *flow)
{
    pulse_link_remove(&flow->turn);
    queue->idle_count--;
    flow->waiting_since_ns = queue->now_ns;
    pulse_link_append(&queue->waiting, &flow->waiting);
    queue->discipline->arrived(queue, flow);
}

static void
put_into_lane(pulse_runqueue *queue, pulse_queue_node *node)
{
    pulse_flow *flow = node->flow;
    pulse_link_append(&flow->lanes[node->is_holder ? PULSE_FLOW_HOLDERS : PULSE_FLOW_PLAIN], &node->link);
    if (node->is_holder && pulse_link_is_alone(&flow->holding)) {
        pulse_link_append(&queue->holding[flow->priority], &flow->holding);
    }
}

bool
pulse_runqueue_enqueue(pulse_runqueue *queue, pulse_queue_node *node, const pulse_queue_request *request,
                       uint64_t now_ns)
{
    pulse_queue_statistics *statistics = &queue->statistics;
    pulse_flow *flow = NULL;
    bool has_room = statistics->size < queue->settings.max_size;
    if (has_room && !request->is_urgent) {
        flow = find_or_make(queue, request->priority, request->key);
    }
    if (!has_room || (flow == NULL && !request->is_urgent)) {
        statistics->overflows++;
        return false;
    }
    *node = (pulse_queue_node){
        .flow = flow,
        .key = request->key,
        .enqueued_ns = advance_time(queue, now_ns),
        .cost_us = request->cost_us < largest_cost_us ? request->cost_us : largest_cost_us,
        .priority = request->priority,
        .is_queued = true,
        .is_holder = request->is_holder,
    };
    if (flow == NULL) {
        pulse_link_append(&queue->urgent, &node->link);
    }
    else {
        put_into_lane(queue, node);
        if (flow->queued++ == 0) {
            begin_waiting(queue, flow);
        }
    }
    statistics->queued[node->priority]++;
    statistics->size++;
    if (statistics->size > statistics->high_water_mark) {
        statistics->high_water_mark = statistics->size;
    }
    return true;
}

// Take a node out of its ring and out of the counts. The flow may have nothing queued afterwards, but still counts as
// waiting.
static void
take_out(pulse_runqueue *queue, pulse_queue_node *node)
{
    pulse_flow *flow = node->flow;
    pulse_link_remove(&node->link);
    node->flow = NULL;
    node->is_queued = false;
    queue->statistics.queued[node->priority]--;
    queue->statistics.size--;
    if (flow != NULL) {
        flow->queued--;
        if (pulse_link_is_alone(&flow->lanes[PULSE_FLOW_HOLDERS])) {
            pulse_link_remove(&flow->holding);
        }
    }
}

static void
end_waiting_if_empty(pulse_runqueue *queue, pulse_flow *flow)
{
    if (flow->queued == 0) {
        queue->discipline->left(queue, flow);
        pulse_link_remove(&flow->waiting);
        become_idle(queue, flow);
    }
}

static void
count_release(pulse_runqueue *queue, const pulse_queue_node *node)
{
    queue->statistics.served[node->priority]++;
    pulse_histogram_record(&queue->statistics.waits_us, (queue->now_ns - node->enqueued_ns) / 1000);
}

static pulse_queue_node *
first_of(const pulse_flow *flow)
{
    bool has_holders = !pulse_link_is_alone(&flow->lanes[PULSE_FLOW_HOLDERS]);
    const pulse_link *lane = &flow->lanes[has_holders ? PULSE_FLOW_HOLDERS : PULSE_FLOW_PLAIN];
    return PULSE_ELEMENT(lane->next, pulse_queue_node, link);
}

// Give a slice to the first node of a waiting flow.
static pulse_queue_node *
release(pulse_runqueue *queue, pulse_flow *flow)
{
    pulse_queue_node *node = first_of(flow);
    take_out(queue, node);
    count_release(queue, node);
    flow->served++;
    flow->waiting_since_ns = queue->now_ns;
    pulse_link_move_to_end(&queue->waiting, &flow->waiting);
    if (!pulse_link_is_alone(&flow->holding)) {
        pulse_link_move_to_end(&queue->holding[flow->priority], &flow->holding);
    }
    queue->discipline->released(queue, flow, node->cost_us);
    end_waiting_if_empty(queue, flow);
    return node;
}

// The flow that has waited longest, if its wait is too long and other flows compete with it. NULL otherwise.
static pulse_flow *
flow_to_rescue(const pulse_runqueue *queue)
{
    if (queue->slices_since_rescue < SLICES_BETWEEN_RESCUES || queue->waiting.next == queue->waiting.previous) {
        return NULL;
    }
    pulse_flow *flow = PULSE_ELEMENT(queue->waiting.next, pulse_flow, waiting);
    return queue->now_ns - flow->waiting_since_ns >= queue->settings.starvation_threshold_ns ? flow : NULL;
}

pulse_queue_node *
pulse_runqueue_next_due(pulse_runqueue *queue, uint64_t now_ns)
{
    advance_time(queue, now_ns);
    if (!pulse_link_is_alone(&queue->urgent)) {
        pulse_queue_node *node = PULSE_ELEMENT(queue->urgent.next, pulse_queue_node, link);
        take_out(queue, node);
        count_release(queue, node);
        return node;
    }
    pulse_flow *flow = flow_to_rescue(queue);
    if (flow == NULL) {
        return NULL;
    }
    queue->statistics.rescues++;
    queue->slices_since_rescue = 0;
    return release(queue, flow);
}

pulse_queue_node *
pulse_runqueue_next_of(pulse_runqueue *queue, pulse_flow *flow, uint64_t now_ns)
{
    advance_time(queue, now_ns);
    queue->slices_since_rescue++;
    pulse_link *holding = &queue->holding[flow->priority];
    return release(queue, pulse_link_is_alone(holding) ? flow : PULSE_ELEMENT(holding->next, pulse_flow, holding));
}

pulse_queue_node *
pulse_runqueue_next(pulse_runqueue *queue, uint64_t now_ns)
{
    pulse_queue_node *node = pulse_runqueue_next_due(queue, now_ns);
    if (node == NULL && queue->statistics.size > 0) {
        node = pulse_runqueue_next_of(queue, queue->discipline->choose(queue), now_ns);
    }
    return node;
}

void
pulse_runqueue_charge(pulse_runqueue *queue, uint8_t priority, uintptr_t key, uint64_t used_us)
{
    if (queue->discipline->charged == NULL) {
        return;
    }
    // Without memory for a new flow its debt is lost, and the queue goes on.
    pulse_flow *flow = find_or_make(queue, priority, key);
    if (flow != NULL) {
        queue->discipline->charged(queue, flow, used_us < largest_cost_us ? used_us : largest_cost_us);
    }
}

void
pulse_runqueue_remove(pulse_runqueue *queue, pulse_queue_node *node)
{
    pulse_flow *flow = node->flow;
    take_out(queue, node);
    if (flow != NULL) {
        end_waiting_if_empty(queue, flow);
    }
}

void
pulse_runqueue_promote(pulse_runqueue *queue, pulse_queue_node *node)
{
    if (node->flow == NULL || node->is_holder) {
        return;
    }
    pulse_link_remove(&node->link);
    node->is_holder = true;
    put_into_lane(queue, node);
}

pulse_queue_node *
pulse_runqueue_take_any(pulse_runqueue *queue)
{
    if (queue->statistics.size == 0) {
        return NULL;
    }
    pulse_queue_node *node = !pulse_link_is_alone(&queue->urgent)
                                 ? PULSE_ELEMENT(queue->urgent.next, pulse_queue_node, link)
                                 : first_of(PULSE_ELEMENT(queue->waiting.next, pulse_flow, waiting));
    pulse_runqueue_remove(queue, node);
    return node;
}

static void
hand_over_flows(pulse_runqueue *queue, const pulse_discipline *to)
{
    for (uint32_t i = 0; i < queue->flows.made; i++) {
        pulse_flow *flow = queue->flows.slots[i];
        if (flow->queued > 0) {
            queue->discipline->left(queue, flow);
        }
        if (to->forgive != NULL) {
            to->forgive(queue, flow);
        }
    }
    for (pulse_link *link = queue->waiting.next; link != &queue->waiting; link = link->next) {
        to->arrived(queue, PULSE_ELEMENT(link, pulse_flow, waiting));
    }
}

bool
pulse_runqueue_set_algorithm(pulse_runqueue *queue, pulse_algorithm algorithm)
{
    const pulse_discipline *discipline = disciplines[algorithm];
    if (discipline == queue->discipline) {
        return true;
    }
    if (!discipline->start(queue)) {
        return false;
    }
    hand_over_flows(queue, discipline);
    if (queue->discipline->stop != NULL) {
        queue->discipline->stop(queue);
    }
    queue->discipline = discipline;
    queue->settings.algorithm = algorithm;
    return true;
}

bool
pulse_runqueue_configure(pulse_runqueue *queue, const pulse_queue_settings *settings)
{
    if (!pulse_runqueue_set_algorithm(queue, settings->algorithm)) {
        return false;
    }
    if (settings->seed != queue->settings.seed) {
        queue->lottery.random = queue->settings.seed = settings->seed;
    }
    queue->settings.max_size = settings->max_size;
    queue->settings.starvation_threshold_ns = settings->starvation_threshold_ns;
    memcpy(queue->settings.quantum_us, settings->quantum_us, sizeof settings->quantum_us);
    return true;
}

void
pulse_runqueue_start_anew(pulse_runqueue *queue)
{
    pulse_queue_statistics *statistics = &queue->statistics;
    for (unsigned i = 0; i < PULSE_QUEUE_PRIORITIES; i++) {
        statistics->served[i] = 0;
    }
    statistics->rescues = statistics->overflows = 0;
    statistics->high_water_mark = statistics->size;
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        pulse_counter_set(&statistics->waits_us.counts[i], 0);
    }
}

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
