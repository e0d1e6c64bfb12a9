// For RUSAGE_THREAD under -std=c11.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/off_cpu.h"

#ifdef __linux__
#include <sys/resource.h>
#endif

#include "base/thread_clock.h"

#ifdef __linux__

bool
pulse_off_cpu_read(uint64_t thread_run_ns, pulse_off_cpu_reading *now)
{
    pulse_os_thread thread;
    struct rusage usage;
    if (!pulse_os_thread_read(pulse_os_thread_self(), &thread) || getrusage(RUSAGE_THREAD, &usage) != 0) {
        return false;
    }
    *now = (pulse_off_cpu_reading){
        .queued_ns = thread.queued_ns,
        .voluntary_switches = (uint64_t)usage.ru_nvcsw,
        .others_run_ns = pulse_less(pulse_thread_clock_process_ns(), thread_run_ns),
    };
    return true;
}

#else

bool
pulse_off_cpu_read(uint64_t thread_run_ns, pulse_off_cpu_reading *now)
{
    (void)thread_run_ns;
    (void)now;
    return false;
}

#endif

uint64_t
pulse_off_cpu_blocked_ns(const pulse_off_cpu_reading *before, const pulse_off_cpu_reading *now, uint64_t off_cpu_ns,
                         uint64_t switch_interval_ns)
{
    uint64_t slept_ns = pulse_less(off_cpu_ns, pulse_less(now->queued_ns, before->queued_ns));
    uint64_t switches = pulse_less(now->voluntary_switches, before->voluntary_switches);
    // A thread that waits for the GIL wakes every switch interval to ask for it again. A thread blocked in a call sleeps
    // through. A call that wakes as often by itself can be told apart only if no other thread could have held the GIL.
    bool woke_too_seldom = switches * switch_interval_ns * 2 < slept_ns;
    bool others_were_idle = pulse_less(now->others_run_ns, before->others_run_ns) < slept_ns / 4;
    return woke_too_seldom || others_were_idle ? slept_ns : 0;
}
