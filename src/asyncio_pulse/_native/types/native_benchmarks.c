#include "types/native_benchmarks.h"

#include <stdlib.h>
#include <string.h>

#include "base/thread_clock.h"
#include "model/governed.h"
#include "queue/runqueue.h"

enum { NODES = 1000, FLOWS = 100, SLICE_US = 1500 };

typedef struct {
    pulse_runqueue *queue;
    pulse_queue_node nodes[NODES];
} pulse_queue_subject;

static pulse_queue_request
request_of(uint64_t number)
{
    return (pulse_queue_request){.priority = number % 4, .key = number % FLOWS, .cost_us = 1000};
}

// A queue of 1,000 nodes in 100 flows.
static pulse_queue_subject *
subject_new(pulse_algorithm algorithm)
{
    pulse_queue_settings settings = {
        .algorithm = algorithm,
        .max_size = NODES,
        .seed = 1,
        .starvation_threshold_ns = 1000000000,
        .quantum_us = {4000, 3000, 2000, 1000},
    };
    pulse_queue_subject *subject = calloc(1, sizeof *subject);
    pulse_runqueue *queue = subject == NULL ? NULL : pulse_runqueue_new(&settings);
    if (queue == NULL) {
        free(subject);
        return NULL;
    }
    subject->queue = queue;
    for (uint64_t i = 0; i < NODES; i++) {
        pulse_queue_request request = request_of(i);
        (void)pulse_runqueue_enqueue(queue, &subject->nodes[i], &request, 0);
    }
    return subject;
}

static void
subject_free(pulse_queue_subject *subject)
{
    while (pulse_runqueue_take_any(subject->queue) != NULL) {
    }
    pulse_runqueue_free(subject->queue);
    free(subject);
}

// A round releases a node, charges its flow and queues it again. False when memory runs out.
static bool
queue_slices(pulse_algorithm algorithm, uint64_t rounds)
{
    pulse_queue_subject *subject = subject_new(algorithm);
    if (subject == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t now_ns = i * SLICE_US * 1000;
        pulse_queue_node *node = pulse_runqueue_next(subject->queue, now_ns);
        // Slices of unequal cost, some beyond every quantum.
        pulse_runqueue_charge(subject->queue, node->priority, node->key, i * 2654435761u >> 7 & 8191u);
        pulse_queue_request request = {.priority = node->priority, .key = node->key, .cost_us = 1000};
        (void)pulse_runqueue_enqueue(subject->queue, node, &request, now_ns);
    }
    subject_free(subject);
    return true;
}

// A round takes a node out and queues it again. False when memory runs out.
static bool
queue_removal(uint64_t rounds)
{
    pulse_queue_subject *subject = subject_new(PULSE_DEFICIT_ROUND_ROBIN);
    if (subject == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t number = i * 7919 % NODES;
        pulse_queue_request request = request_of(number);
        pulse_runqueue_remove(subject->queue, &subject->nodes[number]);
        (void)pulse_runqueue_enqueue(subject->queue, &subject->nodes[number], &request, i);
    }
    subject_free(subject);
    return true;
}

typedef struct {
    pulse_governor *governor;
    pulse_governed *governed;
    pulse_thread *thread;
    volatile uint64_t sink;
} pulse_subject;

typedef void (*pulse_operation)(pulse_subject *subject, uint64_t rounds);

static void
measure_clock(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        subject->sink += pulse_clock_ticks();
    }
}

static void
measure_cpu_clock(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        subject->sink += pulse_thread_clock_ns();
    }
}

static void
measure_counter(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        pulse_counter_add(&subject->governor->totals.wall_ticks, i);
    }
}

static void
measure_histogram(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        pulse_histogram_record(&subject->governor->groups.other->histogram, i * 2654435761u & 0xffffff);
    }
}

static void
measure_budget(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        subject->sink += pulse_governed_spend(subject->governed, subject->thread, 1);
    }
}

static void
measure_priority(pulse_subject *subject, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        subject->governed->priority = (uint8_t)(i & 3u);
        subject->sink += subject->governor->alarm_ticks[subject->governed->priority];
    }
}

static void
measure_queue_credit(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += queue_slices(PULSE_CREDIT_BASED, rounds);
}

static void
measure_queue_lottery(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += queue_slices(PULSE_LOTTERY, rounds);
}

static void
measure_queue_deficit(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += queue_slices(PULSE_DEFICIT_ROUND_ROBIN, rounds);
}

static void
measure_queue_removal(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += queue_removal(rounds);
}

static const struct {
    const char *name;
    pulse_operation run;
} operations[] = {
    {"clock", measure_clock},
    {"cpu_clock", measure_cpu_clock},
    {"counter", measure_counter},
    {"budget", measure_budget},
    {"priority", measure_priority},
    {"histogram", measure_histogram},
    {"queue_credit_based", measure_queue_credit},
    {"queue_lottery", measure_queue_lottery},
    {"queue_deficit_round_robin", measure_queue_deficit},
    {"queue_removal", measure_queue_removal},
};

PyObject *
pulse_native_benchmarks_measure(PyObject *module, PyObject *args)
{
    const char *name;
    unsigned long long rounds;
    if (!PyArg_ParseTuple(args, "sK:measure_native", &name, &rounds)) {
        return NULL;
    }
    pulse_operation run = NULL;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(operations[i].name, name) == 0) {
            run = operations[i].run;
        }
    }
    if (run == NULL || rounds == 0) {
        PyErr_Format(PyExc_ValueError, "no native operation %R, or no rounds", PyTuple_GET_ITEM(args, 0));
        return NULL;
    }
    pulse_state *state = pulse_state_of_module(module);
    PyObject *governor = PyObject_CallFunction((PyObject *)state->governor_type, "i", 0);
    PyObject *governed = governor == NULL ? NULL : pulse_governed_new_task((pulse_governor *)governor, Py_None);
    pulse_thread *thread = governed == NULL ? NULL : pulse_thread_find(state, true);
    PyObject *result = NULL;
    if (thread != NULL) {
        pulse_subject subject = {(pulse_governor *)governor, (pulse_governed *)governed, thread, 0};
        uint64_t start = pulse_clock_ticks();
        run(&subject, rounds);
        result = PyFloat_FromDouble((double)pulse_clock_to_ns(pulse_clock_ticks() - start) / (double)rounds);
    }
    Py_XDECREF(governed);
    Py_XDECREF(governor);
    return result;
}
