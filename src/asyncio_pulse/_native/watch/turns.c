#include "watch/turns.h"

#include "model/governor.h"

static pulse_turns *
first(pulse_state *state)
{
    return atomic_load_explicit(&state->turns, memory_order_acquire);
}

void
pulse_turns_forget(pulse_turns *turns)
{
    atomic_store(&turns->captured, 0);
    atomic_store(&turns->noticed_key, 0);
    atomic_store(&turns->asked, false);
    atomic_store(&turns->gil_since, 0);
    atomic_store(&turns->blocked_within_ticks, 0);
    turns->longest_key = turns->late_since = turns->late_by_polls = 0;
    atomic_store(&turns->missed_key, 0);
    pulse_counter_set(&turns->busy_ticks, 0);
    pulse_counter_set(&turns->stalled_ticks, 0);
    turns->is_vague = false;
    pulse_worst_entry *entries[] = {&turns->pending, &turns->longest, &turns->missed, &turns->late};
    for (int i = 0; i < 4; i++) {
        pulse_worst_entry_clear(entries[i]);
    }
}

static void
give_to(pulse_turns *turns, pulse_governor *governor)
{
    atomic_store(&turns->busy_since, 0);
    atomic_store(&turns->beat_due, 0);
    pulse_turns_forget(turns);
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

uint64_t
pulse_turns_key(pulse_turns *turns)
{
    uint64_t busy_since = atomic_load_explicit(&turns->busy_since, memory_order_relaxed);
    return busy_since != 0 ? busy_since : atomic_load_explicit(&turns->beat_due, memory_order_relaxed);
}

// What became ready in the first part of a long turn waits beyond the target.
static PULSE_NOINLINE void
note_late(pulse_turns *turns, uint64_t lag_ticks, uint64_t sampled_ticks)
{
    uint64_t beyond = lag_ticks - turns->governor->target_ticks;
    // A late sample stands for at least the time since the one before. Long polls of this time were noted already.
    uint64_t late = beyond > sampled_ticks ? beyond : sampled_ticks;
    pulse_counter_add(&turns->governor->turn_record.late_ticks, pulse_less(late, turns->late_by_polls));
}

// A poll alone took longer than the target. Noted only where turns are not seen.
static void
note_late_by_poll(pulse_turns *turns, uint64_t ticks)
{
    uint64_t target = turns->governor->target_ticks;
    if (ticks > target && atomic_load_explicit(&turns->busy_since, memory_order_relaxed) == 0) {
        turns->late_by_polls += ticks - target;
        pulse_counter_add(&turns->governor->turn_record.late_ticks, ticks - target);
    }
}

void
pulse_turns_note_poll(pulse_turns *turns, const pulse_worst_entry *place, uint64_t ticks, uint64_t ended)
{
    note_late_by_poll(turns, ticks);
    uint64_t key = pulse_turns_key(turns), within = ended > key ? ended - key : 0;
    // A heartbeat may be due in the middle of the poll.
    within = within < ticks ? within : ticks;
    if (key == 0 || within < atomic_load_explicit(&turns->stall_after_ticks, memory_order_relaxed) / 2 ||
        (turns->longest_key == key && turns->longest_ticks >= within)) {
        return;
    }
    pulse_worst_entry_clear(&turns->longest);
    turns->longest = pulse_worst_copy(place);
    turns->longest_ticks = within;
    turns->longest_key = key;
}

static void
drop_place(pulse_worst_entry *entry)
{
    pulse_worst_entry gone = {.function = entry->function, .filename = entry->filename, .stack = entry->stack};
    entry->function = entry->filename = entry->stack = NULL;
    pulse_worst_entry_clear(&gone);
}

// Whether the loop's thread blocked for most of the time since the stall was captured.
static bool
has_blocked_since(const pulse_turns *turns)
{
    pulse_os_thread now;
    return turns->pending_seen_ns != 0 && pulse_os_thread_read(turns->pending_thread.thread, &now) &&
           pulse_diagnosis_was_blocked(&turns->pending_thread, &now,
                                       pulse_less(pulse_clock_to_ns(pulse_clock_ticks()), turns->pending_seen_ns),
                                       pulse_switch_interval_ns());
}

// The class of a stall that was its longest poll, which was off the CPU for so long. The watchdog saw only the poll's
// beginning. The other classes are about more than the poll.
static pulse_stall_class
class_of_poll(const pulse_turns *turns, const pulse_worst_entry *entry, uint64_t off_cpu_ticks)
{
    pulse_stall_class seen = entry->stall_class;
    if (seen != PULSE_STALL_ON_CPU && seen != PULSE_STALL_BLOCKED && seen != PULSE_STALL_IMPORTING) {
        return seen;
    }
    if (entry->stack != NULL && pulse_samples_is_importing(entry->stack)) {
        return PULSE_STALL_IMPORTING;
    }
    bool was_off = off_cpu_ticks * 2 > turns->longest_ticks;
    return was_off && (seen == PULSE_STALL_BLOCKED || has_blocked_since(turns)) ? PULSE_STALL_BLOCKED
                                                                                : PULSE_STALL_ON_CPU;
}

// Whether one poll took most of a stall of `ticks`. If so, the stall is that poll's, whatever ran when the watchdog got the
// GIL.
static bool
give_to_longest_poll(pulse_turns *turns, pulse_worst_entry *entry, uint64_t key, uint64_t ticks)
{
    if (turns->longest_key != key || turns->longest_ticks * 2 <= ticks || turns->longest.function == NULL) {
        return false;
    }
    pulse_worst_entry place = pulse_worst_copy(&turns->longest);
    drop_place(entry);
    Py_XSETREF(entry->group, place.group);
    Py_XSETREF(entry->task, place.task);
    entry->function = place.function;
    entry->filename = place.filename;
    entry->line = place.line;
    entry->stack = place.stack;
    entry->stall_class = class_of_poll(turns, entry, place.off_cpu_ticks);
    return true;
}

// The place of a stall that is over. A poll that goes on, and will be long, is named by what took most of it so far.
static void
settle_place(pulse_turns *turns, pulse_worst_entry *entry, uint64_t key, uint64_t ticks)
{
    pulse_thread *thread = atomic_load(&turns->thread);
    if (give_to_longest_poll(turns, entry, key, ticks) || thread == NULL || turns->pending_poll == 0) {
        return;
    }
    PyObject *stack = pulse_samples_most(&thread->samples, turns->pending_poll);
    if (stack != NULL) {
        drop_place(entry);
        pulse_worst_place(entry, stack);
    }
}

// Take the pending stall, which lasted `ticks`.
static pulse_worst_entry
take_pending(pulse_turns *turns, uint64_t ticks)
{
    settle_place(turns, &turns->pending, atomic_load(&turns->captured), ticks);
    pulse_worst_entry entry = turns->pending;
    turns->pending = (pulse_worst_entry){0};
    entry.wall_ticks = entry.total_ticks = ticks;
    entry.count = 1;
    atomic_store(&turns->captured, 0);
    return entry;
}

// A stall ends that the watchdog has noticed, but for which it does not have the GIL yet.
static void
keep_missed(pulse_turns *turns, uint64_t key, uint64_t ticks)
{
    pulse_worst_entry_clear(&turns->missed);
    atomic_store(&turns->missed_key, key);
    give_to_longest_poll(turns, &turns->missed, key, ticks);
    turns->missed.wall_ticks = ticks;
}

void
pulse_turns_tell_late(pulse_turns *turns, uint64_t ended)
{
    if (turns->late.function == NULL) {
        return;
    }
    pulse_worst_entry entry = turns->late;
    turns->late = (pulse_worst_entry){0};
    if (turns->late_since != 0) {
        entry.wall_ticks = ended > turns->late_since ? ended - turns->late_since : 0;
        if (entry.wall_ticks <= atomic_load(&turns->stall_after_ticks)) {
            pulse_worst_entry_clear(&entry);
            return;
        }
    }
    pulse_turns_enter_stall(turns->governor, &entry);
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
    if (entry.function != NULL) {
        pulse_turns_enter_stall(turns->governor, &entry);
    }
}

// A turn was longer than the threshold.
static PULSE_NOINLINE void
note_stall(pulse_turns *turns, uint64_t key, uint64_t ticks)
{
    // One long turn is a stall. Spinning is many short turns.
    atomic_store(&turns->last_waited, pulse_clock_ticks());
    pulse_counter_add(&turns->stalled_ticks, ticks);
    bool is_captured = atomic_load_explicit(&turns->captured, memory_order_relaxed) == key;
    if (!is_captured && atomic_load(&turns->noticed_key) == key) {
        keep_missed(turns, key, ticks);
    }
}

static void
note_lag(pulse_turn_record *record, uint64_t lag_ticks)
{
    pulse_histogram_record(&record->lag, lag_ticks >> pulse_the_clock.histogram_shift);
    if (lag_ticks > pulse_counter_read(&record->longest_lag)) {
        pulse_counter_set(&record->longest_lag, lag_ticks);
    }
}

void
pulse_turns_note_late_wait(pulse_turns *turns, uint64_t late_ticks)
{
    note_lag(&turns->governor->turn_record, late_ticks);
    note_late(turns, late_ticks, 0);
}

void
pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks, uint64_t sampled_ticks)
{
    pulse_turn_record *record = &turns->governor->turn_record;
    pulse_counter_add(&record->turns, 1);
    if (PULSE_UNLIKELY(turns->governor->due_count > 0)) {
        // The first poll of the turn finds out whether they may be reported now.
        turns->governor->flags |= PULSE_GOVERNOR_DUE;
    }
    note_lag(record, lag_ticks);
    if (PULSE_UNLIKELY(lag_ticks > turns->governor->target_ticks)) {
        note_late(turns, lag_ticks, sampled_ticks);
    }
    turns->late_by_polls = 0;
    if (PULSE_UNLIKELY(lag_ticks > atomic_load_explicit(&turns->stall_after_ticks, memory_order_relaxed))) {
        note_stall(turns, key, lag_ticks);
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
        if (entry.function != NULL) {
            // Not reported to the decisions, because locks are held.
            pulse_worst_enter(&turns->governor->stalls, &entry);
        }
    }
    if (turns->late.function != NULL && turns->late_since == 0) {
        pulse_worst_enter(&turns->governor->stalls, &turns->late);
    }
    pulse_counter_add(&turns->governor->turn_record.busy_ticks, pulse_counter_read(&turns->busy_ticks));
    pulse_turns_forget(turns);
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
        pulse_turns_forget(turns);
        PyMem_RawFree(turns);
        turns = next;
    }
}
