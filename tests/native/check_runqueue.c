// The run queue against a model that only knows what was put in: nothing is lost, doubled, reordered or starved.
// Usage: check_runqueue [ignored [SEED STEPS]]
#include "checks.h"
#include "queue/discipline.h"
#include "queue/runqueue.h"

enum {
    NODES = 400,
    GROUPS = 5,
    FLOWS = GROUPS * PULSE_QUEUE_PRIORITIES,
    QUANTUM = 1000,
    MILLISECOND = 1000000,
};

typedef struct {
    pulse_queue_node node;
    // Order of arrival: in its flow's lane, or among the urgent.
    uint64_t number;
    bool is_queued;
    bool is_holder;
    bool is_urgent;
    unsigned group;
} item;

typedef struct {
    pulse_runqueue *queue;
    item items[NODES];
    uint32_t max_size;
    uint32_t queued;
    uint64_t arrivals;
    uint64_t now_ns;
    long keys_held;
    uint64_t releases;
    uint64_t rescues_before;
    uint64_t seed;
} world;

static void
hold(void *context, uintptr_t key)
{
    (void)key;
    ++*(long *)context;
}

static void
let_go(void *context, uintptr_t key)
{
    (void)key;
    --*(long *)context;
}

static pulse_queue_settings
settings_of(pulse_algorithm algorithm, uint64_t seed)
{
    return (pulse_queue_settings){
        .algorithm = algorithm,
        .max_size = PULSE_QUEUE_LARGEST_SIZE,
        .seed = seed,
        .starvation_threshold_ns = UINT64_MAX,
        .quantum_us = {4 * QUANTUM, 3 * QUANTUM, 2 * QUANTUM, QUANTUM},
    };
}

static uint64_t
below(world *w, uint64_t limit)
{
    // The low bits of numbers of every magnitude would favour small ones.
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->seed >> 33) % limit;
}

static bool
is_before(const item *a, const item *b)
{
    return a->is_queued && a->number < b->number;
}

// GIVEN the item that was released; THEN it was allowed to be the next one.
static void
check_order(const world *w, const item *released)
{
    for (int i = 0; i < NODES; i++) {
        const item *other = &w->items[i];
        if (!is_before(other, released)) {
            continue;
        }
        // Nobody overtakes an urgent one that came before, nor one of its own flow and lane.
        CHECK(!other->is_urgent);
        bool same_flow =
            !released->is_urgent && other->node.priority == released->node.priority && other->group == released->group;
        CHECK(!same_flow || (released->is_holder && !other->is_holder));
    }
}

static void
check_counts(const world *w)
{
    const pulse_queue_statistics *statistics = pulse_runqueue_statistics(w->queue);
    CHECK(statistics->size == w->queued && w->queued <= w->max_size);
    uint32_t by_priority[PULSE_QUEUE_PRIORITIES] = {0}, by_flow[FLOWS] = {0};
    for (int i = 0; i < NODES; i++) {
        const item *it = &w->items[i];
        CHECK(it->is_queued == it->node.is_queued);
        if (it->is_queued) {
            by_priority[it->node.priority]++;
            by_flow[it->group * PULSE_QUEUE_PRIORITIES + it->node.priority] += !it->is_urgent;
        }
    }
    for (uint8_t priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        CHECK(statistics->queued[priority] == by_priority[priority]);
        for (unsigned group = 0; group < GROUPS; group++) {
            const pulse_flow *flow = pulse_runqueue_find_flow(w->queue, priority, group);
            CHECK((flow == NULL ? 0 : flow->queued) == by_flow[group * PULSE_QUEUE_PRIORITIES + priority]);
        }
    }
    CHECK(statistics->rescues <= 1 + w->releases / 10);
    CHECK(w->keys_held <= FLOWS && w->keys_held == (long)pulse_runqueue_flow_count(w->queue));
}

static void
enqueue(world *w)
{
    item *it = &w->items[below(w, NODES)];
    if (it->is_queued) {
        return;
    }
    it->group = (unsigned)below(w, GROUPS);
    pulse_queue_request request = {
        .priority = (uint8_t)below(w, PULSE_QUEUE_PRIORITIES),
        .is_holder = below(w, 8) == 0,
        .is_urgent = below(w, 16) == 0,
        .key = it->group,
        .cost_us = random_number(&w->seed),
    };
    bool taken = pulse_runqueue_enqueue(w->queue, &it->node, &request, w->now_ns);
    CHECK(taken == (w->queued < w->max_size));
    if (taken) {
        it->is_queued = true;
        it->is_urgent = request.is_urgent;
        it->is_holder = request.is_holder;
        it->number = w->arrivals++;
        w->queued++;
    }
}

