#include "park/waiting.h"

#include "preempt/suspension.h"

// Often enough for a circuit breaker to open at once, and rarely enough to cost nothing.
enum { RELEASES_TOLD_EVERY_NS = 100000000 };

uint32_t
pulse_waiting_count(const pulse_pump *pump, pulse_way_to_wait waits)
{
    return pulse_runqueue_statistics(pump->queues[waits])->size;
}

bool
pulse_waiting_is_empty(const pulse_pump *pump)
{
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        if (pulse_waiting_count(pump, waits) > 0) {
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
        own.quantum_us[i] =
            (uint32_t)(quantum < PULSE_QUEUE_LARGEST_QUANTUM_US ? quantum : PULSE_QUEUE_LARGEST_QUANTUM_US);
    }
    return own;
}

// Tasks that wait for a turn wait in one flow, which belongs to no group.
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
pulse_waiting_configure(pulse_governor *governor, const pulse_pump_settings *settings)
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
    return 0;
}

void
pulse_waiting_leave_queue(pulse_governed *governed)
{
    pulse_parking *parking = governed->parking;
    pulse_pump *pump = governed->governor->pump;
    if (parking->node.is_queued) {
        pulse_runqueue_remove(pump->queues[parking->waits], &parking->node);
        Py_DECREF((PyObject *)governed);
    }
}

void
pulse_waiting_charge(pulse_parking *parking, uint64_t used_ticks)
{
    if (!parking->is_urgent) {
        pulse_runqueue *queue = parking->governed->governor->pump->queues[parking->waits];
        uint64_t used_us = pulse_clock_to_ns(used_ticks) / 1000;
        pulse_runqueue_charge(queue, parking->node.priority, parking->node.key, used_us);
    }
}

static void
note_wait(pulse_pump *pump, pulse_parking *parking)
{
    pulse_group *group = parking->group;
    uint64_t now = pulse_clock_ticks(), waited = now - parking->parked_at;
    parking->waited_ticks = waited;
    if (!group->is_explicit) {
        return;
    }
    group->releases++;
    group->late_releases += waited > pump->breaker_ticks;
    group->longest_wait_ticks = waited > group->longest_wait_ticks ? waited : group->longest_wait_ticks;
    if (now - group->releases_told_at > pulse_clock_from_ns(RELEASES_TOLD_EVERY_NS)) {
        group->releases_told_at = now;
        // Creating a list may run the collector, which may come here again. So the list is set afterwards.
        PyObject *fresh = pump->released == NULL ? PyList_New(0) : NULL;
        if (pump->released == NULL) {
            pump->released = Py_XNewRef(fresh);
        }
        Py_XDECREF(fresh);
        if (pump->released == NULL || PyList_Append(pump->released, (PyObject *)group) < 0) {
            // These releases are reported with the next ones.
            PyErr_Clear();
        }
    }
}

void
pulse_waiting_release_one(pulse_governor *governor, pulse_queue_node *node)
{
    pulse_parking *parking = (pulse_parking *)node;
    pulse_governed *governed = parking->governed;
    PyObject *future = Py_NewRef(parking->future);
    parking->state = PULSE_RELEASED;
    if (parking->waits != PULSE_WAITS_FOR_TURN) {
        note_wait(governor->pump, parking);
    }
    PyObject *result = PyObject_CallMethodOneArg(future, governor->state->str_set_result, Py_None);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        // Done already: its task was cancelled, and is about to throw.
        PyErr_Clear();
    }
    else {
        pulse_state_settle(governor->state, result);
    }
    Py_DECREF(future);
    Py_DECREF((PyObject *)governed);
}

void
pulse_waiting_lift(pulse_governor *governor, pulse_parking *parking)
{
    pulse_runqueue_remove(governor->pump->queues[parking->waits], &parking->node);
    pulse_counter_add(&governor->pump->lifted, 1);
    pulse_waiting_release_one(governor, &parking->node);
}

static uint64_t
expected_ticks(const pulse_pump *pump, const pulse_parking *parking)
{
    uint64_t known = parking->governed->group->slice_ticks;
    // If nothing is known, the worst is expected: a slice that fills a grant of its own.
    return known != 0 ? known : pump->slice_ticks;
}

int64_t
pulse_waiting_release(pulse_governor *governor, pulse_way_to_wait waits, int64_t ticks)
{
    pulse_pump *pump = governor->pump;
    pulse_runqueue *queue = pump->queues[waits];
    pulse_queue_node *node;
    while (ticks > 0 && (node = pulse_runqueue_next(queue, pulse_clock_to_ns(pulse_clock_ticks()))) != NULL) {
        pulse_parking *parking = (pulse_parking *)node;
        parking->expected_ticks = expected_ticks(pump, parking);
        ticks -= (int64_t)parking->expected_ticks;
        pulse_waiting_release_one(governor, node);
    }
    return ticks;
}

void
pulse_waiting_forget(pulse_governed *governed)
{
    pulse_parking *parking = governed->parking;
    if (parking == NULL) {
        return;
    }
    if (parking->state == PULSE_RELEASED) {
        // It never ran.
        pulse_waiting_charge(parking, 0);
    }
    PyObject *future = parking->future, *value = parking->value, *exception = parking->exception;
    parking->future = parking->value = parking->exception = NULL;
    pulse_waiting_set_state(governed, PULSE_UNPARKED);
    pulse_waiting_leave_queue(governed);
    Py_XDECREF(future);
    Py_XDECREF(value);
    Py_XDECREF(exception);
}

