// The CPU clocks for each platform.
//
// macOS and Windows: written against the documented API and tested against a fake of it, not run on the real platform.
//
// _POSIX_C_SOURCE is for clock_gettime under -std=c11.
#define _POSIX_C_SOURCE 200809L

#include "base/thread_clock.h"

#include <time.h>

#include "base/clock.h"

#if defined(__APPLE__)

#include <mach/mach.h>

const char *const pulse_thread_clock_platform = "macos";

uint64_t
pulse_thread_clock_ns(void)
{
    thread_basic_info_data_t info;
    mach_msg_type_number_t count = THREAD_BASIC_INFO_COUNT;
    // mach_thread_self returns a reference to the port, which must be given back.
    mach_port_t port = mach_thread_self();
    kern_return_t result = thread_info(port, THREAD_BASIC_INFO, (thread_info_t)&info, &count);
    mach_port_deallocate(mach_task_self(), port);
    if (result != KERN_SUCCESS) {
        return 0;
    }
    uint64_t seconds = (uint64_t)info.user_time.seconds + (uint64_t)info.system_time.seconds;
    uint64_t us = (uint64_t)info.user_time.microseconds + (uint64_t)info.system_time.microseconds;
    return seconds * 1000000000u + us * 1000u;
}

#elif defined(_WIN32)

#include <windows.h>

const char *const pulse_thread_clock_platform = "windows";

uint64_t
pulse_thread_clock_ns(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user)) {
        return 0;
    }
    uint64_t kernel_units = ((uint64_t)kernel.dwHighDateTime << 32) | kernel.dwLowDateTime;
    uint64_t user_units = ((uint64_t)user.dwHighDateTime << 32) | user.dwLowDateTime;
    // Units of 100 ns.
    return (kernel_units + user_units) * 100;
}

#elif defined(__linux__)

const char *const pulse_thread_clock_platform = "linux";

uint64_t
pulse_thread_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#else

const char *const pulse_thread_clock_platform = "fallback";

uint64_t
pulse_thread_clock_ns(void)
{
    return pulse_clock_to_ns(pulse_clock_monotonic());
}

#endif

uint64_t
pulse_thread_clock_process_ns(void)
{
#ifdef CLOCK_PROCESS_CPUTIME_ID
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#else
    return pulse_clock_to_ns(pulse_clock_monotonic());
#endif
}
