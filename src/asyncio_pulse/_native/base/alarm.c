// For timers under -std=c11.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/alarm.h"

#include "base/os_thread.h"

#ifdef __linux__

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc before 2.39 has no name for this field.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
    NS_PER_S = 1000000000,
    // Without a timer on CPU time, the thread wakes up this much more rarely, as there may be nothing to see, and never at
    // once.
    RARER = 5,
    SHORTEST_NS = 4000000,
};

// The clock of another thread's CPU time in the kernel's numbering, as pthread_getcpuclockid makes it.
static clockid_t
cpu_clock_of(uint64_t thread)
{
    enum { PER_THREAD = 4, SCHEDULER = 2 };
    return (clockid_t)(~(uint32_t)thread << 3 | PER_THREAD | SCHEDULER);
}

static struct timespec
timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

void
pulse_alarm_init(pulse_alarm *alarm, int signal_number, uint64_t watched_thread)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal_number;
    event.sigev_notify_thread_id = (pid_t)pulse_os_thread_self();
    alarm->signal_number = signal_number;
    alarm->has_timer = timer_create(cpu_clock_of(watched_thread), &event, &alarm->timer) == 0;
    atomic_store(&alarm->sleeper, pulse_os_thread_self());
}

void
pulse_alarm_clear(pulse_alarm *alarm)
{
    if (alarm->has_timer) {
        timer_delete(alarm->timer);
        alarm->has_timer = false;
    }
}

void
pulse_alarm_sleep(pulse_alarm *alarm, uint64_t ns)
{
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, alarm->signal_number);
    struct timespec timeout = timespec_of(ns);
    // A debugger may end it early; the caller looks again in any case.
    sigtimedwait(&awaited, NULL, ns == PULSE_ALARM_NEVER ? NULL : &timeout);
}

void
pulse_alarm_sleep_while_computing(pulse_alarm *alarm, uint64_t ns)
{
    // A value of 0 would stop the timer.
    struct itimerspec when = {.it_value = timespec_of(ns > 0 ? ns : 1)};
    bool is_set = alarm->has_timer && timer_settime(alarm->timer, 0, &when, NULL) == 0;
    pulse_alarm_sleep(alarm, is_set ? PULSE_ALARM_NEVER : RARER * (ns > SHORTEST_NS ? ns : SHORTEST_NS));
}

void
pulse_alarm_wake(pulse_alarm *alarm)
{
    syscall(SYS_tgkill, getpid(), (pid_t)atomic_load(&alarm->sleeper), alarm->signal_number);
}

#else

void
pulse_alarm_init(pulse_alarm *alarm, int signal_number, uint64_t watched_thread)
{
    (void)watched_thread;
    alarm->signal_number = signal_number;
    atomic_store(&alarm->sleeper, pulse_os_thread_self());
}

void
pulse_alarm_clear(pulse_alarm *alarm)
{
    (void)alarm;
}

void
pulse_alarm_sleep(pulse_alarm *alarm, uint64_t ns)
{
    (void)alarm;
    (void)ns;
}

void
pulse_alarm_sleep_while_computing(pulse_alarm *alarm, uint64_t ns)
{
    (void)alarm;
    (void)ns;
}

void
pulse_alarm_wake(pulse_alarm *alarm)
{
    (void)alarm;
}

#endif
