// Credit-based: every priority has as many credits as its weight; a slice costs one; the most urgent priority that has
// credits is next. When none that waits has any, all get theirs anew. Groups of a priority take turns.
#include "queue/credit.h"

static const int weights[PULSE_QUEUE_PRIORITIES] = {4, 3, 2, 1};

static bool
start(pulse_runqueue *queue)
{
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        queue->credit.credits[priority] = weights[priority];
        pulse_link_init(&queue->credit.turns[priority]);
    }
    return true;
}

static void
arrived(pulse_runqueue *queue, pulse_flow *flow)
{
    pulse_link_append(&queue->credit.turns[flow->priority], &flow->turn);
}

static void
left(pulse_runqueue *queue, pulse_flow *flow)
{
    (void)queue;
    pulse_link_remove(&flow->turn);
}

// A rescue may have spent a credit that was not there; it is taken from the new ones.
static void
refill(pulse_credit_state *credit)
{
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        int owed = credit->credits[priority] < 0 ? credit->credits[priority] : 0;
        credit->credits[priority] = weights[priority] + owed;
    }
}

static pulse_flow *
choose(pulse_runqueue *queue)
{
    pulse_credit_state *credit = &queue->credit;
    for (;;) {
        for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
            if (credit->credits[priority] > 0 && !pulse_link_is_alone(&credit->turns[priority])) {
                return PULSE_ELEMENT(credit->turns[priority].next, pulse_flow, turn);
            }
        }
        refill(credit);
    }
}

static void
released(pulse_runqueue *queue, pulse_flow *flow, uint64_t cost_us)
{
    (void)cost_us;
    // Never so deep that one refill does not bring it back to zero.
    if (queue->credit.credits[flow->priority] > -weights[flow->priority]) {
        queue->credit.credits[flow->priority]--;
    }
    pulse_link_move_to_end(&queue->credit.turns[flow->priority], &flow->turn);
}

const pulse_discipline pulse_credit_based = {
    .start = start,
    .arrived = arrived,
    .left = left,
    .choose = choose,
    .released = released,
};
