#include "watch/watchdog.h"

#include "base/allowance.h"
#include "base/diagnosis.h"
#include "base/own_thread.h"
#include "base/thread_clock.h"
#include "model/governed.h"
#include "watch/capture.h"
#include "watch/overdue.h"
#include "watch/spin.h"
#include "watch/stalls.h"
#include "watch/waits.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
    // Two readings of all threads, this far apart, show what kept one of them: six switch intervals of the GIL.
    OBSERVE_US = 30000,
    // Requests for the GIL between these readings. A request that is met within FREE_GIL_US found the GIL free. Measured:
    // below 20 us.
    PROBES = 3,
    FREE_GIL_US = 200,
    // The threads of the process are listed anew after this long.
    LISTED_FOR_MS = 1000,
};

typedef struct pulse_watchdog {
    pulse_state *state;
    uint64_t interval_us;
    // Held by the code that started the thread. Its release ends the thread's sleep.
    PyThread_type_lock stop;
    // Held until the thread has its own thread state, or could not get one.
    PyThread_type_lock begun;
    // Held by the thread while it lives.
    PyThread_type_lock alive;
    bool stopping;
    unsigned long identity;
    uint64_t os_thread;
    // The thread's own thread state, while it does not hold the GIL.
    PyThreadState *saved;
    // Stopped from its own thread: no other thread joins it, so it frees this record itself.
    _Atomic(bool) orphaned;
    pulse_counter wake_ups;
    // Limits what looking at polls may cost.
    pulse_allowance allowance;
    // The GIL's switch interval when the watchdog last had the GIL. It cannot be read without the GIL.
    uint64_t switch_interval_ns;
    pulse_os_snapshot before;
    pulse_os_snapshot after;
    // When the threads in `before` were listed.
    uint64_t listed_ns;
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
now_ns(void)
{
    return pulse_clock_to_ns(pulse_clock_ticks());
}

static void
observe(pulse_os_snapshot *snapshot)
{
    pulse_diagnosis_snapshot(snapshot, now_ns());
}

// Take the second reading with the GIL, for which the program waits, or the first one for a poll that is no stall. There
// may be hundreds of threads, so only the few that run a loop in question are read in full.
static void
observe_at_once(pulse_watchdog *watchdog, pulse_os_snapshot *snapshot, bool (*is_in_question)(pulse_turns *))
{
    pulse_diagnosis_snapshot_runs(snapshot, &watchdog->before, now_ns());
    for (pulse_turns *each = atomic_load(&watchdog->state->turns); each != NULL; each = each->next) {
        pulse_thread *thread = atomic_load(&each->thread);
        if (thread != NULL && is_in_question(each)) {
            pulse_diagnosis_read_again(snapshot, thread->os_thread);
        }
    }
}

static bool
is_busy(pulse_turns *turns)
{
    return pulse_turns_key(turns) != 0;
}

// Take the first reading. Few polls turn out to be stalls, so a list of threads is used again for a while.
static void
observe_before(pulse_watchdog *watchdog, bool stalled)
{
    if (!stalled && now_ns() - watchdog->listed_ns < LISTED_FOR_MS * 1000000ull) {
        observe_at_once(watchdog, &watchdog->before, is_busy);
        return;
    }
    observe(&watchdog->before);
    watchdog->listed_ns = watchdog->before.taken_ns;
}

// Needs the GIL. The poll cannot end meanwhile, but may have ended before.
static void
capture_poll(pulse_state *state, pulse_thread *thread, bool gil_was_kept)
{
    pulse_governed *polled = thread->current;
    if (!pulse_overdue_has_poll(thread)) {
        return;
    }
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    // Note the look even if there is nothing to see, as for a thread that has ended. Otherwise the poll would be due at
    // every look.
    uint64_t now = pulse_clock_ticks();
    pulse_samples_look_at(&thread->samples, started, now);
    // The thread's threshold is the shortest one of the loops that it ran. The loop of this poll may have a longer one.
    if (polled == NULL || pulse_overdue_age(started) <= polled->governor->slow_ticks) {
        return;
    }
    PyObject *stack = pulse_capture_poll(state, thread, gil_was_kept);
    if (stack == NULL && PyErr_Occurred()) {
        pulse_state_contain_error(state);
    }
    else if (stack != NULL && atomic_load(&thread->poll_started) == started) {
        pulse_samples_add(&thread->samples, stack, now);
    }
    Py_XDECREF(stack);
}

static void
capture_polls(pulse_state *state, bool gil_was_kept)
{
    // A collection here would run finalisers of the program on this thread.
    int collects = PyGC_Disable();
    for (pulse_thread *each = atomic_load(&state->threads); each != NULL; each = each->next) {
        capture_poll(state, each, gil_was_kept);
    }
    if (collects) {
        PyGC_Enable();
    }
}

// Take the GIL. Returns how long that took, in ticks.
static uint64_t
take_gil(pulse_watchdog *watchdog)
{
    pulse_stalls_notice(watchdog->state);
    uint64_t asked = pulse_clock_ticks();
    PyEval_RestoreThread(watchdog->saved);
    return pulse_overdue_age(asked);
}

static void
release_gil(pulse_watchdog *watchdog)
{
    watchdog->saved = PyEval_SaveThread();
}

// Whether the thread of an overdue loop may be waiting for the GIL.
static bool
somebody_may_wait_for_gil(pulse_watchdog *watchdog, pulse_evidence evidence)
{
    for (pulse_turns *each = atomic_load(&watchdog->state->turns); each != NULL; each = each->next) {
        pulse_thread *thread = atomic_load(&each->thread);
        if (thread == NULL || !pulse_stalls_is_in_question(each)) {
            continue;
        }
        evidence.thread = thread->os_thread;
        if (pulse_diagnosis_may_wait_for_gil(&watchdog->before, &evidence, now_ns())) {
            return true;
        }
    }
    return false;
}

// Watch the threads for OBSERVE_US and take the GIL, unless the watchdog is to stop. A request for the GIL that takes
// longer than OBSERVE_US ends the watch: the threads are then compared over the time of the request. Returns how many
// requests did not find the GIL free. `*waited` is how long the last request took.
static int
watch_threads(pulse_watchdog *watchdog, const pulse_evidence *evidence, uint64_t *waited)
{
    int kept = 0;
    for (int probe = 1; !watchdog->stopping; probe++) {
        sleep_for(watchdog, OBSERVE_US / PROBES);
        if (watchdog->stopping) {
            break;
        }
        if (probe == PROBES) {
            observe(&watchdog->after);
        }
        else if (!somebody_may_wait_for_gil(watchdog, *evidence)) {
            continue;
        }
        *waited = take_gil(watchdog);
        kept += *waited > pulse_clock_from_ns(FREE_GIL_US * 1000);
        if (probe == PROBES || *waited > pulse_clock_from_ns(OBSERVE_US * 1000)) {
            break;
        }
        release_gil(watchdog);
    }
    return kept;
}

// Something is overdue. Take the GIL and capture everything that is still overdue then.
static void
capture_overdue(pulse_watchdog *watchdog, bool stalled)
{
    pulse_state *state = watchdog->state;
    pulse_evidence evidence = {
        .watchdog = pulse_os_thread_self(),
        .switch_interval_ns = watchdog->switch_interval_ns,
    };
    uint64_t waited = 0, collected = pulse_threads_collected(state);
    int kept = 0;
    observe_before(watchdog, stalled);
    if (stalled) {
        kept = watch_threads(watchdog, &evidence, &waited);
    }
    else if (!watchdog->stopping) {
        waited = take_gil(watchdog);
    }
    if (watchdog->stopping) {
        return;
    }
    bool kept_long = waited > pulse_clock_from_ns(OBSERVE_US * 1000);
    if (kept_long) {
        observe_at_once(watchdog, &watchdog->after, pulse_stalls_is_in_question);
        stalled = true;
    }
    // A single wait may be chance: the GIL changes hands even if no thread keeps it for long.
    evidence.gil_kept = kept_long || kept > 1;
    evidence.switch_interval_ns = watchdog->switch_interval_ns = pulse_switch_interval_ns();
    // The watchdog gets the GIL only between two collections. Code that creates many objects is interrupted by some
    // collections and is still the culprit, unless they took most of the time.
    collected = pulse_clock_to_ns(pulse_threads_collected(state) - collected);
    evidence.collecting = collected > (now_ns() - watchdog->before.taken_ns) / 2;
    if (stalled) {
        pulse_sighting sighting = {
            .before = &watchdog->before,
            .after = &watchdog->after,
            .evidence = evidence,
            .gil_wait_ticks = waited,
            .kept_long = kept_long,
            .kept_last = waited > pulse_clock_from_ns(FREE_GIL_US * 1000),
        };
        pulse_stalls_capture(state, &sighting);
    }
    capture_polls(state, kept_long);
    release_gil(watchdog);
}

// Capture. If that took long, look at no poll for a while: there may be many threads, and many polls in succession.
static void
capture(pulse_watchdog *watchdog, bool stalled)
{
    uint64_t began_ns = pulse_thread_clock_ns();
    capture_overdue(watchdog, stalled);
    // Threads that wait for the GIL meanwhile spend about as much.
    uint64_t spent = 2 * (pulse_thread_clock_ns() - began_ns);
    pulse_allowance_spend(&watchdog->allowance, spent, now_ns(), pulse_thread_clock_process_ns());
}

static void
look(pulse_watchdog *watchdog)
{
    bool poll = false, stalled = false;
    pulse_turns *turns = atomic_load_explicit(&watchdog->state->turns, memory_order_acquire);
    for (; turns != NULL; turns = turns->next) {
        _Atomic(uint64_t) *field = pulse_overdue_field(turns);
        pulse_waits_look(turns, now_ns(), watchdog->switch_interval_ns);
        stalled = stalled || (field != NULL && !pulse_overdue_is_captured(turns, field)) ||
                  pulse_waits_is_overdue(turns) || atomic_load(&turns->blocked_within_ticks) != 0;
        if (field == NULL && pulse_spin_is_seen(turns)) {
            pulse_spin_ask(turns);
        }
    }
    pulse_thread *thread = atomic_load_explicit(&watchdog->state->threads, memory_order_acquire);
    for (; thread != NULL; thread = thread->next) {
        poll = poll || pulse_overdue_has_poll(thread);
    }
    if (stalled ||
        (poll && pulse_allowance_wait(&watchdog->allowance, 0, now_ns(), pulse_thread_clock_process_ns()) == 0)) {
        capture(watchdog, stalled);
    }
}

// Time until the next look. It is shorter if a long turn or a late heartbeat would become overdue before.
static uint64_t
next_look_us(pulse_watchdog *watchdog)
{
    uint64_t next = pulse_clock_from_ns(watchdog->interval_us * 1000);
    for (pulse_turns *each = atomic_load(&watchdog->state->turns); each != NULL; each = each->next) {
        uint64_t limit = atomic_load(&each->stall_after_ticks);
        uint64_t busy = pulse_overdue_age(atomic_load(&each->busy_since)),
                 late = pulse_overdue_age(atomic_load(&each->beat_due)),
                 waiting = pulse_overdue_age(atomic_load(&each->gil_since));
        uint64_t since = busy > late ? busy : late > waiting ? late : waiting;
        // With the default threshold, a shorter one is looked at again in time.
        if (since > limit / 10 && since < limit && limit - since < next) {
            next = limit - since;
        }
        if (pulse_waits_is_new(each) && pulse_clock_from_ns(OBSERVE_US * 1000) < next) {
            next = pulse_clock_from_ns(OBSERVE_US * 1000);
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
    if (watchdog->begun != NULL) {
        PyThread_free_lock(watchdog->begun);
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
    watchdog->os_thread = pulse_os_thread_self();
    // One thread state for the whole life of the thread, created while the starting thread holds the GIL. Before 3.12.9 and
    // 3.13.2, allocating without the GIL crashes if the program stops tracemalloc meanwhile (python/cpython#128679).
    watchdog->saved = PyThreadState_New(PyInterpreterState_Main());
    bool has_state = watchdog->saved != NULL;
    PyThread_release_lock(watchdog->begun);
    if (!has_state) {
        return;
    }
    sleep_for(watchdog, watchdog->interval_us);
    while (!watchdog->stopping) {
        look(watchdog);
        sleep_for(watchdog, next_look_us(watchdog));
    }
    take_gil(watchdog);
    PyThreadState_Clear(watchdog->saved);
    PyThreadState_DeleteCurrent();
    bool is_orphaned = atomic_load(&watchdog->orphaned);
    PyThread_release_lock(watchdog->alive);
    if (is_orphaned) {
        watchdog_free(watchdog);
    }
}

static pulse_watchdog *
watchdog_new(pulse_state *state, uint64_t interval_us)
{
    pulse_watchdog *watchdog = PyMem_RawCalloc(1, sizeof *watchdog);
    if (watchdog == NULL) {
        return NULL;
    }
    watchdog->state = state;
    watchdog->interval_us = interval_us;
    watchdog->switch_interval_ns = pulse_switch_interval_ns();
    PyThread_type_lock *locks[] = {&watchdog->stop, &watchdog->begun, &watchdog->alive};
    for (int i = 0; i < 3; i++) {
        *locks[i] = PyThread_allocate_lock();
        if (*locks[i] == NULL) {
            watchdog_free(watchdog);
            return NULL;
        }
        PyThread_acquire_lock(*locks[i], WAIT_LOCK);
    }
    return watchdog;
}

int
pulse_watchdog_start(pulse_state *state, uint64_t interval_us)
{
    state->watchdog_interval_us = interval_us;
    if (state->watchdog != NULL) {
        return 0;
    }
    // Stalls in a subinterpreter go unseen: a native thread like the watchdog can take the GIL of the main interpreter
    // only.
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    pulse_watchdog *watchdog = watchdog_new(state, interval_us);
    if (watchdog == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (!pulse_own_thread_start(watchdog_main, watchdog)) {
        watchdog_free(watchdog);
        PyErr_SetString(PyExc_RuntimeError, "the watchdog's thread cannot be started");
        return -1;
    }
    // The GIL is held here. It keeps the program from changing the allocators while the thread starts.
    PyThread_acquire_lock(watchdog->begun, WAIT_LOCK);
    if (watchdog->saved == NULL) {
        watchdog_free(watchdog);
        PyErr_NoMemory();
        return -1;
    }
    state->watchdog = watchdog;
    return 0;
}

void
pulse_watchdog_stop(pulse_state *state)
{
    // The end of a running collection will not be reported, because the caller of this function also removes the gc
    // callback.
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
    pulse_own_thread_wait_until_gone(watchdog->os_thread);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(watchdog->alive);
    watchdog_free(watchdog);
}

void
pulse_watchdog_after_fork(pulse_state *state)
{
    // Not freed: the thread, which does not exist in the child, may have been waiting for one of the locks. Destroying such
    // a lock hangs on some systems.
    state->watchdog = NULL;
}

uint64_t
pulse_watchdog_wake_ups(const pulse_state *state)
{
    return state->watchdog == NULL ? 0 : pulse_counter_read(&state->watchdog->wake_ups);
}
