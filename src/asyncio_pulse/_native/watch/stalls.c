#include "watch/stalls.h"

#include "model/governed.h"
#include "watch/capture.h"
#include "watch/overdue.h"
#include "watch/waits.h"

static pulse_turns *
first(pulse_state *state)
{
    return atomic_load_explicit(&state->turns, memory_order_acquire);
}

void
pulse_stalls_notice(pulse_state *state)
{
    for (pulse_turns *each = first(state); each != NULL; each = each->next) {
        const pulse_thread *thread = atomic_load(&each->thread);
        atomic_store(&each->noticed_gil_since, pulse_waits_is_overdue(each) ? atomic_load(&each->gil_since) : 0);
        each->noticed_poll = thread == NULL ? 0 : atomic_load(&thread->poll_started);
        atomic_store(&each->noticed_key, pulse_turns_key(each));
    }
}

static bool
is_missed(const pulse_turns *turns)
{
    uint64_t key = atomic_load(&turns->missed_key);
    return key != 0 && key == atomic_load(&turns->noticed_key);
}

bool
pulse_stalls_is_in_question(pulse_turns *turns)
{
    return pulse_overdue_field(turns) != NULL || atomic_load(&turns->noticed_gil_since) != 0 || is_missed(turns) ||
           atomic_load(&turns->blocked_within_ticks) != 0;
}

// A stall as it was when the watchdog got the GIL. Python code that runs later may end the stall, or the watching of its
// loop.
typedef struct {
    pulse_turns *turns;
    // Held.
    pulse_governor *governor;
    _Atomic(uint64_t) *field;
    uint64_t key;
} stall_in_sight;

static bool
is_gone(const stall_in_sight *stall)
{
    return stall->turns->governor != stall->governor || atomic_load(stall->field) != stall->key;
}

// Fill in the class of a stall with all that belongs to it. -1 with an exception on failure.
static int
classify(pulse_worst_entry *entry, const pulse_sighting *sighting, pulse_stall_class stall_class)
{
    entry->stall_class = stall_class;
    if (stall_class != PULSE_STALL_GIL) {
        entry->gil_held_ticks = sighting->gil_wait_ticks;
        return 0;
    }
    uint64_t suspects[PULSE_MOST_SUSPECTS];
    int count = pulse_diagnosis_suspects(sighting->before, sighting->after, &sighting->evidence, suspects);
    return pulse_capture_culprit(suspects, count, entry);
}

// Whether a stack waits until a new thread has begun. What keeps that thread from it is whoever has the GIL.
static bool
starts_thread(PyObject *stack)
{
    for (Py_ssize_t i = 0; stack != NULL && i < PyTuple_GET_SIZE(stack); i++) {
        PyObject *function = PyTuple_GET_ITEM(PyTuple_GET_ITEM(stack, i), 0);
        if (PyUnicode_CompareWithASCIIString(function, "Thread.start") == 0) {
            return true;
        }
    }
    return false;
}

static void
capture_stall(const stall_in_sight *stall, pulse_sighting *sighting)
{
    pulse_turns *turns = stall->turns;
    const pulse_thread *thread = atomic_load(&turns->thread);
    uint64_t poll = atomic_load(&thread->poll_started);
    // If the innermost poll has changed since the watchdog asked for the GIL, others ran since then.
    bool is_late = sighting->kept_long && atomic_load(&turns->noticed_key) == stall->key && turns->noticed_poll != poll;
    sighting->evidence.thread = thread->os_thread;
    pulse_stall_class stall_class = pulse_diagnose(sighting->before, sighting->after, &sighting->evidence);
    pulse_worst_entry entry = {0};
    int result = is_late ? pulse_capture_nothing(&entry)
                         : pulse_capture_stall(stall->governor, stall_class, sighting->kept_long, &entry);
    if (entry.stall_class == PULSE_STALL_BLOCKED && sighting->kept_last && starts_thread(entry.stack)) {
        entry.stall_class = PULSE_STALL_GIL;
    }
    if (result < 0 || classify(&entry, sighting, is_late ? stall_class : entry.stall_class) < 0) {
        pulse_worst_entry_clear(&entry);
        pulse_state_contain_error(stall->governor->state);
        return;
    }
    if (is_gone(stall)) {
        pulse_worst_entry_clear(&entry);
        return;
    }
    pulse_worst_entry_clear(&turns->pending);
    turns->pending = entry;
    turns->pending_poll = is_late ? 0 : poll;
    bool is_read = pulse_diagnosis_reading(sighting->after, thread->os_thread, &turns->pending_thread);
    turns->pending_seen_ns = is_read ? sighting->after->taken_ns : 0;
    turns->is_vague = is_late;
    atomic_store(&turns->captured, stall->key);
}

