#include "watchdog.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "capture.h"
#include "diagnosis.h"
#include "governed.h"

enum {
    // Two readings of all threads, this far apart, tell what kept one of them: six periods of the GIL's switch interval.
    OBSERVE_US = 30000,
};

typedef struct pulse_watchdog {
    pulse_state *state;
    uint64_t interval_us;
    // Held by whoever started the thread; letting it go ends the wait.
    PyThread_type_lock stop;
    // Held by the thread while it lives.
    PyThread_type_lock alive;
    bool stopping;
    unsigned long identity;
    // Stopped from itself: nobody waits for it, and it frees what it has.
    _Atomic(bool) orphaned;
    pulse_counter wake_ups;
    pulse_os_snapshot before;
    pulse_os_snapshot after;
} pulse_watchdog;

static void
sleep_for(pulse_watchdog *watchdog, uint64_t us)
{
    if (!watchdog->stopping) {
        PyLockStatus woken = PyThread_acquire_lock_timed(watchdog->stop, (PY_TIMEOUT_T)us, 0);
        watchdog->stopping = woken != PY_LOCK_FAILURE;
        pulse_counter_add(&watchdog->wake_ups, 1);
    }
}

static uint64_t
age(uint64_t since)
{
    uint64_t now = pulse_clock_ticks();
    return since != 0 && now > since ? now - since : 0;
}

static bool
poll_is_overdue(pulse_thread *thread)
{
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    return started != atomic_load_explicit(&thread->sample_poll, memory_order_relaxed) &&
           age(started) > atomic_load_explicit(&thread->sample_after_ticks, memory_order_relaxed);
}

// The field that names the stall of a loop that is overdue, or NULL.
static _Atomic(uint64_t) *
overdue_field(pulse_turns *turns)
{
    uint64_t limit = atomic_load(&turns->stall_after_ticks);
    _Atomic(uint64_t) *fields[] = {&turns->busy_since, &turns->beat_due};
    for (int i = 0; i < 2; i++) {
        if (age(atomic_load(fields[i])) > limit) {
            return fields[i];
        }
    }
    return NULL;
}

static bool
is_captured(pulse_turns *turns, _Atomic(uint64_t) *field)
{
    return atomic_load(field) == atomic_load(&turns->captured);
}

static void
observe(pulse_os_snapshot *snapshot)
{
    pulse_diagnosis_snapshot(snapshot, pulse_clock_to_ns(pulse_clock_ticks()));
}

// Whether the collector runs in the thread of any loop.
static bool
is_collecting(pulse_state *state)
{
    for (pulse_turns *each = atomic_load(&state->turns); each != NULL; each = each->next) {
        pulse_thread *thread = atomic_load(&each->thread);
        if (thread != NULL && atomic_load(&thread->gc_started) != 0) {
            return true;
        }
    }
    return false;
}

// With the GIL.
static void
capture_stall(pulse_watchdog *watchdog, pulse_turns *turns, bool collecting, uint64_t gil_wait_ticks)
{
    _Atomic(uint64_t) *field = overdue_field(turns);
    pulse_governor *governor = turns->governor;
    if (field == NULL || is_captured(turns, field) || governor == NULL || atomic_load(&turns->thread) == NULL) {
        return;
    }
    uint64_t key = atomic_load(field);
    if (!pulse_capture_is_running(governor)) {
        // Asked once: nothing is overdue until the loop runs again.
        atomic_compare_exchange_strong(field, &key, 0);
        return;
    }
    pulse_diagnosis diagnosis =
        pulse_diagnose(&watchdog->before, &watchdog->after, atomic_load(&turns->os_thread), collecting);
    pulse_worst_entry entry;
    if (pulse_capture_stall(governor, &diagnosis, &entry) < 0) {
        pulse_state_contain_error(governor->state);
        return;
    }
    entry.gil_held_ticks = diagnosis.culprit == 0 ? gil_wait_ticks : 0;
    pulse_worst_entry_clear(&turns->pending);
    turns->pending = entry;
    atomic_store(&turns->captured, key);
}

// With the GIL: the poll cannot end while we look; it may have ended before.
static void
capture_poll(pulse_state *state, pulse_thread *thread)
{
    pulse_governed *polled = thread->current;
    // The thread's threshold is the shortest of the loops that it ran; this poll may belong to a more patient one.
    if (!poll_is_overdue(thread) || polled == NULL ||
        age(atomic_load(&thread->poll_started)) <= polled->governor->slow_ticks) {
        return;
    }
    PyObject *stack = pulse_capture_poll(state, thread);
    if (stack != NULL) {
        Py_XSETREF(thread->sample, stack);
        uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
        atomic_store_explicit(&thread->sample_poll, started, memory_order_relaxed);
    }
    else if (PyErr_Occurred()) {
        pulse_state_contain_error(state);
    }
}

