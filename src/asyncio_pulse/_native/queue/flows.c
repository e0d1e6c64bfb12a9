#include "queue/flows.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

void
pulse_flows_init(pulse_flow_table *table)
{
    *table = (pulse_flow_table){0};
    pulse_link_init(&table->spare);
}

void
pulse_flows_free(pulse_flow_table *table)
{
    for (uint32_t i = 0; i < table->made; i++) {
        free(table->slots[i]);
    }
    free(table->slots);
    free(table->buckets);
    pulse_flows_init(table);
}

// Keys are addresses with similar low bits: multiply by the golden ratio and use the high bits (Knuth, 1973).
static pulse_flow **
bucket_of(const pulse_flow_table *table, uint8_t priority, uintptr_t key)
{
    uint64_t mixed = ((uint64_t)key ^ (uint64_t)priority << 61) * UINT64_C(0x9e3779b97f4a7c15);
    return &table->buckets[(mixed >> 32) & (table->capacity - 1)];
}

pulse_flow *
pulse_flows_find(const pulse_flow_table *table, uint8_t priority, uintptr_t key)
{
    if (table->capacity == 0) {
        return NULL;
    }
    pulse_flow *flow = *bucket_of(table, priority, key);
    while (flow != NULL && (flow->key != key || flow->priority != priority)) {
        flow = flow->chain;
    }
    return flow;
}

static void
put_into_bucket(pulse_flow_table *table, pulse_flow *flow)
{
    pulse_flow **bucket = bucket_of(table, flow->priority, flow->key);
    flow->chain = *bucket;
    *bucket = flow;
}

// Called only when no flow is spare, so every flow is in use and belongs in a bucket.
static bool
grow(pulse_flow_table *table)
{
    uint32_t capacity = table->capacity == 0 ? FIRST_CAPACITY : 2 * table->capacity;
    pulse_flow **slots = realloc(table->slots, capacity * sizeof(pulse_flow *));
    if (slots == NULL) {
        return false;
    }
    table->slots = slots;
    pulse_flow **buckets = calloc(capacity, sizeof(pulse_flow *));
    if (buckets == NULL) {
        return false;
    }
    free(table->buckets);
    table->buckets = buckets;
    table->capacity = capacity;
    for (uint32_t i = 0; i < table->made; i++) {
        put_into_bucket(table, slots[i]);
    }
    return true;
}

static pulse_flow *
take_spare_or_new(pulse_flow_table *table)
{
    if (!pulse_link_is_alone(&table->spare)) {
        pulse_flow *flow = PULSE_ELEMENT(table->spare.next, pulse_flow, turn);
        pulse_link_remove(&flow->turn);
        return flow;
    }
    if (table->made == table->capacity && !grow(table)) {
        return NULL;
    }
    pulse_flow *flow = malloc(sizeof *flow);
    if (flow != NULL) {
        flow->slot = table->made;
        table->slots[table->made++] = flow;
    }
    return flow;
}

pulse_flow *
pulse_flows_make(pulse_flow_table *table, uint8_t priority, uintptr_t key)
{
    pulse_flow *flow = take_spare_or_new(table);
    if (flow == NULL) {
        return NULL;
    }
    *flow = (pulse_flow){.key = key, .priority = priority, .slot = flow->slot};
    pulse_link_init(&flow->lanes[PULSE_FLOW_HOLDERS]);
    pulse_link_init(&flow->lanes[PULSE_FLOW_PLAIN]);
    pulse_link_init(&flow->waiting);
    pulse_link_init(&flow->holding);
    pulse_link_init(&flow->turn);
    put_into_bucket(table, flow);
    return flow;
}

void
pulse_flows_forget(pulse_flow_table *table, pulse_flow *flow)
{
    pulse_flow **place = bucket_of(table, flow->priority, flow->key);
    while (*place != flow) {
        place = &(*place)->chain;
    }
    *place = flow->chain;
    pulse_link_append(&table->spare, &flow->turn);
}
