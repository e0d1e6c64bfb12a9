// What the watchdog saw of a long poll, each time that it looked: a few stacks, and how often each.
//
// The samples own their references. Needs the GIL, but for `poll` and `due`, which the watchdog reads without.
#ifndef PULSE_SAMPLES_H
#define PULSE_SAMPLES_H

#include "model/state.h"

enum { PULSE_MOST_SAMPLED_PLACES = 8 };

typedef struct {
    // The poll that they are of, named by its start; 0 for none.
    _Atomic(uint64_t) poll;
    // When the next one is due, ticks: the longer the poll, the more seldom.
    _Atomic(uint64_t) due;
    // The first stack seen at each place, and how often it was seen there.
    PyObject *stacks[PULSE_MOST_SAMPLED_PLACES];
    unsigned counts[PULSE_MOST_SAMPLED_PLACES];
    int places;
    unsigned taken;
    unsigned importing;
} pulse_samples;

// The poll that began at `poll` is looked at: what was seen of another one is gone, and the next look is due later.
void pulse_samples_look_at(pulse_samples *samples, uint64_t poll, uint64_t now);

// Add a stack, a tuple of (function, filename, line), innermost first, of the poll that is looked at.
void pulse_samples_add(pulse_samples *samples, PyObject *stack);

// The stack of the place where the poll was seen most often; borrowed, NULL if that poll was never seen.
PyObject *pulse_samples_most(const pulse_samples *samples, uint64_t poll);

// Whether a stack imports a module.
bool pulse_samples_is_importing(PyObject *stack);

void pulse_samples_clear(pulse_samples *samples);

#endif
