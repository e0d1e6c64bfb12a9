#include "preempt/signal_thread.h"

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/os_thread.h"
#include "base/own_thread.h"

enum {
    // While no poll has a deadline, the thread looks LINGERS times at this interval before it sleeps for good. Waking it costs
    // a poll more than all that the thread itself does, and servers are seldom idle for longer.
    LINGER_US = 1000,
    LINGERS = 5,
    // After a request it looks again this soon: the interrupted code may ask for another one.
    ASKED_US = 500,
    // A request that was not heard for this long is repeated, because no handler can be called at the recursion limit. The
    // interval then doubles each time, because during a long call of C code all requests would only wait.
    PATIENCE_US = 10000,
    // Between two looks at the thread's CPU time.
    SHORTEST_LOOK_NS = 4000000,
    // The least that Linux takes as the slice of a thread.
    SLICE_NS = 100000,
};

typedef struct {
    // Held by the code that started the thread. Its release ends a wait.
    PyThread_type_lock wake;
    // Held by the thread while it lives.
    PyThread_type_lock alive;
    _Atomic(bool) stopping;
    pulse_counter wake_ups;
    // The last step that it saw.
    uint64_t step;
    // When it looked at the thread's CPU time, 0 for never, and what that was.
    uint64_t looked_at;
    uint64_t run_ns;
    // Whether it had computed at that look.
    bool computed;
    uint64_t os_thread;
    int signal_number;
#ifndef _WIN32
    pthread_t target;
#endif
} preempt_watchdog;

static preempt_watchdog *the_watchdog;

static void
request(preempt_watchdog *watchdog)
{
#ifndef _WIN32
    // Directed at the thread: PyErr_SetInterruptEx from here would not reach its evaluation loop before 3.13.
    pthread_kill(watchdog->target, watchdog->signal_number);
#else
    (void)watchdog;
#endif
}

// Sleep until `until`, or for good if that is UINT64_MAX. Do not sleep if a poll has an earlier deadline that was not asked for
// yet. A poll sets its aim before it reads `sleeps_until`, and this thread sets `sleeps_until` before it reads the aim, so
// one of them sees the other.
static void
sleep_until(preempt_watchdog *watchdog, uint64_t until, uint64_t asked)
{
    atomic_store(&pulse_the_aim.sleeps_until, until);
    uint64_t deadline = atomic_load(&pulse_the_aim.deadline), now = pulse_clock_ticks();
    bool is_early = deadline != 0 && deadline != asked && deadline < until;
    if (!is_early && now < until && !atomic_load(&watchdog->stopping)) {
        PY_TIMEOUT_T us = until == UINT64_MAX ? -1 : (PY_TIMEOUT_T)(pulse_clock_to_ns(until - now) / 1000 + 1);
        PyThread_acquire_lock_timed(watchdog->wake, us, 0);
        pulse_counter_add(&watchdog->wake_ups, 1);
    }
    atomic_store(&pulse_the_aim.sleeps_until, 0);
}

// Whether another step has begun than the last time.
static bool
has_new_step(uint64_t *last)
{
    const pulse_thread *thread = atomic_load(&pulse_the_aim.thread);
    uint64_t step = thread == NULL ? 0 : atomic_load_explicit(&thread->step_started, memory_order_relaxed);
    bool is_new = step != *last;
    *last = step;
    return is_new;
}

// Whether a step was suspended lately. Counts the looks since then.
static bool
is_alert(void)
{
    int alert_for = atomic_load(&pulse_the_aim.alert_for);
    atomic_store(&pulse_the_aim.alert_for, alert_for > 0 ? alert_for - 1 : 0);
    return alert_for > 0;
}

// When to look again while no step is due; `deadline` is when the step under way will be, 0 if there is none. The length of a
// step is often enough to be exact, because a step that begins later is due later, and is chosen for a while after a step was
// suspended. A look with its wake-up takes some 40 us, which programs without such steps are spared: for them only a step that
// has lasted half as long already is waited for.
static uint64_t
next_look(uint64_t now, uint64_t deadline)
{
    uint64_t step_ticks = atomic_load(&pulse_the_aim.step_ticks);
    if (step_ticks == 0) {
        return now + pulse_clock_from_ns(LINGER_US * 1000);
    }
    bool alert = is_alert(), is_near = deadline != 0 && deadline - now < step_ticks / 2;
    uint64_t next = now + (alert ? step_ticks : 5 * step_ticks);
    return (alert || is_near) && deadline != 0 && deadline < next ? deadline : next;
}

// Whether the thread has computed for some of the time since the last look. Only asked about steps.
static bool
has_computed(preempt_watchdog *watchdog, uint64_t now)
{
    const pulse_thread *thread = atomic_load(&pulse_the_aim.thread);
    uint64_t passed_ns = pulse_clock_to_ns(now - watchdog->looked_at), run_ns;
    // While this thread has the processor, the other one may not run: a shorter time says nothing.
    if (watchdog->looked_at != 0 && passed_ns < SHORTEST_LOOK_NS) {
        return watchdog->computed;
    }
    if (thread == NULL || !pulse_os_thread_read_run_ns(thread->os_thread, &run_ns)) {
        return true;
    }
    watchdog->computed = watchdog->looked_at == 0 || run_ns - watchdog->run_ns > passed_ns / 8;
    watchdog->run_ns = run_ns;
    watchdog->looked_at = now;
    return watchdog->computed;
}

// Whether the step that is due is blocked, or was until now. A signal would end a system call that the program does not expect
// to end early, and nothing of it can be left.
static bool
is_blocked(bool computed)
{
    const pulse_thread *thread = atomic_load(&pulse_the_aim.thread);
    return thread != NULL && (!computed || pulse_os_thread_sleeps(thread->os_thread));
}

