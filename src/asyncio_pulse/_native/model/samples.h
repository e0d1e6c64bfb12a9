// What the watchdog saw of a long poll: a few stacks, and how much of the poll each stands for.
//
// A sample stands for the time since the sample before, or since the poll's beginning: the watchdog looks at growing
// distances, and less often when looks are costly, so the number of samples of a place says little.
//
// The samples own their references. Needs the GIL, except for `poll` and `due`, which the watchdog reads without it.
#ifndef PULSE_SAMPLES_H
#define PULSE_SAMPLES_H

#include "model/state.h"

enum { PULSE_MOST_SAMPLED_PLACES = 8 };

typedef struct {
    // The poll that was seen, named by its start; 0 for none.
    _Atomic(uint64_t) poll;
    // When the next sample is due, ticks. The longer the poll lasts, the rarer the samples.
    _Atomic(uint64_t) due;
    // The first stack seen at each place, and the time that its samples stand for, ticks.
    PyObject *stacks[PULSE_MOST_SAMPLED_PLACES];
    uint64_t ticks[PULSE_MOST_SAMPLED_PLACES];
    int places;
    // When the latest sample was taken, and the time that all samples, and those of imports, stand for.
    uint64_t sampled;
    uint64_t sampled_ticks;
    uint64_t importing_ticks;
} pulse_samples;

// Turn to the poll that began at `poll`: drop the samples of any other poll, and set the time of the next look.
void pulse_samples_look_at(pulse_samples *samples, uint64_t poll, uint64_t now);

// Add a stack of that poll, seen at `now`: a tuple of (function, filename, line), innermost first.
void pulse_samples_add(pulse_samples *samples, PyObject *stack, uint64_t now);

// The stack of the place whose samples stand for most of the poll; borrowed. NULL if that poll was never seen.
PyObject *pulse_samples_most(const pulse_samples *samples, uint64_t poll);

// Whether a stack is importing a module.
bool pulse_samples_is_importing(PyObject *stack);

void pulse_samples_clear(pulse_samples *samples);

#endif
