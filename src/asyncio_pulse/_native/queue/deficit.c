// Deficit round robin: once a round, each waiting flow is granted the quantum of its priority, in microseconds of CPU time.
// It is served while its deficit is positive. A flow pays afterwards, with what its slices really used, and may owe.
//
// Source: Shreedhar and Varghese, "Efficient fair queuing using deficit round-robin", IEEE/ACM Transactions on Networking 4
// (3), 1996. Their algorithm looks at a packet's length before it sends the packet. The cost of a slice is unknown in
// advance, so a guess stands in until the slice is charged. A flow with one task alternates between waiting and idle.
// Therefore its debt, and what it may still use in this round, outlast its absence. The debt shrinks by a quantum a round,
// as if the flow had waited.
#include "queue/deficit.h"

// An hour: the most that a flow may owe.
static const int64_t largest_debt_us = INT64_C(3600000000);

static int64_t
quantum_of(const pulse_runqueue *queue, const pulse_flow *flow)
{
    return queue->settings.quantum_us[flow->priority];
}

static bool
start(pulse_runqueue *queue)
{
    queue->deficit.round = 0;
    pulse_link_init(&queue->deficit.this_round);
    pulse_link_init(&queue->deficit.next_round);
    return true;
}

static void
forgive(pulse_runqueue *queue, pulse_flow *flow)
{
    flow->deficit_us = 0;
    flow->prepaid_us = flow->unpaid = 0;
    flow->round = queue->deficit.round;
}

// Make up for the rounds that passed while a flow was idle: they lower its debt, and end its turn.
static void
catch_up(pulse_runqueue *queue, pulse_flow *flow)
{
    uint64_t missed = queue->deficit.round - flow->round;
    if (missed == 0) {
        return;
    }
    flow->round = queue->deficit.round;
    int64_t quantum = quantum_of(queue, flow);
    if (flow->deficit_us >= 0 || missed > (uint64_t)(-flow->deficit_us / quantum)) {
        flow->deficit_us = 0;
    }
    else {
        flow->deficit_us += (int64_t)missed * quantum;
    }
}

static void
arrived(pulse_runqueue *queue, pulse_flow *flow)
{
    catch_up(queue, flow);
    if (flow->deficit_us > 0) {
        pulse_link_prepend(&queue->deficit.this_round, &flow->turn);
    }
    else {
        pulse_link_append(&queue->deficit.next_round, &flow->turn);
    }
}

static void
left(pulse_runqueue *queue, pulse_flow *flow)
{
    (void)queue;
    pulse_link_remove(&flow->turn);
}

// Called after a round in which all flows were in debt. Skips to the last of the rounds that would be like it, so that
// finding the next flow takes two passes however deep the debts are.
static void
skip_rounds_in_vain(pulse_runqueue *queue)
{
    pulse_deficit_state *state = &queue->deficit;
    int64_t skipped = INT64_MAX;
    for (pulse_link *link = state->this_round.next; link != &state->this_round; link = link->next) {
        pulse_flow *flow = PULSE_ELEMENT(link, pulse_flow, turn);
        int64_t rounds = -flow->deficit_us / quantum_of(queue, flow);
        skipped = rounds < skipped ? rounds : skipped;
    }
    for (pulse_link *link = state->this_round.next; link != &state->this_round; link = link->next) {
        pulse_flow *flow = PULSE_ELEMENT(link, pulse_flow, turn);
        flow->deficit_us += skipped * quantum_of(queue, flow);
    }
    // Each flow gets the quantum of the next round when that round reaches it.
    state->round += (uint64_t)skipped;
}

static pulse_flow *
choose(pulse_runqueue *queue)
{
    pulse_deficit_state *state = &queue->deficit;
    unsigned rounds_begun = 0;
    for (;;) {
        if (pulse_link_is_alone(&state->this_round)) {
            pulse_link_take_all(&state->this_round, &state->next_round);
            if (rounds_begun++ > 0) {
                skip_rounds_in_vain(queue);
            }
            state->round++;
        }
        pulse_flow *flow = PULSE_ELEMENT(state->this_round.next, pulse_flow, turn);
        if (flow->round != state->round) {
            flow->round = state->round;
            flow->deficit_us += quantum_of(queue, flow);
        }
        if (flow->deficit_us > 0) {
            return flow;
        }
        pulse_link_move_to_end(&state->next_round, &flow->turn);
    }
}

static int64_t
hold_above_largest_debt(int64_t deficit_us)
{
    return deficit_us < -largest_debt_us ? -largest_debt_us : deficit_us;
}

static void
released(pulse_runqueue *queue, pulse_flow *flow, uint64_t cost_us)
{
    (void)queue;
    flow->unpaid++;
    flow->prepaid_us += cost_us;
    flow->deficit_us = hold_above_largest_debt(flow->deficit_us - (int64_t)cost_us);
}

static void
charged(pulse_runqueue *queue, pulse_flow *flow, uint64_t used_us)
{
    if (flow->queued == 0) {
        // Rounds that have passed must not repay what is charged only now.
        catch_up(queue, flow);
    }
    uint64_t guess_us = flow->unpaid > 0 ? flow->prepaid_us / flow->unpaid : 0;
    if (flow->unpaid > 0) {
        flow->unpaid--;
        flow->prepaid_us -= guess_us;
    }
    flow->deficit_us = hold_above_largest_debt(flow->deficit_us + (int64_t)guess_us - (int64_t)used_us);
    // A guess that was too high was taken from earlier rounds and comes back at once. No flow may save up more than one
    // quantum.
    int64_t quantum = quantum_of(queue, flow);
    flow->deficit_us = flow->deficit_us > quantum ? quantum : flow->deficit_us;
}

const pulse_discipline pulse_deficit_round_robin = {
    .start = start,
    .forgive = forgive,
    .arrived = arrived,
    .left = left,
    .choose = choose,
    .released = released,
    .charged = charged,
};
