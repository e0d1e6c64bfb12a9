// The queues of a pump: how they are made, changed, emptied and freed.
#include "park/pump.h"
#include "park/turn_budget.h"

uint32_t
pulse_pump_waiting(const pulse_pump *pump, pulse_way_to_wait waits)
{
    return pulse_runqueue_statistics(pump->queues[waits])->size;
}

bool
pulse_pump_is_empty(const pulse_pump *pump)
{
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        if (pulse_pump_waiting(pump, waits) > 0) {
            return false;
        }
    }
    return true;
}

static void
hold_group(void *Py_UNUSED(context), uintptr_t key)
{
    Py_INCREF((PyObject *)key);
}

static void
release_group(void *Py_UNUSED(context), uintptr_t key)
{
    Py_DECREF((PyObject *)key);
}

static pulse_queue_settings
queue_settings(const pulse_pump_settings *settings)
{
    uint64_t quantum_us = pulse_clock_to_ns(settings->slice_ticks) / 1000;
    pulse_queue_settings own = {
        .algorithm = settings->algorithm,
        .max_size = settings->max_size,
        .seed = settings->seed,
        .starvation_threshold_ns = settings->starvation_threshold_ns,
        .hold_key = hold_group,
        .release_key = release_group,
    };
    for (unsigned i = 0; i < PULSE_QUEUE_PRIORITIES; i++) {
        // 4, 3, 2, 1 halves of a slice, so that a NORMAL flow gets one slice a round.
        uint64_t quantum = quantum_us * (PULSE_QUEUE_PRIORITIES - i) / 2;
        quantum = quantum < 1 ? 1 : quantum;
        own.quantum_us[i] = (uint32_t)(quantum < PULSE_QUEUE_LARGEST_QUANTUM_US ? quantum : PULSE_QUEUE_LARGEST_QUANTUM_US);
    }
    return own;
}

// Who waits for a turn does so in one flow, which belongs to no group.
static pulse_queue_settings
settings_of(const pulse_queue_settings *own, pulse_way_to_wait waits)
{
    pulse_queue_settings settings = *own;
    if (waits == PULSE_WAITS_FOR_TURN) {
        settings.algorithm = PULSE_CREDIT_BASED;
        settings.hold_key = settings.release_key = NULL;
    }
    return settings;
}

static void
free_pump(pulse_pump *pump)
{
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        if (pump->queues[waits] != NULL) {
            pulse_runqueue_free(pump->queues[waits]);
        }
    }
    Py_CLEAR(pump->context);
    Py_CLEAR(pump->future_type);
    PyMem_Free(pump);
}

static pulse_pump *
new_pump(const pulse_pump_settings *settings)
{
    pulse_pump *pump = PyMem_Calloc(1, sizeof *pump);
    if (pump == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    pulse_queue_settings own = queue_settings(settings);
    bool failed = false;
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        pulse_queue_settings one = settings_of(&own, waits);
        pump->queues[waits] = pulse_runqueue_new(&one);
        failed |= pump->queues[waits] == NULL;
    }
    pump->context = failed ? PyErr_NoMemory() : PyContext_New();
    if (pump->context == NULL) {
        free_pump(pump);
        return NULL;
    }
    pump->allowance_ticks = pump->cancel_allowance_ticks = (int64_t)settings->slice_ticks;
    return pump;
}

int
pulse_pump_configure(pulse_governor *governor, const pulse_pump_settings *settings)
{
    if (governor->pump == NULL) {
        governor->pump = new_pump(settings);
        if (governor->pump == NULL) {
            return -1;
        }
    }
    pulse_pump *pump = governor->pump;
    pulse_queue_settings own = queue_settings(settings);
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        pulse_queue_settings one = settings_of(&own, waits);
        if (!pulse_runqueue_configure(pump->queues[waits], &one)) {
            PyErr_NoMemory();
            return -1;
        }
    }
    pump->slice_ticks = settings->slice_ticks;
    if (pump->allowance_ticks > (int64_t)pump->slice_ticks) {
        pump->allowance_ticks = (int64_t)pump->slice_ticks;
    }
    pump->isolated_share = settings->isolated_share;
    pump->breaker_ticks = settings->breaker_ticks;
    pump->starvation_ticks = pulse_clock_from_ns(settings->starvation_threshold_ns);
    governor->turn_ticks = settings->turn_ticks;
    pulse_governor_turn_budget_changed(governor);
    return 0;
}

pulse_queue_node *
pulse_pump_take_any(pulse_pump *pump)
{
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        pulse_queue_node *node = pulse_runqueue_take_any(pump->queues[waits]);
        if (node != NULL) {
            return node;
        }
    }
    return NULL;
}

void
pulse_pump_drop_all(pulse_pump *pump)
{
    pulse_queue_node *node;
    while ((node = pulse_pump_take_any(pump)) != NULL) {
        pulse_governed *governed = ((pulse_parking *)node)->governed;
        pulse_park_abandon(governed);
        Py_DECREF((PyObject *)governed);
    }
}

void
pulse_pump_free(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    if (pump != NULL) {
        pulse_pump_drop_all(pump);
        Py_CLEAR(pump->released);
        Py_CLEAR(pump->ready);
        Py_CLEAR(pump->kept_waiting);
        governor->pump = NULL;
        free_pump(pump);
    }
}
