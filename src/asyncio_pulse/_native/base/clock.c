// For clock_gettime under -std=c11.
#define _POSIX_C_SOURCE 200809L

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

#if PULSE_HAS_TSC
#include <cpuid.h>
#endif

pulse_clock pulse_the_clock = {.name = "not initialised", .reason = ""};

#ifdef _WIN32

// Written against the documented API, not run on the real platform.
uint64_t
pulse_clock_monotonic(void)
{
    LARGE_INTEGER count;
    QueryPerformanceCounter(&count);
    return (uint64_t)count.QuadPart;
}

static const char *monotonic_name = "QueryPerformanceCounter";

static uint64_t
monotonic_frequency(void)
{
    LARGE_INTEGER frequency;
    QueryPerformanceFrequency(&frequency);
    return (uint64_t)frequency.QuadPart;
}

#elif defined(__aarch64__)

// Not run on the real platform. The generic timer is architectural: always invariant, and readable from user space.
uint64_t
pulse_clock_monotonic(void)
{
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

static const char *monotonic_name = "cntvct_el0";

static uint64_t
monotonic_frequency(void)
{
    uint64_t frequency;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
    return frequency;
}

#else

uint64_t
pulse_clock_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *monotonic_name = "CLOCK_MONOTONIC";

static uint64_t
monotonic_frequency(void)
{
    return 1000000000u;
}

#endif

static void
set_frequency(uint64_t frequency_hz)
{
    pulse_the_clock.frequency_hz = frequency_hz;
    pulse_the_clock.ns_per_tick = (uint64_t)(1e9 / (double)frequency_hz * 4294967296.0 + 0.5);
    // One histogram unit is at least 4 ns, so the range of 2^34 units is at least 68 s.
    unsigned shift = 0;
    while ((frequency_hz >> shift) > 250000000u) {
        shift++;
    }
    pulse_the_clock.histogram_shift = shift;
}

#if PULSE_HAS_TSC

// The kernel checks the counter against its other clocks. Where the kernel has given up on it, so do we.
static const char *
kernel_objection(void)
{
    static char text[96];
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");
    if (file == NULL) {
        return NULL;
    }
    char source[48] = "";
    if (fgets(source, sizeof source, file) == NULL) {
        source[0] = '\0';
    }
    fclose(file);
    source[strcspn(source, "\n")] = '\0';
    static const char *const trusted[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", ""};
    for (size_t i = 0; i < sizeof trusted / sizeof *trusted; i++) {
        if (strcmp(source, trusted[i]) == 0) {
            return NULL;
        }
    }
    snprintf(text, sizeof text, "the kernel uses the clock source %s", source);
    return text;
}

static const char *
tsc_objection(const char *preference)
{
    if (preference != NULL && strcmp(preference, "monotonic") == 0) {
        return "ASYNCIO_PULSE_CLOCK=monotonic";
    }
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) || !(edx & (1u << 8))) {
        return "the processor's time stamp counter is not invariant";
    }
    return kernel_objection();
}

// Read both clocks at one end of an interval of 2 ms. Each end is the tightest of 16 readings, so that an interruption
// between the two clocks does not count. The error is about 20 ns in 2 ms: 10 parts in a million.
static void
read_both(uint64_t *tsc, uint64_t *ns)
{
    uint64_t tightest = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t before = __rdtsc();
        uint64_t now = pulse_clock_monotonic();
        uint64_t after = __rdtsc();
        if (after - before < tightest) {
            tightest = after - before;
            *tsc = before + (after - before) / 2;
            *ns = now;
        }
    }
}

static uint64_t
calibrate_tsc(void)
{
    // Initialised because the compiler cannot see that one of the 16 readings is always the tightest.
    uint64_t tsc_start = 0, ns_start = 0, tsc_end = 0, ns_end = 0;
    read_both(&tsc_start, &ns_start);
    do {
        read_both(&tsc_end, &ns_end);
    } while (ns_end - ns_start < 2000000u);
    return (uint64_t)((double)(tsc_end - tsc_start) * 1e9 / (double)(ns_end - ns_start));
}

#endif

void
pulse_clock_init(const char *preference)
{
    if (pulse_the_clock.frequency_hz != 0) {
        return;
    }
#if PULSE_HAS_TSC
    const char *objection = tsc_objection(preference);
    if (objection == NULL) {
        set_frequency(calibrate_tsc());
        pulse_the_clock.name = "tsc";
        pulse_the_clock.reason = "invariant time stamp counter";
        pulse_the_clock.uses_tsc = true;
        return;
    }
    pulse_the_clock.reason = objection;
#else
    (void)preference;
    pulse_the_clock.reason = "the monotonic clock of this platform";
#endif
    pulse_the_clock.name = monotonic_name;
    set_frequency(monotonic_frequency());
}
