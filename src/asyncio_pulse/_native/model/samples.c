#include "model/samples.h"

void
pulse_samples_clear(pulse_samples *samples)
{
    atomic_store_explicit(&samples->poll, 0, memory_order_relaxed);
    while (samples->places > 0) {
        samples->places--;
        Py_CLEAR(samples->stacks[samples->places]);
    }
    samples->sampled = samples->sampled_ticks = samples->importing_ticks = 0;
}

bool
pulse_samples_is_importing(PyObject *stack)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(stack); i++) {
        PyObject *filename = PyTuple_GET_ITEM(PyTuple_GET_ITEM(stack, i), 1);
        if (PyUnicode_CompareWithASCIIString(filename, "<frozen importlib._bootstrap>") == 0) {
            return true;
        }
    }
    return false;
}

// A place is this many of the innermost functions.
enum { FRAMES_OF_PLACE = 3 };

static bool
is_same_place(PyObject *left, PyObject *right)
{
    for (Py_ssize_t i = 0; i < FRAMES_OF_PLACE; i++) {
        bool left_ends = i == PyTuple_GET_SIZE(left), right_ends = i == PyTuple_GET_SIZE(right);
        if (left_ends || right_ends) {
            return left_ends && right_ends;
        }
        PyObject *one = PyTuple_GET_ITEM(left, i), *other = PyTuple_GET_ITEM(right, i);
        if (PyUnicode_Compare(PyTuple_GET_ITEM(one, 0), PyTuple_GET_ITEM(other, 0)) != 0 ||
            PyUnicode_Compare(PyTuple_GET_ITEM(one, 1), PyTuple_GET_ITEM(other, 1)) != 0) {
            return false;
        }
    }
    return true;
}

void
pulse_samples_look_at(pulse_samples *samples, uint64_t poll, uint64_t now)
{
    if (atomic_load_explicit(&samples->poll, memory_order_relaxed) != poll) {
        pulse_samples_clear(samples);
        atomic_store_explicit(&samples->poll, poll, memory_order_relaxed);
        samples->sampled = poll;
    }
    atomic_store_explicit(&samples->due, now + (now - poll) / 8, memory_order_relaxed);
}

void
pulse_samples_add(pulse_samples *samples, PyObject *stack, uint64_t now)
{
    uint64_t ticks = now - samples->sampled;
    samples->sampled = now;
    samples->sampled_ticks += ticks;
    samples->importing_ticks += pulse_samples_is_importing(stack) ? ticks : 0;
    for (int i = 0; i < samples->places; i++) {
        if (is_same_place(samples->stacks[i], stack)) {
            samples->ticks[i] += ticks;
            return;
        }
    }
    if (samples->places < PULSE_MOST_SAMPLED_PLACES) {
        samples->ticks[samples->places] = ticks;
        samples->stacks[samples->places++] = Py_NewRef(stack);
    }
}

PyObject *
pulse_samples_most(const pulse_samples *samples, uint64_t poll)
{
    if (atomic_load_explicit(&samples->poll, memory_order_relaxed) != poll || samples->places == 0) {
        return NULL;
    }
    int most = 0;
    for (int i = 1; i < samples->places; i++) {
        most = samples->ticks[i] >= samples->ticks[most] ? i : most;
    }
    return samples->stacks[most];
}