static void
accept_release(world *w, pulse_queue_node *node)
{
    CHECK((node == NULL) == (w->queued == 0));
    if (node == NULL) {
        return;
    }
    item *it = (item *)(void *)node;
    CHECK(it->is_queued);
    check_order(w, it);
    it->is_queued = false;
    w->queued--;
    w->releases++;
    if (!it->is_urgent && below(w, 8) != 0) {
        uint64_t used_us = below(w, 4) != 0 ? below(w, 8 * QUANTUM) : random_number(&w->seed);
        pulse_runqueue_charge(w->queue, node->priority, node->key, used_us);
    }
}

// As a discipline of the caller's own would: any flow that waits.
static void
release_by_hand(world *w)
{
    pulse_queue_node *node = pulse_runqueue_next_due(w->queue, w->now_ns);
    uint32_t count = pulse_runqueue_flow_count(w->queue);
    uint32_t first = count == 0 ? 0 : (uint32_t)below(w, count);
    for (uint32_t i = 0; i < count && node == NULL; i++) {
        pulse_flow *flow = pulse_runqueue_flow(w->queue, (first + i) % count);
        if (flow != NULL && flow->queued > 0) {
            node = pulse_runqueue_next_of(w->queue, flow, w->now_ns);
        }
    }
    accept_release(w, node);
}

static void
remove_or_promote(world *w)
{
    item *it = &w->items[below(w, NODES)];
    if (!it->is_queued) {
        return;
    }
    if (below(w, 2) == 0) {
        pulse_runqueue_remove(w->queue, &it->node);
        it->is_queued = false;
        w->queued--;
    }
    else {
        pulse_runqueue_promote(w->queue, &it->node);
        if (!it->is_urgent && !it->is_holder) {
            it->is_holder = true;
            it->number = w->arrivals++;
        }
    }
}

static int
count_visit(pulse_queue_node *node, void *context)
{
    CHECK(node->is_queued);
    ++*(uint32_t *)context;
    return 0;
}

static void
step(world *w)
{
    w->now_ns += below(w, 4) == 0 ? below(w, 50 * MILLISECOND) : 0;
    uint64_t what = below(w, 100);
    if (what < 45) {
        enqueue(w);
    }
    else if (what < 78) {
        accept_release(w, pulse_runqueue_next(w->queue, w->now_ns));
    }
    else if (what < 83) {
        release_by_hand(w);
    }
    else if (what < 93) {
        remove_or_promote(w);
    }
    else if (what < 98) {
        pulse_runqueue_charge(w->queue, (uint8_t)below(w, PULSE_QUEUE_PRIORITIES), below(w, GROUPS), below(w, 20000));
    }
    else if (what < 99) {
        CHECK(pulse_runqueue_set_algorithm(w->queue, (pulse_algorithm)below(w, 3)));
    }
    else {
        uint32_t visited = 0;
        CHECK(pulse_runqueue_visit(w->queue, count_visit, &visited) == 0 && visited == w->queued);
        CHECK(pulse_runqueue_longest_wait(w->queue, w->now_ns) <= w->now_ns);
        check_counts(w);
    }
}

static void
check_anything(uint64_t seed, long steps)
{
    static world w;
    w = (world){.seed = seed};
    w.max_size = (uint32_t)(below(&w, 2) == 0 ? 1 + below(&w, 30) : 1 + below(&w, NODES));
    pulse_queue_settings settings = settings_of((pulse_algorithm)below(&w, 3), seed);
    settings.max_size = w.max_size;
    settings.starvation_threshold_ns = 1 + below(&w, 2000) * MILLISECOND;
    settings.hold_key = hold;
    settings.release_key = let_go;
    settings.context = &w.keys_held;
    w.queue = pulse_runqueue_new(&settings);
    for (long i = 0; i < steps; i++) {
        step(&w);
    }
    check_counts(&w);
    uint32_t left = 0;
    while (pulse_runqueue_take_any(w.queue) != NULL) {
        left++;
    }
    CHECK(left == w.queued && pulse_runqueue_statistics(w.queue)->size == 0);
    pulse_runqueue_free(w.queue);
    CHECK(w.keys_held == 0);
}

