// Credit-based: each priority has as many credits as its weight, and a slice costs one. The most urgent waiting priority
// with credits left is next. When no waiting priority has any left, all priorities are refilled. Groups of one priority
// take turns.
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

// A rescue may have spent a credit that the priority did not have. The refill pays for it.
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
    // The debt is never larger than what one refill repays.
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
