// Sleeping until another thread has computed, until a time, and until a wake-up.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/alarm.h"
#include "base/os_thread.h"
#include "checks.h"

#define MS 1000000ull

static _Atomic(uint64_t) computing;
static _Atomic(bool) is_over;

static void *
compute(void *argument)
{
    (void)argument;
    atomic_store(&computing, pulse_os_thread_self());
    while (!atomic_load(&is_over)) {
    }
    return NULL;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static uint64_t
run_ns(uint64_t thread)
{
    uint64_t ns = 0;
    CHECK(pulse_os_thread_read_run_ns(thread, &ns));
    return ns;
}

static void
check_computing(void)
{
    pulse_alarm alarm = {0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, compute, NULL) == 0);
    while (atomic_load(&computing) == 0) {
        pulse_os_thread_pause_us(100);
    }
    pulse_alarm_init(&alarm, SIGURG, atomic_load(&computing));
    CHECK(alarm.has_timer);
    for (uint64_t ns = MS; ns <= 32 * MS; ns *= 2) {
        uint64_t before = run_ns(atomic_load(&computing));
        pulse_alarm_sleep_while_computing(&alarm, ns);
        CHECK(run_ns(atomic_load(&computing)) - before >= ns);
    }
    pulse_alarm_clear(&alarm);
    atomic_store(&is_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
}

// A thread that does not exist stands for a system that has no such timer.
static void
check_without_timer(void)
{
    pulse_alarm alarm = {0};
    pulse_alarm_init(&alarm, SIGURG, 0x1ffffffe);
    CHECK(!alarm.has_timer);
    for (int i = 0; i < 3; i++) {
        uint64_t before = now_ns();
        // Not at once: the caller would look again and again.
        pulse_alarm_sleep_while_computing(&alarm, 1);
        CHECK(now_ns() - before >= MS);
    }
    pulse_alarm_clear(&alarm);
}

static void
check_waking(void)
{
    pulse_alarm alarm = {0};
    pulse_alarm_init(&alarm, SIGURG, pulse_os_thread_self());
    for (int i = 0; i < 1000; i++) {
        pulse_alarm_wake(&alarm);
        pulse_alarm_sleep(&alarm, PULSE_ALARM_NEVER);
        CHECK(true);
    }
    uint64_t before = now_ns();
    pulse_alarm_sleep(&alarm, 5 * MS);
    CHECK(now_ns() - before >= 5 * MS);
    pulse_alarm_clear(&alarm);
}

int
main(void)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGURG);
    CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
    check_computing();
    check_without_timer();
    check_waking();
    return checks_report();
}
