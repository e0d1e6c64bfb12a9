// The worst polls of a governor: the longest one at each place, for a bounded number of places.
//
// A place is a function of a group: the innermost function that the watchdog saw while a poll ran, else the coroutine's
// own. Needs the GIL. Runs no Python code: a poll's end is no place for a user's signal handler to be called.
#ifndef PULSE_WORST_H
#define PULSE_WORST_H

#include "account.h"
#include "state.h"

enum { PULSE_WORST_PLACES = 64 };

typedef struct {
    PyObject *group;
    PyObject *task;
    PyObject *function;
    PyObject *filename;
    // Tuple of (function, filename, line), innermost first; NULL if no poll at this place was seen running.
    PyObject *stack;
    int line;
    uint64_t wall_ticks;
    uint64_t off_cpu_ticks;
    uint64_t gc_ticks;
    uint64_t count;
    uint64_t total_ticks;
} pulse_worst_entry;

typedef struct {
    pulse_worst_entry entries[PULSE_WORST_PLACES];
    int used;
} pulse_worst;

// Enter a poll past its alarm. `stack` may be NULL, and then `coroutine` tells the place. All borrowed. -1 with an
// exception on failure.
int pulse_worst_record(pulse_worst *worst, pulse_state *state, PyObject *group, PyObject *coroutine, PyObject *stack,
                       const pulse_verdict *verdict, uint64_t gc_ticks);

// A new list of dicts, unordered.
PyObject *pulse_worst_list(const pulse_worst *worst);

void pulse_worst_clear(pulse_worst *worst);

#endif