// The program may be blocked for good, so this is told while it lasts.
static void
tell_blocked(pulse_state *state)
{
    PyObject *listener = Py_XNewRef(state->on_blocked);
    PyObject *done = listener == NULL ? NULL : PyObject_CallNoArgs(listener);
    if (listener != NULL && done == NULL) {
        pulse_state_contain_error(state);
    }
    Py_XDECREF(done);
    Py_XDECREF(listener);
}

static void
capture_if_stalled(pulse_turns *turns, pulse_sighting *sighting)
{
    _Atomic(uint64_t) *field = pulse_overdue_field(turns);
    if (field == NULL || pulse_overdue_is_captured(turns, field) || turns->governor == NULL ||
        atomic_load(&turns->thread) == NULL) {
        return;
    }
    stall_in_sight stall = {turns, turns->governor, field, atomic_load(field)};
    Py_INCREF((PyObject *)stall.governor);
    bool runs = pulse_capture_is_running(stall.governor);
    if (runs && !is_gone(&stall)) {
        // Not earlier: the program may switch the collector on or off while the watchdog asks its loop.
        int collects = PyGC_Disable();
        capture_stall(&stall, sighting);
        if (collects) {
            PyGC_Enable();
        }
        if (!is_gone(&stall) && turns->pending.stall_class == PULSE_STALL_BLOCKED) {
            tell_blocked(stall.governor->state);
        }
    }
    else if (!runs && !is_gone(&stall)) {
        // Ask only once: nothing is overdue until the loop runs again.
        atomic_compare_exchange_strong(field, &stall.key, 0);
    }
    Py_DECREF((PyObject *)stall.governor);
}

// Whether the two readings are mostly of the time of a missed stall. The rest of the time says nothing of it.
static bool
is_seen_well(const pulse_sighting *sighting, uint64_t stall_ended)
{
    uint64_t began_ns = sighting->before->taken_ns, window_ns = pulse_less(sighting->after->taken_ns, began_ns);
    return pulse_less(pulse_clock_to_ns(stall_ended), began_ns) * 2 >= window_ns;
}

// Leave a stall to the loop's thread to report. Takes over the entry.
static void
leave_to_loop(pulse_turns *turns, pulse_worst_entry *entry, uint64_t since)
{
    pulse_worst_entry_clear(&turns->late);
    turns->late = *entry;
    turns->late_since = since;
    *entry = (pulse_worst_entry){0};
    atomic_store(&turns->asked, true);
}

// A stall ended before the watchdog had the GIL. The loop's thread noted its length, and the poll that took most of it.
static void
capture_missed(pulse_turns *turns, pulse_sighting *sighting)
{
    pulse_governor *governor = turns->governor;
    const pulse_thread *thread = atomic_load(&turns->thread);
    pulse_worst_entry entry = turns->missed;
    uint64_t key = atomic_exchange(&turns->missed_key, 0);
    bool is_seen = governor != NULL && thread != NULL && is_seen_well(sighting, key + entry.wall_ticks);
    turns->missed = (pulse_worst_entry){0};
    if (!is_seen) {
        pulse_worst_entry_clear(&entry);
        return;
    }
    Py_INCREF((PyObject *)governor);
    sighting->evidence.thread = thread->os_thread;
    pulse_stall_class stall_class = pulse_diagnose(sighting->before, sighting->after, &sighting->evidence);
    if ((entry.function == NULL && pulse_capture_nothing(&entry) < 0) || classify(&entry, sighting, stall_class) < 0) {
        pulse_state_contain_error(governor->state);
    }
    else if (turns->governor == governor) {
        leave_to_loop(turns, &entry, 0);
    }
    pulse_worst_entry_clear(&entry);
    Py_DECREF((PyObject *)governor);
}