void
pulse_waiting_free(pulse_governed *governed)
{
    pulse_waiting_forget(governed);
    if (governed->parking != NULL) {
        Py_XDECREF((PyObject *)governed->parking->group);
        PyMem_Free(governed->parking);
        governed->parking = NULL;
    }
}

void
pulse_waiting_abandon(pulse_governed *governed)
{
    if (pulse_counter_read(&governed->polls) == 0) {
        // Without parking it would have begun. Closing it prevents the warning that it was never awaited.
        PyObject *closed =
            PyObject_CallMethodNoArgs(governed->coro, pulse_state_of_module(governed->module)->str_close);
        if (closed == NULL) {
            PyErr_WriteUnraisable(governed->coro);
        }
        Py_XDECREF(closed);
    }
    // A coroutine left in the middle of its code is unwound: otherwise the collector would find it running.
    if (pulse_suspension_unwind(governed) < 0) {
        PyErr_WriteUnraisable(governed->coro);
    }
    pulse_waiting_forget(governed);
}

int
pulse_waiting_traverse(const pulse_governed *governed, visitproc visit, void *arg)
{
    if (governed->parking != NULL) {
        Py_VISIT(governed->parking->future);
        Py_VISIT(governed->parking->value);
        Py_VISIT(governed->parking->exception);
    }
    return 0;
}

pulse_queue_node *
pulse_waiting_take_any(pulse_pump *pump)
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
pulse_waiting_drop_all(pulse_pump *pump)
{
    pulse_queue_node *node;
    while ((node = pulse_waiting_take_any(pump)) != NULL) {
        pulse_governed *governed = ((pulse_parking *)node)->governed;
        pulse_waiting_abandon(governed);
        Py_DECREF((PyObject *)governed);
    }
}

void
pulse_waiting_free_pump(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    if (pump != NULL) {
        pulse_waiting_drop_all(pump);
        Py_CLEAR(pump->released);
        Py_CLEAR(pump->ready);
        Py_CLEAR(pump->kept_waiting);
        governor->pump = NULL;
        free_pump(pump);
    }
}

static PyObject *
queue_statistics(const pulse_runqueue *queue)
{
    const pulse_queue_statistics *all = pulse_runqueue_statistics(queue);
    uint64_t counted;
    PyObject *waits = PyList_New(0);
    for (unsigned i = 0; waits != NULL && i < PULSE_HISTOGRAM_BUCKETS; i++) {
        counted = pulse_counter_read(&all->waits_us.counts[i]);
        if (counted == 0) {
            continue;
        }
        PyObject *pair = Py_BuildValue("(KK)", (unsigned long long)((pulse_histogram_upper(i) + 1) * 1000 - 1),
                                       (unsigned long long)counted);
        if (pair == NULL || PyList_Append(waits, pair) < 0) {
            Py_CLEAR(waits);
        }
        Py_XDECREF(pair);
    }
    if (waits == NULL) {
        return NULL;
    }
    return Py_BuildValue("{s(IIII)s(KKKK)sKsKsIsN}", "queued_by_priority", all->queued[0], all->queued[1],
                         all->queued[2], all->queued[3], "served_by_priority", (unsigned long long)all->served[0],
                         (unsigned long long)all->served[1], (unsigned long long)all->served[2],
                         (unsigned long long)all->served[3], "rescues", (unsigned long long)all->rescues, "overflows",
                         (unsigned long long)all->overflows, "high_water_mark", all->high_water_mark, "wait_histogram",
                         waits);
}

PyObject *
pulse_waiting_statistics(const pulse_governor *governor)
{
    const pulse_pump *pump = governor->pump;
    if (pump == NULL) {
        return PyDict_New();
    }
    static const char *const names[] = {"queue", "isolated", "overlong_turns"};
    PyObject *all = Py_BuildValue("{sKsKsKsKsK}", "parked", (unsigned long long)pulse_counter_read(&pump->parked),
                                  "admitted", (unsigned long long)pulse_counter_read(&pump->admitted), "cancelled",
                                  (unsigned long long)pulse_counter_read(&pump->cancelled), "lifted",
                                  (unsigned long long)pulse_counter_read(&pump->lifted), "slices",
                                  (unsigned long long)pulse_counter_read(&pump->slices));
    for (int waits = 0; all != NULL && waits < PULSE_WAYS_TO_WAIT; waits++) {
        PyObject *queue = queue_statistics(pump->queues[waits]);
        if (queue == NULL || PyDict_SetItemString(all, names[waits], queue) < 0) {
            Py_CLEAR(all);
        }
        Py_XDECREF(queue);
    }
    PyObject *kept = pump->kept_waiting == NULL ? PyDict_New() : PyDict_Copy(pump->kept_waiting);
    if (all != NULL && (kept == NULL || PyDict_SetItemString(all, "kept_waiting", kept) < 0)) {
        Py_CLEAR(all);
    }
    Py_XDECREF(kept);
    return all;
}
