// Groups: tasks of a common origin share one set of counters and one histogram.
//
// A group is a Python object, so a task that holds one keeps its counters whole even after the table let go of it.
// The table is bounded: the groups used least recently, with no task alive, are folded into `(other)`. Needs the GIL.
#ifndef PULSE_GROUP_H
#define PULSE_GROUP_H

#include "base/account.h"
#include "base/allowance.h"
#include "base/histogram.h"
#include "model/state.h"

typedef struct {
    PyObject_HEAD
    // With every poll: wall time and longest poll share a cache line.
    pulse_account account;
    pulse_counter max_ticks;
    // Its tier is above Monitor, or how far its tasks may be preempted is settled: their polls are not plain.
    bool tiered;
    // A Standing, once there is something to say against it; NULL before.
    PyObject *standing;
    // As it is shown. Found in its table by the key: the two differ where modules have functions of one name.
    PyObject *name;
    PyObject *key;
    // Of an implicit one, where its first coroutine was defined; or NULL.
    PyObject *file;
    PyObject *module;
    uint64_t last_used;
    pulse_counter tasks;
    pulse_counter alive;
    // What a slice of one of its tasks takes, on average; 0 before the first.
    uint64_t slice_ticks;
    // Releases from the slow queue that the decisions were not told of yet, those that waited longer than the breaker
    // allows, and the longest wait.
    uint64_t releases;
    uint64_t late_releases;
    uint64_t longest_wait_ticks;
    uint64_t releases_told_at;
    bool is_explicit;
    // The decisions were shown it.
    bool introduced;
    // That of its tasks which have none of their own; PULSE_UNSET for none.
    int8_t priority;
    // The highest tier that was allowed it by name; PULSE_UNSET for what holds for all.
    int8_t max_tier;
    // How far its tasks may be preempted, a pulse_preempt_mode; PULSE_UNSET for what holds for all.
    int8_t preempt;
    // Of what asking its tasks to give way may cost, and what the last request cost that came to nothing, ns; 0 after one
    // that was heard.
    pulse_allowance ask_allowance;
    uint64_t asked_in_vain_ns;
    pulse_histogram histogram;
} pulse_group;

typedef struct {
    // name -> Group
    PyObject *named_explicit;
    PyObject *named_implicit;
    pulse_group *other;
    Py_ssize_t max_groups;
    // Looks for room that are not worth it: the last one found every group in use.
    Py_ssize_t looks_to_skip;
} pulse_group_table;

extern PyType_Spec pulse_group_spec;

int pulse_groups_init(pulse_group_table *table, pulse_state *state);
void pulse_groups_clear(pulse_group_table *table);

// A new reference to the group of that name, made if need be; `(other)` when the table is full of groups in use.
// NULL with an exception on failure.
pulse_group *pulse_groups_find(pulse_group_table *table, pulse_state *state, PyObject *name, bool is_explicit);

// Add what one group counted to another.
void pulse_group_fold(pulse_group *into, const pulse_group *from);

// Count from zero again; the living stay counted.
void pulse_groups_start_anew(pulse_group_table *table);

// How many explicit groups have a task alive or had one begin within so many ticks.
Py_ssize_t pulse_groups_active(const pulse_group_table *table, uint64_t within_ticks);

Py_ssize_t pulse_groups_count(const pulse_group_table *table);

#endif
