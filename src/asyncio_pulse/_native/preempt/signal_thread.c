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

#include "base/alarm.h"
#include "base/os_thread.h"
#include "base/own_thread.h"

enum {
    // When no poll has a deadline of its own any more, the thread looks LINGERS times at this interval for the next one.
    // Waking it costs a poll more than all that the thread itself does.
    LINGER_US = 1000,
    LINGERS = 5,
    // After a request it looks again this soon, and then ever more rarely: the interrupted code may ask for another one.
    ASKED_US = 500,
    // A request that was not heard for this long is repeated, because no handler can be called at the recursion limit. The
    // interval then doubles each time, because during a long call of C code all requests would only wait.
    PATIENCE_US = 10000,
    // The alarm on CPU time is late by up to a tick of the system. Most systems have ticks of 4 ms.
    TICK_US = 4000,
    // The least that Linux takes as the slice of a thread.
    SLICE_NS = 100000,
};

typedef struct {
    pulse_alarm alarm;
    // Held until the alarm can be used.
    PyThread_type_lock begun;
    // Held by the thread while it lives.
    PyThread_type_lock alive;
    _Atomic(bool) stopping;
    pulse_counter wake_ups;
    // How often it looks for the next poll with a deadline of its own.
    int lingers;
    // The deadline of the last request, when that was sent, and when it is repeated if it is not heard.
    uint64_t asked;
    uint64_t asked_at;
    uint64_t patience;
    uint64_t os_thread;
    uint64_t main_thread;
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

// Whether a poll has a deadline of its own before `until` that was not asked for yet. A poll sets its deadline before it reads
// `sleeps_until`, and this thread sets `sleeps_until` before it reads the deadline, so one of them sees the other.
static bool
is_wanted_before(const preempt_watchdog *watchdog, uint64_t until)
{
    atomic_store(&pulse_the_aim.sleeps_until, until);
    uint64_t deadline = atomic_load(&pulse_the_aim.deadline);
    return (deadline != 0 && deadline != watchdog->asked && deadline < until) || atomic_load(&watchdog->stopping);
}

static void
wake_up(preempt_watchdog *watchdog)
{
    atomic_store(&pulse_the_aim.sleeps_until, 0);
    pulse_counter_add(&watchdog->wake_ups, 1);
}

// Sleep until `until`, or for good if that is PULSE_AIM_NEVER.
static void
sleep_until(preempt_watchdog *watchdog, uint64_t until)
{
    uint64_t now = pulse_clock_ticks();
    if (!is_wanted_before(watchdog, until) && now < until) {
        pulse_alarm_sleep(&watchdog->alarm,
                          until == PULSE_AIM_NEVER ? PULSE_ALARM_NEVER : pulse_clock_to_ns(until - now));
    }
    wake_up(watchdog);
}

static void
sleep_while_computing(preempt_watchdog *watchdog, uint64_t ticks)
{
    if (!is_wanted_before(watchdog, PULSE_AIM_NEVER)) {
        pulse_alarm_sleep_while_computing(&watchdog->alarm, pulse_clock_to_ns(ticks));
    }
    wake_up(watchdog);
}

// Whether a step was suspended lately. Counts the looks since then.
static bool
is_alert(void)
{
    int alert_for = atomic_load(&pulse_the_aim.alert_for);
    atomic_store(&pulse_the_aim.alert_for, alert_for > 0 ? alert_for - 1 : 0);
    return alert_for > 0;
}

// No step is due. The one under way will be at `deadline`, 0 if there is none. It may be put off for long, but the next one is
// due `step_ticks` after its beginning. A step lasts at least as long as it computes, so the thread sleeps while the main
// thread computes for most of the rest, and then for the last tick. After a step was suspended, it sleeps until the deadline:
// on a shared processor, a step may last much longer than it computes.
static void
wait_for_step(preempt_watchdog *watchdog, uint64_t deadline, uint64_t now)
{
    uint64_t step_ticks = atomic_load(&pulse_the_aim.step_ticks), tick = pulse_clock_from_ns(TICK_US * 1000),
             left = deadline != 0 && deadline - now < step_ticks ? deadline - now : step_ticks;
    if (watchdog->lingers > 0) {
        watchdog->lingers--;
        sleep_until(watchdog, now + pulse_clock_from_ns(LINGER_US * 1000));
    }
    else if (step_ticks == 0) {
        sleep_until(watchdog, PULSE_AIM_NEVER);
    }
    else if (is_alert() || (deadline != 0 && left <= tick)) {
        sleep_until(watchdog, now + left);
    }
    else {
        sleep_while_computing(watchdog, pulse_less(left, tick));
    }
}

static void
ask(preempt_watchdog *watchdog, uint64_t deadline, uint64_t now, bool is_of_step)
{
    watchdog->patience = deadline == watchdog->asked ? 2 * watchdog->patience : pulse_clock_from_ns(PATIENCE_US * 1000);
    watchdog->asked = deadline;
    watchdog->asked_at = now;
    if (is_of_step) {
        atomic_store(&pulse_the_aim.asked, PULSE_ASKED_UNHEARD);
    }
    request(watchdog);
}

// Sleep after a request that was sent `passed` ticks ago. A poll with a deadline of its own may soon have another one.
static void
wait_for_answer(preempt_watchdog *watchdog, uint64_t passed, bool is_of_step)
{
    uint64_t soon = pulse_clock_from_ns(ASKED_US * 1000);
    if (is_of_step) {
        sleep_while_computing(watchdog, watchdog->patience - passed);
    }
    else {
        sleep_until(watchdog, pulse_clock_ticks() + (passed > soon ? passed : soon));
    }
}

static void
look(preempt_watchdog *watchdog)
{
    uint64_t deadline = pulse_aim_due(), now = pulse_clock_ticks();
    bool is_of_step = atomic_load(&pulse_the_aim.deadline) == 0;
    watchdog->lingers = deadline != 0 && !is_of_step ? LINGERS : watchdog->lingers;
    if (deadline == 0 || (is_of_step && now < deadline)) {
        wait_for_step(watchdog, deadline, now);
    }
    else if (now < deadline) {
        sleep_until(watchdog, deadline);
    }
    else if (deadline == watchdog->asked && now - watchdog->asked_at < watchdog->patience) {
        wait_for_answer(watchdog, now - watchdog->asked_at, is_of_step);
    }
    else if (is_of_step && pulse_os_thread_sleeps(watchdog->main_thread)) {
        // A signal would end a system call that the program does not expect to end early, and nothing of it can be left.
        sleep_while_computing(watchdog, 1);
    }
    else {
        ask(watchdog, deadline, now, is_of_step);
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
    pulse_alarm_init(&watchdog->alarm, watchdog->signal_number, watchdog->main_thread);
    PyThread_release_lock(watchdog->begun);
    while (!atomic_load(&watchdog->stopping)) {
        look(watchdog);
    }
    pulse_alarm_clear(&watchdog->alarm);
    PyThread_release_lock(watchdog->alive);
}

static void
watchdog_free(preempt_watchdog *watchdog)
{
    if (watchdog->begun != NULL) {
        PyThread_free_lock(watchdog->begun);
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
    watchdog->main_thread = pulse_os_thread_self();
    watchdog->begun = PyThread_allocate_lock();
    watchdog->alive = PyThread_allocate_lock();
    if (watchdog->begun == NULL || watchdog->alive == NULL) {
        watchdog_free(watchdog);
        return NULL;
    }
    PyThread_acquire_lock(watchdog->begun, WAIT_LOCK);
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
    atomic_store(&pulse_the_aim.alert_for, 0);
    if (!pulse_own_thread_start(preempt_watchdog_main, watchdog)) {
        PyThread_release_lock(watchdog->begun);
        PyThread_release_lock(watchdog->alive);
        watchdog_free(watchdog);
        PyErr_SetString(PyExc_RuntimeError, "the preempting watchdog's thread cannot be started");
        return -1;
    }
    PyThread_acquire_lock(watchdog->begun, WAIT_LOCK);
    PyThread_release_lock(watchdog->begun);
    the_watchdog = watchdog;
    pulse_the_aim.alarm = &watchdog->alarm;
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
    pulse_the_aim.alarm = NULL;
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
    pulse_the_aim.alarm = NULL;
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