// Something is overdue: watch the threads for a moment, then take the GIL and capture all that still is. Whoever keeps the
// GIL from us for longer than that moment is watched meanwhile.
static void
capture(pulse_watchdog *watchdog, bool stalled)
{
    pulse_state *state = watchdog->state;
    bool collecting = is_collecting(state);
    observe(&watchdog->before);
    if (stalled) {
        sleep_for(watchdog, OBSERVE_US);
        observe(&watchdog->after);
        // Code that makes many objects is interrupted by the collector now and then, and still the culprit itself.
        collecting = collecting && is_collecting(state);
    }
    if (watchdog->stopping) {
        return;
    }
    uint64_t asked = pulse_clock_ticks();
    PyGILState_STATE gil = PyGILState_Ensure();
    uint64_t waited = age(asked);
    // A collection here would run finalisers of the program on this thread.
    int collects = PyGC_Disable();
    if (waited > pulse_clock_from_ns(OBSERVE_US * 1000)) {
        observe(&watchdog->after);
        stalled = true;
    }
    for (pulse_turns *each = atomic_load(&state->turns); stalled && each != NULL; each = each->next) {
        capture_stall(watchdog, each, collecting, waited);
    }
    for (pulse_thread *each = atomic_load(&state->threads); each != NULL; each = each->next) {
        capture_poll(state, each);
    }
    if (collects) {
        PyGC_Enable();
    }
    PyGILState_Release(gil);
}

static void
look(pulse_watchdog *watchdog)
{
    bool poll = false, stalled = false;
    pulse_turns *turns = atomic_load_explicit(&watchdog->state->turns, memory_order_acquire);
    for (; turns != NULL; turns = turns->next) {
        _Atomic(uint64_t) *field = overdue_field(turns);
        stalled = stalled || (field != NULL && !is_captured(turns, field));
        if (field == NULL && pulse_turns_is_spinning(turns)) {
            pulse_turns_ask_what_spins(turns);
        }
    }
    pulse_thread *thread = atomic_load_explicit(&watchdog->state->threads, memory_order_acquire);
    for (; thread != NULL; thread = thread->next) {
        poll = poll || poll_is_overdue(thread);
    }
    if (poll || stalled) {
        capture(watchdog, stalled);
    }
}

// Until the next look; sooner when a turn that is already long will be overdue before.
static uint64_t
next_look_us(pulse_watchdog *watchdog)
{
    uint64_t next = pulse_clock_from_ns(watchdog->interval_us * 1000);
    for (pulse_turns *each = atomic_load(&watchdog->state->turns); each != NULL; each = each->next) {
        uint64_t limit = atomic_load(&each->stall_after_ticks);
        uint64_t since = age(atomic_load(&each->busy_since));
        if (since > limit / 5 && since < limit && limit - since < next) {
            next = limit - since;
        }
    }
    return pulse_clock_to_ns(next) / 1000 + 1;
}

static void
watchdog_free(pulse_watchdog *watchdog)
{
    if (watchdog->stop != NULL) {
        PyThread_free_lock(watchdog->stop);
    }
    if (watchdog->alive != NULL) {
        PyThread_free_lock(watchdog->alive);
    }
    PyMem_RawFree(watchdog);
}

static void
watchdog_main(void *argument)
{
    pulse_watchdog *watchdog = argument;
#ifdef __linux__
    prctl(PR_SET_NAME, "pulse-watchdog");
#endif
    watchdog->identity = PyThread_get_thread_ident();
    sleep_for(watchdog, watchdog->interval_us);
    while (!watchdog->stopping) {
        look(watchdog);
        sleep_for(watchdog, next_look_us(watchdog));
    }
    if (atomic_load(&watchdog->orphaned)) {
        PyThread_release_lock(watchdog->alive);
        watchdog_free(watchdog);
    }
    else {
        PyThread_release_lock(watchdog->alive);
    }
}

int
pulse_watchdog_start(pulse_state *state, uint64_t interval_us)
{
    state->watchdog_interval_us = interval_us;
    if (state->watchdog != NULL) {
        return 0;
    }
    // PyGILState_Ensure, which the thread needs, knows the main interpreter only: elsewhere stalls go unseen.
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    pulse_watchdog *watchdog = PyMem_RawCalloc(1, sizeof *watchdog);
    if (watchdog == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    watchdog->state = state;
    watchdog->interval_us = interval_us;
    watchdog->stop = PyThread_allocate_lock();
    watchdog->alive = PyThread_allocate_lock();
    if (watchdog->stop == NULL || watchdog->alive == NULL) {
        watchdog_free(watchdog);
        PyErr_NoMemory();
        return -1;
    }
    PyThread_acquire_lock(watchdog->stop, WAIT_LOCK);
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    if (PyThread_start_new_thread(watchdog_main, watchdog) == PYTHREAD_INVALID_THREAD_ID) {
        PyThread_release_lock(watchdog->stop);
        PyThread_release_lock(watchdog->alive);
        watchdog_free(watchdog);
        PyErr_SetString(PyExc_RuntimeError, "the watchdog's thread cannot be started");
        return -1;
    }
    state->watchdog = watchdog;
    return 0;
}

void
pulse_watchdog_stop(pulse_state *state)
{
    // The end of a collection that is under way will not be told: whoever stops the watchdog takes back the callback.
    for (pulse_thread *each = atomic_load(&state->threads); each != NULL; each = each->next) {
        atomic_store(&each->gc_started, 0);
    }
    pulse_watchdog *watchdog = state->watchdog;
    if (watchdog == NULL) {
        return;
    }
    state->watchdog = NULL;
    bool is_itself = PyThread_get_thread_ident() == watchdog->identity;
    atomic_store(&watchdog->orphaned, is_itself);
    PyThread_release_lock(watchdog->stop);
    if (is_itself) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(watchdog->alive);
    watchdog_free(watchdog);
}

uint64_t
pulse_watchdog_wake_ups(const pulse_state *state)
{
    return state->watchdog == NULL ? 0 : pulse_counter_read(&state->watchdog->wake_ups);
}
