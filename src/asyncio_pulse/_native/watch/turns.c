#include "watch/turns.h"

#include "model/governor.h"

static pulse_turns *
first(pulse_state *state)
{
    return atomic_load_explicit(&state->turns, memory_order_acquire);
}

static void
give_to(pulse_turns *turns, pulse_governor *governor)
{
    atomic_store(&turns->busy_since, 0);
    atomic_store(&turns->beat_due, 0);
    atomic_store(&turns->captured, 0);
    atomic_store(&turns->asked, false);
    turns->governor = governor;
    atomic_store(&turns->thread, NULL);
    uint64_t now = pulse_clock_ticks();
    governor->turn_record = (pulse_turn_record){0};
    pulse_counter_set(&governor->turn_record.watched_since, now);
    atomic_store(&turns->last_waited, now);
}

pulse_turns *
pulse_turns_new(pulse_state *state, pulse_governor *governor)
{
    for (pulse_turns *each = first(state); each != NULL; each = each->next) {
        if (each->governor == NULL) {
            give_to(each, governor);
            return each;
        }
    }
    pulse_turns *turns = PyMem_RawCalloc(1, sizeof *turns);
    if (turns == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    atomic_store(&turns->stall_after_ticks, UINT64_MAX);
    give_to(turns, governor);
    turns->next = first(state);
    atomic_store_explicit(&state->turns, turns, memory_order_release);
    return turns;
}

void
pulse_turns_bind_thread(pulse_turns *turns)
{
    pulse_thread *thread = pulse_governor_thread(turns->governor);
    if (thread == NULL) {
        pulse_state_contain_error(turns->governor->state);
    }
    else if (PULSE_UNLIKELY(thread != atomic_load_explicit(&turns->thread, memory_order_relaxed))) {
        atomic_store(&turns->thread, thread);
    }
}

// If the stall was one long poll, its place is the one that took most of that poll.
static void
settle_place(pulse_turns *turns)
{
    pulse_thread *thread = atomic_load(&turns->thread);
    PyObject *stack = NULL;
    if (thread != NULL && turns->pending_poll != 0) {
        stack = pulse_samples_most(&thread->samples, turns->pending_poll);
    }
    if (stack != NULL) {
        Py_CLEAR(turns->pending.function);
        Py_CLEAR(turns->pending.filename);
        Py_CLEAR(turns->pending.stack);
        pulse_worst_place(&turns->pending, stack);
    }
}

// Take the pending stall, which lasted `ticks`.
static pulse_worst_entry
take_pending(pulse_turns *turns, uint64_t ticks)
{
    settle_place(turns);
    pulse_worst_entry entry = turns->pending;
    turns->pending = (pulse_worst_entry){0};
    entry.wall_ticks = entry.total_ticks = ticks;
    entry.count = 1;
    atomic_store(&turns->captured, 0);
    return entry;
}

void
pulse_turns_enter_stall(pulse_governor *governor, pulse_worst_entry *entry)
{
    Py_INCREF((PyObject *)governor);
    entry->total_ticks = entry->wall_ticks;
    entry->count = 1;
    PyObject *decisions = Py_XNewRef(governor->decisions);
    PyObject *stall = decisions == NULL ? NULL : pulse_worst_stall_to_dict(entry);
    pulse_worst_enter(&governor->stalls, entry);
    if (stall != NULL) {
        pulse_state_settle(governor->state, PyObject_CallMethod(decisions, "on_stall", "O", stall));
    }
    else if (decisions != NULL) {
        pulse_state_contain_error(governor->state);
    }
    Py_XDECREF(stall);
    Py_XDECREF(decisions);
    Py_DECREF(governor);
}

static PULSE_NOINLINE void
finish_stall(pulse_turns *turns, uint64_t ticks)
{
    pulse_worst_entry entry = take_pending(turns, ticks);
    if (entry.stack != NULL) {
        pulse_turns_enter_stall(turns->governor, &entry);
    }
}

void
pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks)
{
    pulse_turn_record *record = &turns->governor->turn_record;
    pulse_counter_add(&record->turns, 1);
    if (PULSE_UNLIKELY(turns->governor->due_count > 0)) {
        // The first poll of the turn finds out whether they may be reported now.
        turns->governor->flags |= PULSE_GOVERNOR_DUE;
    }
    pulse_histogram_record(&record->lag, lag_ticks >> pulse_the_clock.histogram_shift);
    if (lag_ticks > pulse_counter_read(&record->longest_lag)) {
        pulse_counter_set(&record->longest_lag, lag_ticks);
    }
    if (PULSE_UNLIKELY(lag_ticks > atomic_load_explicit(&turns->stall_after_ticks, memory_order_relaxed))) {
        // One long turn is a stall. Spinning is many short turns.
        atomic_store(&turns->last_waited, pulse_clock_ticks());
    }
    if (PULSE_UNLIKELY(atomic_load_explicit(&turns->captured, memory_order_relaxed) == key)) {
        finish_stall(turns, lag_ticks);
    }
}

void
pulse_turns_release(pulse_turns *turns)
{
    atomic_store(&turns->stall_after_ticks, UINT64_MAX);
    uint64_t captured = atomic_load(&turns->captured);
    if (captured != 0) {
        pulse_worst_entry entry = take_pending(turns, pulse_clock_ticks() - captured);
        if (entry.stack != NULL) {
            // Not reported to the decisions, because locks are held.
            pulse_worst_enter(&turns->governor->stalls, &entry);
        }
    }
    pulse_counter_set(&turns->governor->turn_record.watched_until, pulse_clock_ticks());
    turns->governor = NULL;
    atomic_store(&turns->thread, NULL);
}

void
pulse_turns_stop_watching(pulse_governor *governor)
{
    pulse_turns *turns = governor->turns;
    governor->turns = NULL;
    if (turns != NULL) {
        pulse_turns_release(turns);
    }
    Py_CLEAR(governor->loop_reference);
}

void
pulse_turns_free_all(pulse_state *state)
{
    pulse_turns *turns = first(state);
    atomic_store(&state->turns, NULL);
    while (turns != NULL) {
        pulse_turns *next = turns->next;
        pulse_worst_entry_clear(&turns->pending);
        PyMem_RawFree(turns);
        turns = next;
    }
}