static void
watch(preempt_watchdog *watchdog)
{
    uint64_t asked = 0, asked_at = 0, patience = 0;
    int idle = 0;
    while (!atomic_load(&watchdog->stopping)) {
        uint64_t deadline = pulse_aim_due(), now = pulse_clock_ticks();
        bool is_of_step = atomic_load(&pulse_the_aim.deadline) == 0,
             computed = !is_of_step || has_computed(watchdog, now);
        if (deadline == 0) {
            idle = has_new_step(&watchdog->step) ? 0 : idle + 1;
            bool is_last = idle > LINGERS;
            sleep_until(watchdog, is_last ? PULSE_AIM_NEVER : next_look(now, 0), asked);
            watchdog->looked_at = is_last ? 0 : watchdog->looked_at;
            continue;
        }
        idle = 0;
        if (now < deadline) {
            // The step may have been put off for long, and may be over before: the next one has its own time.
            sleep_until(watchdog, is_of_step ? next_look(now, deadline) : deadline, asked);
        }
        else if (deadline == asked && now - asked_at < patience) {
            sleep_until(watchdog, now + pulse_clock_from_ns(ASKED_US * 1000), asked);
        }
        else if (is_of_step && is_blocked(computed)) {
            sleep_until(watchdog, next_look(now, 0), deadline);
        }
        else {
            patience = deadline == asked ? 2 * patience : pulse_clock_from_ns(PATIENCE_US * 1000);
            asked = deadline;
            asked_at = now;
            request(watchdog);
        }
    }
}

// Since Linux 6.12 a thread that asks for short slices gets the processor from a thread with longer ones as soon as it
// wakes. Otherwise a thread that computes on the only processor may keep it for some milliseconds more. Earlier versions
// ignore the request.
static void
ask_for_short_slices(void)
{
#if defined(__linux__) && defined(SYS_sched_setattr)
    // struct sched_attr, which only recent C libraries declare: sched_setattr(2).
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {0};
    enum { OTHER = 0, BATCH = 3 };
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) == 0 &&
        (attributes.policy == OTHER || attributes.policy == BATCH)) {
        attributes.runtime = SLICE_NS;
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    }
#endif
}

static void
preempt_watchdog_main(void *argument)
{
    preempt_watchdog *watchdog = argument;
    watchdog->os_thread = pulse_os_thread_self();
#ifdef __linux__
    prctl(PR_SET_NAME, "pulse-preempt");
    // Sleeps end 50 us late by default, which would be a twentieth of a slice.
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
#endif
    ask_for_short_slices();
    watch(watchdog);
    PyThread_release_lock(watchdog->alive);
}

static void
watchdog_free(preempt_watchdog *watchdog)
{
    if (watchdog->wake != NULL) {
        PyThread_free_lock(watchdog->wake);
    }
    if (watchdog->alive != NULL) {
        PyThread_free_lock(watchdog->alive);
    }
    PyMem_RawFree(watchdog);
}

static preempt_watchdog *
watchdog_new(int signal_number)
{
    preempt_watchdog *watchdog = PyMem_RawCalloc(1, sizeof *watchdog);
    if (watchdog == NULL) {
        return NULL;
    }
    watchdog->signal_number = signal_number;
#ifndef _WIN32
    watchdog->target = pthread_self();
#endif
    watchdog->wake = PyThread_allocate_lock();
    watchdog->alive = PyThread_allocate_lock();
    if (watchdog->wake == NULL || watchdog->alive == NULL) {
        watchdog_free(watchdog);
        return NULL;
    }
    PyThread_acquire_lock(watchdog->wake, WAIT_LOCK);
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    return watchdog;
}

int
pulse_signal_thread_start(int signal_number)
{
    if (the_watchdog != NULL) {
        return 0;
    }
    preempt_watchdog *watchdog = watchdog_new(signal_number);
    if (watchdog == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    atomic_store(&pulse_the_aim.sleeps_until, 0);
    if (!pulse_own_thread_start(preempt_watchdog_main, watchdog)) {
        PyThread_release_lock(watchdog->wake);
        PyThread_release_lock(watchdog->alive);
        watchdog_free(watchdog);
        PyErr_SetString(PyExc_RuntimeError, "the preempting watchdog's thread cannot be started");
        return -1;
    }
    the_watchdog = watchdog;
    pulse_the_aim.wake = watchdog->wake;
    return 0;
}

void
pulse_signal_thread_stop(void)
{
    preempt_watchdog *watchdog = the_watchdog;
    if (watchdog == NULL) {
        return;
    }
    the_watchdog = NULL;
    atomic_store(&pulse_the_aim.deadline, 0);
    atomic_store(&watchdog->stopping, true);
    pulse_aim_wake();
    pulse_the_aim.wake = NULL;
    // Otherwise the thread is awake. It takes no GIL, and other threads may go on while it ends.
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    pulse_own_thread_wait_until_gone(watchdog->os_thread);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(watchdog->alive);
    watchdog_free(watchdog);
}

void
pulse_signal_thread_after_fork(void)
{
    // Not freed: the thread, which does not exist in the child, may have been waiting for one of the locks.
    the_watchdog = NULL;
    pulse_the_aim.wake = NULL;
    atomic_store(&pulse_the_aim.deadline, 0);
    atomic_store(&pulse_the_aim.sleeps_until, 0);
}

bool
pulse_signal_thread_is_running(void)
{
    return the_watchdog != NULL;
}

uint64_t
pulse_signal_thread_wake_ups(void)
{
    return the_watchdog == NULL ? 0 : pulse_counter_read(&the_watchdog->wake_ups);
}
