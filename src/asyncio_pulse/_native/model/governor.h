// One governed loop: its numbers, its groups, its worst polls.
//
// Counters have one writer, the thread that runs the loop. Everything else needs the GIL.
#ifndef PULSE_GOVERNOR_H
#define PULSE_GOVERNOR_H

#include "base/totals.h"
#include "base/allowance.h"
#include "base/chaos.h"
#include "base/histogram.h"
#include "bytecode/safe_place.h"
#include "model/group.h"
#include "model/options.h"
#include "model/thread.h"
#include "model/worst.h"

enum {
    // Polls of this governor are no longer measured.
    PULSE_GOVERNOR_DETACHED = 1u << 0,
    // `hooks` is set.
    PULSE_GOVERNOR_HOOKED = 1u << 1,
    // The watchdog was stopped for a fork and has to be started again.
    PULSE_GOVERNOR_WATCHDOG_DUE = 1u << 2,
    // Bad polls are due to be reported to the decisions.
    PULSE_GOVERNOR_DUE = 1u << 3,
    // Switched off: polls are not measured until it is switched on again.
    PULSE_GOVERNOR_OFF = 1u << 4,
    // `chaos` is set.
    PULSE_GOVERNOR_CHAOS = 1u << 5,
    // Something is parked. A coroutine that begins to await it releases it.
    PULSE_GOVERNOR_PARKS = 1u << 6,
    PULSE_GOVERNOR_UNMEASURED = PULSE_GOVERNOR_DETACHED | PULSE_GOVERNOR_OFF,
};

enum {
    PULSE_TIERS = 4,
    PULSE_TIER_YIELD = 2,
    PULSE_MOST_DUE = 64,
};

// A bad poll not yet reported to the decisions. It keeps its coroutine alive only once the coroutine has ended. A coroutine
// suspended in the middle of its code may hold its loop, and is dropped together with its task.
typedef struct {
    PyObject *governed;
    bool is_held;
    PyObject *stack;
    uint64_t ended;
    uint64_t wall;
    uint64_t cpu;
    uint64_t over_budget;
    bool violation;
    bool slow;
    // Others are known to have waited because of it.
    bool waited;
} pulse_due;

// How far tasks may be preempted, and the outcome.
typedef struct {
    // For Yield and above, unless a task or its group says otherwise.
    uint8_t mode;
    bool through_iteration;
    // Tasks without an explicit group may not be preempted, whatever they ask for.
    bool off_without_group;
    // Packages that may be preempted besides the one that opted in: a frozenset, or NULL for all that are not protected.
    PyObject *modules;
    pulse_counter preemptions;
    pulse_counter would_preempt;
    // Refused attempts, by rule; and requests put off after a whole burst of refusals.
    pulse_counter refused[PULSE_RULES];
    pulse_counter gave_up;
    // Time from the deadline to the suspension.
    pulse_histogram delay;
    // {(rule, function, file, line): requests put off there}, or NULL.
    PyObject *places;
} pulse_preemption;

// What a governor keeps of its loop's turns, even when they are no longer watched.
typedef struct {
    pulse_counter turns;
    pulse_counter busy_ticks;
    pulse_counter longest_lag;
    // How long whatever became ready had to wait beyond the latency target.
    pulse_counter late_ticks;
    pulse_counter watched_since;
    // 0 while they are watched.
    pulse_counter watched_until;
    pulse_histogram lag;
} pulse_turn_record;

typedef struct pulse_governor {
    PyObject_HEAD
    // All that the hot path reads, first and together.
    uint32_t flags;
    uint64_t python_thread_id;
    pulse_thread *thread;
    uint64_t cpu_sample_interval_ticks;
    uint64_t alarm_ticks[PULSE_PRIORITIES];
    // All that the hot path writes.
    pulse_counter polls;
    pulse_totals totals;
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
    // Keeps the module alive, and with it the state.
    PyObject *module;
    pulse_state *state;
    pulse_group_table groups;
    pulse_worst worst;
    // Called around each poll, or NULL.
    PyObject *hooks;
    // Called for bad polls and for runs of good ones; NULL if none are attached, or after they failed.
    PyObject *decisions;
    pulse_due due[PULSE_MOST_DUE];
    int due_count;
    // How many of these, from the first on, are known to have made others wait or not.
    int due_judged;
    // What reporting may cost, measured against the CPU time of all bad polls, ns.
    pulse_allowance tell_allowance;
    uint64_t bad_cpu_ns;
    // End of the latest poll since the first of those due, ticks.
    uint64_t busy_until;
    // By tier: the longest poll that counts as good, and how many good polls are reported at once.
    uint64_t good_ticks[PULSE_TIERS];
    uint32_t evaluation_interval[PULSE_TIERS];
    uint64_t idle_ticks;
    bool observes;
    // The highest tier of a task where nothing nearer sets one.
    uint8_t max_tier;
    // NULL if nothing is ever parked.
    struct pulse_pump *pump;
    // How long a turn may last until long polls are put aside; 0 for no limit.
    uint64_t turn_ticks;
    pulse_chaos chaos;
    pulse_counter would_park;
    // Steps that took the slow path. Tests check that ordinary steps do not.
    pulse_counter special_polls;
    pulse_preemption preemption;
    // NULL while the loop's turns are not watched.
    struct pulse_turns *turns;
    pulse_turn_record turn_record;
    pulse_worst stalls;
    uint64_t stall_ticks;
    // The latency target.
    uint64_t target_ticks;
    // Weak; the watchdog asks through it whether the loop runs. NULL while the loop's turns are not watched.
    PyObject *loop_reference;
    // The heartbeat in force; borrowed, and only compared.
    void *heartbeat;
} pulse_governor;

// Make the watchdog look at polls that last longer than this. A shorter threshold of another loop stays in force.
void pulse_governor_look_after(pulse_thread *thread, uint64_t ticks);

// Find the slot of the calling thread, which has begun to run this governor's loop. NULL with an exception on failure.
pulse_thread *pulse_governor_bind_thread(pulse_governor *governor);

// Take over what a call of the decisions returned, NULL if it failed. Decisions that fail are switched off, because they
// would fail again at every poll. Leaves no exception.
void pulse_governor_settle_decisions(pulse_governor *governor, PyObject *result);

PULSE_INLINE pulse_thread *
pulse_governor_thread(pulse_governor *governor)
{
    if (PULSE_LIKELY(governor->python_thread_id == PyThreadState_Get()->id)) {
        return governor->thread;
    }
    return pulse_governor_bind_thread(governor);
}

#endif
