// How a thread of the core sleeps: until a time, until another thread has computed for a while, or until it is woken.
//
// No Python.h, no GIL. The timer runs on the CPU time of the other thread, so nothing wakes up while that thread waits. Its
// signal is directed at the sleeping thread, which blocks it: the program does not notice it. Only for Linux; elsewhere
// nothing sleeps.
#ifndef PULSE_ALARM_H
#define PULSE_ALARM_H

#include "base/portable.h"

#ifdef __linux__
#include <pthread.h>
#include <time.h>
#endif

#define PULSE_ALARM_NEVER UINT64_MAX

typedef struct {
    int signal_number;
    // The system's number of the thread that sleeps, 0 before it is known.
    _Atomic(uint64_t) sleeper;
#ifdef __linux__
    timer_t timer;
    // False if the system has no timer on the CPU time of another thread.
    bool has_timer;
#endif
} pulse_alarm;

// Called by the thread that is going to sleep. It must block the signal, and nobody else may wait for this signal.
// `watched_thread` is the other thread's pulse_os_thread_self().
void pulse_alarm_init(pulse_alarm *alarm, int signal_number, uint64_t watched_thread);
void pulse_alarm_clear(pulse_alarm *alarm);

// Sleep for so long, or for good with PULSE_ALARM_NEVER.
void pulse_alarm_sleep(pulse_alarm *alarm, uint64_t ns);

// Sleep until the watched thread has computed for so long. The wake-up is late by up to a tick of the system, 1 to 10 ms.
void pulse_alarm_sleep_while_computing(pulse_alarm *alarm, uint64_t ns);

// End the sleep under way, or else the next one. Called by any thread after pulse_alarm_init.
void pulse_alarm_wake(pulse_alarm *alarm);

#endif
