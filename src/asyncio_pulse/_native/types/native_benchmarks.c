#include "types/native_benchmarks.h"

#include <string.h>

#include "base/thread_clock.h"
#include "model/governed.h"
#include "types/measure_queue.h"

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
        pulse_counter_add(&subject->governor->account.wall_ticks, i);
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
    subject->sink += pulse_measure_queue_slices(PULSE_CREDIT_BASED, rounds);
}

static void
measure_queue_lottery(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += pulse_measure_queue_slices(PULSE_LOTTERY, rounds);
}

static void
measure_queue_deficit(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += pulse_measure_queue_slices(PULSE_DEFICIT_ROUND_ROBIN, rounds);
}

static void
measure_queue_removal(pulse_subject *subject, uint64_t rounds)
{
    subject->sink += pulse_measure_queue_removal(rounds);
}

static const struct {
    const char *name;
    pulse_operation run;
} operations[] = {
    {"clock", measure_clock},   {"cpu_clock", measure_cpu_clock}, {"counter", measure_counter},
    {"budget", measure_budget}, {"priority", measure_priority},   {"histogram", measure_histogram},
    {"queue_credit_based", measure_queue_credit},
    {"queue_lottery", measure_queue_lottery},
    {"queue_deficit_round_robin", measure_queue_deficit},
    {"queue_removal", measure_queue_removal},
};

PyObject *
pulse_measure_native(PyObject *module, PyObject *args)
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
