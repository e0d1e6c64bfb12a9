// Groups: tasks of a common origin share one set of counters and one histogram.
//
// A group is a Python object, so a task that holds one keeps its counters whole even after the table has dropped it. The
// table is bounded: groups with no task alive, the least recently used first, are folded into `(other)`. Needs the GIL.
#ifndef PULSE_GROUP_H
#define PULSE_GROUP_H

#include "base/totals.h"
#include "base/allowance.h"
#include "base/histogram.h"
#include "model/state.h"

typedef struct {
    PyObject_HEAD
    // Written at every poll: wall time and longest poll share a cache line.
    pulse_totals totals;
    pulse_counter max_ticks;
    // Polls of its tasks are not plain: its tier is above Monitor, or it settles how far its tasks may be preempted.
    bool tiered;
    // Its Account; NULL until it first misbehaves.
    PyObject *account;
    // The name as shown. The table finds the group by the key; the two differ where modules have functions of the same
    // name.
    PyObject *name;
    PyObject *key;
    // Of an implicit group: where its first coroutine was defined; or NULL.
    PyObject *file;
    PyObject *module;
    uint64_t last_used;
    pulse_counter tasks;
    pulse_counter alive;
    // What a slice or a long poll of its tasks took on average of late; 0 before the first.
    uint64_t slice_ticks;
    // Not yet reported to the decisions: releases from the slow queue, releases that came later than the breaker allows,
    // and the longest wait.
    uint64_t releases;
    uint64_t late_releases;
    uint64_t longest_wait_ticks;
    uint64_t releases_told_at;
    // How many more of its tasks' first polls were long than short of late, within a bound. A first poll is expected to be as
    // most were.
    int8_t long_firsts;
    // Whether the last slow poll of its tasks whose time off the CPU was looked into was long by its own doing.
    bool is_blocking;
    bool is_explicit;
    // The decisions have seen it.
    bool introduced;
    // Priority of its tasks that have none of their own; PULSE_UNSET for none.
    int8_t priority;
    // The highest tier that it may reach, if given by name; PULSE_UNSET for what holds for all.
    int8_t max_tier;
    // How far its tasks may be preempted, a pulse_preempt_mode; PULSE_UNSET for what holds for all.
    int8_t preempt;
    // What asking its tasks to yield may cost; and what was charged for the last request in vain, ns, 0 after one that was
    // heard.
    pulse_allowance ask_allowance;
    uint64_t asked_in_vain_ns;
    pulse_histogram histogram;
} pulse_group;

typedef struct {
    // key -> Group
    PyObject *named_explicit;
    PyObject *named_implicit;
    pulse_group *other;
    Py_ssize_t max_groups;
    // How many searches for room to skip, because the last one found every group in use.
    Py_ssize_t looks_to_skip;
} pulse_group_table;

extern PyType_Spec pulse_group_spec;

int pulse_groups_init(pulse_group_table *table, pulse_state *state);
void pulse_groups_clear(pulse_group_table *table);

// Find the group with this name, or make it; new reference. `(other)` when the table is full of groups in use. NULL with an
// exception on failure.
pulse_group *pulse_groups_find(pulse_group_table *table, pulse_state *state, PyObject *name, bool is_explicit);

// Add the counters of one group to another.
void pulse_group_fold(pulse_group *into, const pulse_group *from);

// Reset all counters. Live tasks stay counted.
void pulse_groups_start_anew(pulse_group_table *table);

// How many explicit groups have a live task, or had one begin within this many ticks.
Py_ssize_t pulse_groups_active(const pulse_group_table *table, uint64_t within_ticks);

Py_ssize_t pulse_groups_count(const pulse_group_table *table);

#endif
