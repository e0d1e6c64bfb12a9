// Lottery: each waiting flow holds the tickets of its priority, and the next slice is drawn among all tickets.
//
// A flow that used only a part f of a quantum holds 1/f times as many tickets until it wins again. So short slices do not
// cost a flow its share of the time. Source: Waldspurger and Weihl, "Lottery scheduling: flexible proportional-share
// resource management", OSDI 1994, sections 2 and 3.4. Random numbers: splitmix64, Steele, Lea and Flood, 2014.
#include "queue/lottery.h"

#include <stdlib.h>

enum {
    // Tickets come in sixteenths, so that rounding does not remove the compensation.
    SCALE = 16,
    LARGEST_COMPENSATION = 64,
    PRIORITY_OF_QUANTUM = 2,
    MOST_TICKETS = 40,
};

static const uint32_t base_tickets[PULSE_QUEUE_PRIORITIES] = {MOST_TICKETS, 30, 20, 10};

_Static_assert((uint64_t)MOST_TICKETS * SCALE * LARGEST_COMPENSATION *
                       (PULSE_QUEUE_LARGEST_SIZE + PULSE_QUEUE_IDLE_FLOWS) <=
                   UINT32_MAX,
               "the sum of all tickets may overflow");

static uint64_t
random_number(pulse_lottery_state *lottery)
{
    uint64_t z = (lottery->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// One random number is enough: sixteen strata have fewer than 2^45 orders.
static void
shuffle(pulse_lottery_state *lottery)
{
    uint64_t random = random_number(lottery);
    for (unsigned i = 0; i < PULSE_LOTTERY_STRATA; i++) {
        unsigned j = (unsigned)(random % (i + 1));
        random /= i + 1;
        lottery->strata[i] = lottery->strata[j];
        lottery->strata[j] = (uint8_t)i;
    }
    lottery->strata_left = PULSE_LOTTERY_STRATA;
}

// Draw a ticket's number. Of sixteen draws, each falls into a different sixteenth of all tickets, in random order. 10,000
// draws then keep every share within 5 %, whatever the seed. Independent draws miss that with one seed in nine.
static uint32_t
draw(pulse_lottery_state *lottery)
{
    if (lottery->strata_left == 0) {
        shuffle(lottery);
    }
    uint64_t stratum = lottery->strata[--lottery->strata_left];
    uint64_t fraction = stratum << 28 | random_number(lottery) >> 36;
    return (uint32_t)(fraction * lottery->sums[1] >> 32);
}

static void
set_tickets(pulse_lottery_state *lottery, const pulse_flow *flow, uint32_t tickets)
{
    uint32_t place = lottery->leaves + flow->slot;
    // The difference may be negative. Unsigned sums wrap, so the result is still right.
    uint32_t change = tickets - lottery->sums[place];
    for (; place > 0; place >>= 1) {
        lottery->sums[place] += change;
    }
}

static bool
start(pulse_runqueue *queue)
{
    queue->lottery.leaves = 0;
    queue->lottery.sums = NULL;
    return queue->flows.capacity == 0 || pulse_lottery.reserve(queue, queue->flows.capacity);
}

static void
stop(pulse_runqueue *queue)
{
    free(queue->lottery.sums);
    queue->lottery.sums = NULL;
    queue->lottery.leaves = 0;
}

static bool
reserve(pulse_runqueue *queue, uint32_t flows)
{
    pulse_lottery_state *lottery = &queue->lottery;
    if (flows <= lottery->leaves) {
        return true;
    }
    uint32_t *sums = calloc((size_t)flows * 2, sizeof(uint32_t));
    if (sums == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < lottery->leaves; i++) {
        sums[flows + i] = lottery->sums[lottery->leaves + i];
    }
    for (uint32_t i = flows - 1; i > 0; i--) {
        sums[i] = sums[2 * i] + sums[2 * i + 1];
    }
    free(lottery->sums);
    lottery->sums = sums;
    lottery->leaves = flows;
    return true;
}

static void
forgive(pulse_runqueue *queue, pulse_flow *flow)
{
    (void)queue;
    flow->tickets = base_tickets[flow->priority] * SCALE;
}

static void
arrived(pulse_runqueue *queue, pulse_flow *flow)
{
    set_tickets(&queue->lottery, flow, flow->tickets);
}

static void
left(pulse_runqueue *queue, pulse_flow *flow)
{
    set_tickets(&queue->lottery, flow, 0);
}

static pulse_flow *
choose(pulse_runqueue *queue)
{
    pulse_lottery_state *lottery = &queue->lottery;
    uint32_t ticket = draw(lottery);
    uint32_t place = 1;
    while (place < lottery->leaves) {
        place *= 2;
        // No branch: it would be mispredicted at every other level.
        uint32_t sum = lottery->sums[place];
        uint32_t goes_right = ticket >= sum;
        ticket -= sum & -goes_right;
        place += goes_right;
    }
    return queue->flows.slots[place - lottery->leaves];
}

static void
change_tickets(pulse_runqueue *queue, pulse_flow *flow, uint32_t tickets)
{
    if (tickets == flow->tickets) {
        return;
    }
    flow->tickets = tickets;
    if (flow->queued > 0) {
        set_tickets(&queue->lottery, flow, tickets);
    }
}

static void
released(pulse_runqueue *queue, pulse_flow *flow, uint64_t cost_us)
{
    (void)cost_us;
    change_tickets(queue, flow, base_tickets[flow->priority] * SCALE);
}

static void
charged(pulse_runqueue *queue, pulse_flow *flow, uint64_t used_us)
{
    uint64_t quantum_us = queue->settings.quantum_us[PRIORITY_OF_QUANTUM];
    uint64_t base = base_tickets[flow->priority] * SCALE;
    uint64_t tickets = base;
    if (used_us * LARGEST_COMPENSATION <= quantum_us) {
        tickets = base * LARGEST_COMPENSATION;
    }
    else if (used_us < quantum_us) {
        tickets = base * quantum_us / used_us;
    }
    change_tickets(queue, flow, (uint32_t)tickets);
}

const pulse_discipline pulse_lottery = {
    .start = start,
    .stop = stop,
    .reserve = reserve,
    .forgive = forgive,
    .arrived = arrived,
    .left = left,
    .choose = choose,
    .released = released,
    .charged = charged,
};