// GIVEN one flow a priority that always waits and slices of unequal cost; THEN each gets its share of what is counted.
static void
check_weights(pulse_algorithm algorithm, uint64_t seed)
{
    enum { SLICES = 10000, COPIES = 3 };
    static const int weights[] = {4, 3, 2, 1};
    static pulse_queue_node nodes[PULSE_QUEUE_PRIORITIES * COPIES];
    pulse_queue_settings settings = settings_of(algorithm, seed);
    pulse_runqueue *queue = pulse_runqueue_new(&settings);
    world w = {.seed = seed};
    for (unsigned i = 0; i < PULSE_QUEUE_PRIORITIES * COPIES; i++) {
        pulse_queue_request request = {.priority = (uint8_t)(i % 4), .key = 1, .cost_us = QUANTUM};
        CHECK(pulse_runqueue_enqueue(queue, &nodes[i], &request, 0));
    }
    uint64_t got[PULSE_QUEUE_PRIORITIES] = {0}, all = 0;
    for (int i = 0; i < SLICES; i++) {
        pulse_queue_node *node = pulse_runqueue_next(queue, 0);
        uint8_t priority = node->priority;
        // The less important, the longer their slices; beyond a quantum, so that nobody is compensated.
        uint64_t used_us = 2 * QUANTUM + below(&w, 4000u * (1u + priority));
        pulse_runqueue_charge(queue, priority, node->key, used_us);
        uint64_t counted = algorithm == PULSE_DEFICIT_ROUND_ROBIN ? used_us : 1;
        got[priority] += counted;
        all += counted;
        pulse_queue_request request = {.priority = priority, .key = 1, .cost_us = QUANTUM};
        CHECK(pulse_runqueue_enqueue(queue, node, &request, 0));
    }
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        double share = (double)got[priority] / (double)all * 10 / weights[priority];
        CHECK(share > 0.95 && share < 1.05);
    }
    while (pulse_runqueue_take_any(queue) != NULL) {
    }
    pulse_runqueue_free(queue);
}

// GIVEN more flows than are remembered, one of them in debt; THEN the table stays bounded, and the debt outlasts as many
// other flows as it should.
static void
check_idle_flows_are_bounded(void)
{
    static pulse_queue_node node;
    long keys_held = 0;
    pulse_queue_settings settings = settings_of(PULSE_DEFICIT_ROUND_ROBIN, 1);
    settings.hold_key = hold;
    settings.release_key = let_go;
    settings.context = &keys_held;
    pulse_runqueue *queue = pulse_runqueue_new(&settings);
    pulse_runqueue_charge(queue, 2, 7, 1000000);
    for (uintptr_t key = 100; key < 100 + 3 * PULSE_QUEUE_IDLE_FLOWS; key++) {
        bool remembered = pulse_runqueue_find_flow(queue, 2, 7) != NULL;
        CHECK(remembered == (key < 100 + PULSE_QUEUE_IDLE_FLOWS));
        CHECK(!remembered || pulse_runqueue_find_flow(queue, 2, 7)->deficit_us < 0);
        pulse_queue_request request = {.priority = 1, .key = key, .cost_us = QUANTUM};
        CHECK(pulse_runqueue_enqueue(queue, &node, &request, 0));
        CHECK(pulse_runqueue_next(queue, 0) == &node);
        CHECK(keys_held <= PULSE_QUEUE_IDLE_FLOWS + 1);
    }
    CHECK(pulse_runqueue_flow_count(queue) <= PULSE_QUEUE_IDLE_FLOWS + 1);
    pulse_runqueue_free(queue);
    CHECK(keys_held == 0);
}

int
main(int argc, char **argv)
{
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    long steps = argc > 3 ? strtol(argv[3], NULL, 10) : 400000;
    for (pulse_algorithm algorithm = PULSE_CREDIT_BASED; algorithm <= PULSE_DEFICIT_ROUND_ROBIN; algorithm++) {
        for (uint64_t each = seed; each < seed + 20; each++) {
            check_weights(algorithm, each);
        }
    }
    check_idle_flows_are_bounded();
    for (long done = 0; done < steps; done += 2000) {
        check_anything(seed++, 2000);
    }
    return checks_report();
}
