// One governed loop: its numbers, its groups, its worst polls.
//
// Counters have one writer, the thread that runs the loop. Everything else needs the GIL.
#ifndef PULSE_GOVERNOR_H
#define PULSE_GOVERNOR_H

#include "account.h"
#include "group.h"
#include "options.h"
#include "thread.h"
#include "turns.h"
#include "worst.h"

enum {
    // No poll of this governor is measured any more.
    PULSE_GOVERNOR_DETACHED = 1u << 0,
    // `hooks` is set.
    PULSE_GOVERNOR_HOOKED = 1u << 1,
    // The watchdog was stopped for a fork, and is to be started again.
    PULSE_GOVERNOR_WATCHDOG_DUE = 1u << 2,
    // Bad polls are to be told to the decisions.
    PULSE_GOVERNOR_DUE = 1u << 3,
    // Switched off: no poll is measured until it is switched on again.
    PULSE_GOVERNOR_OFF = 1u << 4,
    // Something is parked: who begins to await it lifts that.
    PULSE_GOVERNOR_PARKS = 1u << 5,
    PULSE_GOVERNOR_UNMEASURED = PULSE_GOVERNOR_DETACHED | PULSE_GOVERNOR_OFF,
};

enum {
    PULSE_TIERS = 4,
    PULSE_TIER_YIELD = 2,
    // Polls end without one beginning only as deep as they are nested.
    PULSE_MOST_DUE = 8,
};

// A bad poll that the decisions were not told of yet; owns its references.
typedef struct {
    PyObject *governed;
    PyObject *stack;
    uint64_t ended;
    uint64_t wall;
    uint64_t cpu;
    uint64_t over_budget;
    bool violation;
    bool slow;
} pulse_due;

typedef struct pulse_governor {
    PyObject_HEAD
    // All that the hot path reads, first and together.
    uint32_t flags;
    uint64_t python_thread_id;
    pulse_thread *thread;
    uint64_t cpu_sample_interval_ticks;
    uint64_t alarm_ticks[PULSE_PRIORITIES];
    // And what it writes.
    pulse_counter polls;
    pulse_account account;
    pulse_counter voluntary_yields;

    uint64_t budget_ticks[PULSE_PRIORITIES];
    uint32_t operations[PULSE_PRIORITIES];
    uint64_t slow_ticks;
    pulse_counter tasks;
    pulse_counter alive;
    uint64_t governed_since;
    // 0 while polls are measured.
    uint64_t governed_until;
    int worker_id;
    // Held, for the state.
    PyObject *module;
    pulse_state *state;
    pulse_group_table groups;
    pulse_worst worst;
    // Called round each poll, or NULL.
    PyObject *hooks;
    // Told of bad polls and runs of good ones; NULL where nobody decides.
    PyObject *decisions;
    pulse_due due[PULSE_MOST_DUE];
    int due_count;
    // When the last poll since the first of them ended, ticks.
    uint64_t busy_until;
    // A poll up to this long is good at a tier, and so many are told at once.
    uint64_t good_ticks[PULSE_TIERS];
    uint32_t evaluation_interval[PULSE_TIERS];
    uint64_t idle_ticks;
    bool observes;
    // NULL where nothing is ever parked.
    struct pulse_pump *pump;
    pulse_counter would_park;
    // NULL while the loop's turns are not watched.
    pulse_turns *turns;
    pulse_turn_record turn_record;
    pulse_worst stalls;
    uint64_t stall_ticks;
    // Weak, for the watchdog's question whether the loop runs; NULL while its turns are not watched.
    PyObject *loop_reference;
} pulse_governor;

extern PyType_Spec pulse_governor_spec;

// Find the slot of the calling thread, which has begun to run this governor's loop. NULL with an exception on failure.
pulse_thread *pulse_governor_bind_thread(pulse_governor *governor);

PULSE_INLINE pulse_thread *
pulse_governor_thread(pulse_governor *governor)
{
    if (PULSE_LIKELY(governor->python_thread_id == PyThreadState_Get()->id)) {
        return governor->thread;
    }
    return pulse_governor_bind_thread(governor);
}

#endif
