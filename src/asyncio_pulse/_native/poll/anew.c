// What a forked child forgets: everything that its parent counted. Everything that lives, waits or is configured stays.
#include "poll/anew.h"

#include "model/governor.h"
#include "park/waiting.h"
#include "poll/due.h"
#include "watch/turns.h"

static void
clear_histogram(pulse_histogram *histogram)
{
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        pulse_counter_set(&histogram->counts[i], 0);
    }
}

static void
clear_counters(pulse_governor *governor)
{
    governor->totals = (pulse_totals){0};
    pulse_counter_set(&governor->polls, 0);
    pulse_counter_set(&governor->voluntary_yields, 0);
    pulse_counter_set(&governor->tasks, 0);
    pulse_counter_set(&governor->would_park, 0);
    pulse_counter_set(&governor->special_polls, 0);
    governor->governed_since = pulse_clock_ticks();
}

// If the process was forked during a turn, that turn begins anew as well.
static void
clear_turns(pulse_governor *governor)
{
    pulse_turn_record *record = &governor->turn_record;
    pulse_turns *turns = governor->turns;
    uint64_t now = pulse_clock_ticks();
    pulse_counter_set(&record->turns, 0);
    pulse_counter_set(&record->busy_ticks, 0);
    pulse_counter_set(&record->longest_lag, 0);
    clear_histogram(&record->lag);
    if (pulse_counter_read(&record->watched_since) != 0) {
        pulse_counter_set(&record->watched_since, now);
    }
    if (turns == NULL) {
        return;
    }
    pulse_turns_forget(turns);
    atomic_store(&turns->last_waited, now);
    if (atomic_load(&turns->busy_since) != 0) {
        atomic_store(&turns->busy_since, now);
    }
    uint64_t due = atomic_load(&turns->beat_due);
    if (due != 0 && due < now) {
        atomic_store(&turns->beat_due, now);
    }
}

static void
clear_slow_queue(pulse_pump *pump)
{
    if (pump == NULL) {
        return;
    }
    pulse_counter *counters[] = {&pump->slices, &pump->parked, &pump->admitted, &pump->cancelled, &pump->lifted};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        pulse_counter_set(counters[i], 0);
    }
    // These follow counters that begin anew.
    pump->polls_seen = pump->used_before_turn = 0;
    Py_CLEAR(pump->kept_waiting);
    Py_CLEAR(pump->released);
    for (int waits = 0; waits < PULSE_WAYS_TO_WAIT; waits++) {
        pulse_runqueue_start_anew(pump->queues[waits]);
    }
}

static void
clear_preemption(pulse_preemption *preemption)
{
    pulse_counter_set(&preemption->preemptions, 0);
    pulse_counter_set(&preemption->would_preempt, 0);
    pulse_counter_set(&preemption->gave_up, 0);
    for (unsigned i = 0; i < PULSE_RULES; i++) {
        pulse_counter_set(&preemption->refused[i], 0);
    }
    clear_histogram(&preemption->delay);
    Py_CLEAR(preemption->places);
}

PyObject *
pulse_anew_start(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    clear_counters(governor);
    clear_turns(governor);
    clear_slow_queue(governor->pump);
    clear_preemption(&governor->preemption);
    pulse_due_drop(governor);
    pulse_groups_start_anew(&governor->groups);
    pulse_worst_clear(&governor->worst);
    pulse_worst_clear(&governor->stalls);
    Py_RETURN_NONE;
}
