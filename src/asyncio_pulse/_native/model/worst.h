// The longest polls, or stalls, of a governor: the longest one at each place, for a bounded number of places.
//
// A place is a function of a group: the innermost function in which the watchdog saw the poll, else the coroutine's own.
// Stalls of different classes are different places. The number of places per group is small, so that a group that spreads
// its time over many functions hides no other group. Needs the GIL. Runs no Python code, because a user's signal handler
// must not run at the end of a poll.
#ifndef PULSE_WORST_H
#define PULSE_WORST_H

#include "base/totals.h"
#include "base/diagnosis.h"
#include "model/state.h"

enum {
    PULSE_WORST_PLACES = 64,
    PULSE_WORST_PLACES_OF_GROUP = 8,
};

typedef struct {
    PyObject *group;
    PyObject *task;
    PyObject *function;
    PyObject *filename;
    // Tuple of (function, filename, line), innermost first; NULL if no poll at this place was seen running.
    PyObject *stack;
    // Name of the thread that held the GIL, or NULL.
    PyObject *culprit;
    int line;
    pulse_stall_class stall_class;
    uint64_t wall_ticks;
    uint64_t off_cpu_ticks;
    uint64_t gc_ticks;
    // How long the watchdog waited for the GIL before it could look.
    uint64_t gil_held_ticks;
    // For many short calls together, the time in which they blocked for `wall_ticks`; 0 for one stall.
    uint64_t within_ticks;
    uint64_t count;
    uint64_t total_ticks;
    // What is left of its total after the time of polls that found no room. A place gives way to a poll that lasted at
    // least as long as its credit. So a place with much time in many short polls comes in sooner or later. Source: Misra
    // and Gries, "Finding repeated elements", 1982.
    uint64_t credit_ticks;
} pulse_worst_entry;

typedef struct {
    pulse_worst_entry entries[PULSE_WORST_PLACES];
    int used;
} pulse_worst;

// Fill in group, task and place of a poll. If `stack` is NULL, `coroutine` gives the place. All arguments are borrowed. -1
// with an exception on failure.
int pulse_worst_describe(pulse_worst_entry *entry, pulse_state *state, PyObject *group, PyObject *coroutine,
                         PyObject *stack);

// Enter a poll past its alarm; steals the references of `fresh`.
void pulse_worst_enter_poll(pulse_worst *worst, pulse_worst_entry *fresh, const pulse_verdict *verdict,
                            uint64_t gc_ticks);

// Name of a task, "" for None or NULL; steals the reference. A new reference, or NULL when out of memory.
PyObject *pulse_worst_task_name(pulse_state *state, PyObject *task);

// Fill in the place of an entry from a stack.
void pulse_worst_place(pulse_worst_entry *entry, PyObject *stack);

// Enter a complete entry; steals its references.
void pulse_worst_enter(pulse_worst *worst, pulse_worst_entry *fresh);

void pulse_worst_entry_clear(pulse_worst_entry *entry);

// A copy with references of its own. It stays valid if the entry is replaced while Python code runs. The caller clears it.
pulse_worst_entry pulse_worst_copy(const pulse_worst_entry *entry);

// A stall as a new dict.
PyObject *pulse_worst_stall_to_dict(const pulse_worst_entry *entry);

// New lists of dicts, unordered: polls, stalls.
PyObject *pulse_worst_polls(const pulse_worst *worst);
PyObject *pulse_worst_stalls(const pulse_worst *worst);

void pulse_worst_clear(pulse_worst *worst);

#endif