// The loop waits for the GIL in its selector, or did so until a moment ago.
static void
capture_wait(pulse_turns *turns, pulse_sighting *sighting)
{
    pulse_governor *governor = turns->governor;
    const pulse_thread *thread = atomic_load(&turns->thread);
    uint64_t since = atomic_exchange(&turns->noticed_gil_since, 0);
    if (governor == NULL || thread == NULL) {
        return;
    }
    sighting->evidence.thread = thread->os_thread;
    if (pulse_diagnose(sighting->before, sighting->after, &sighting->evidence) != PULSE_STALL_GIL) {
        return;
    }
    Py_INCREF((PyObject *)governor);
    turns->look.told = turns->look.wait;
    pulse_worst_entry entry = {0};
    if (pulse_capture_nothing(&entry) < 0 || classify(&entry, sighting, PULSE_STALL_GIL) < 0) {
        pulse_state_contain_error(governor->state);
    }
    else if (turns->governor == governor) {
        leave_to_loop(turns, &entry, since);
    }
    pulse_worst_entry_clear(&entry);
    Py_DECREF((PyObject *)governor);
}

void
pulse_stalls_note_late_wait(pulse_turns *turns, uint64_t wait, uint64_t due)
{
    uint64_t late = pulse_overdue_age(due);
    pulse_turns_note_late_wait(turns, late);
    // What the watchdog has noticed, or found, it reports itself, with the thread that had the GIL.
    bool is_reported = atomic_load(&turns->noticed_gil_since) != 0 || turns->late.function != NULL;
    if (late <= atomic_load(&turns->stall_after_ticks) || atomic_load(&turns->gil_since) < wait || is_reported) {
        return;
    }
    pulse_worst_entry entry = {.wall_ticks = late};
    if (pulse_capture_nothing(&entry) < 0 || pulse_capture_culprit(NULL, 0, &entry) < 0) {
        pulse_state_contain_error(turns->governor->state);
    }
    else {
        entry.stall_class = PULSE_STALL_GIL;
        leave_to_loop(turns, &entry, 0);
    }
    pulse_worst_entry_clear(&entry);
}

// The loop was blocked for most of the time in short turns. See where it is blocked now, or look again later.
static void
capture_blocking(pulse_turns *turns, pulse_sighting *sighting)
{
    pulse_governor *governor = turns->governor;
    const pulse_thread *thread = atomic_load(&turns->thread);
    if (governor == NULL || thread == NULL || (thread->current == NULL && pulse_turns_key(turns) == 0)) {
        return;
    }
    sighting->evidence.thread = thread->os_thread;
    if (pulse_diagnose(sighting->before, sighting->after, &sighting->evidence) != PULSE_STALL_BLOCKED) {
        return;
    }
    Py_INCREF((PyObject *)governor);
    pulse_worst_entry entry = {0};
    if (pulse_capture_stall(governor, PULSE_STALL_BLOCKED, false, &entry) < 0) {
        pulse_state_contain_error(governor->state);
    }
    // Without a file it is the loop itself, which waits in a selector that cannot be seen.
    else if (turns->governor == governor && entry.stall_class == PULSE_STALL_BLOCKED &&
             PyUnicode_GET_LENGTH(entry.filename) > 0) {
        entry.wall_ticks = turns->blocked_ticks;
        entry.within_ticks = atomic_exchange(&turns->blocked_within_ticks, 0);
        leave_to_loop(turns, &entry, 0);
    }
    pulse_worst_entry_clear(&entry);
    Py_DECREF((PyObject *)governor);
}

void
pulse_stalls_capture(pulse_state *state, pulse_sighting *sighting)
{
    for (pulse_turns *each = first(state); each != NULL; each = each->next) {
        if (is_missed(each)) {
            capture_missed(each, sighting);
        }
        if (atomic_load(&each->noticed_gil_since) != 0) {
            capture_wait(each, sighting);
        }
        if (atomic_load(&each->blocked_within_ticks) != 0 && pulse_overdue_field(each) == NULL) {
            capture_blocking(each, sighting);
        }
        capture_if_stalled(each, sighting);
    }
}
