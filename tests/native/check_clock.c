// The clocks: which one is chosen and why, and the way between ticks and nanoseconds.
//
// The source itself is included, so that the kernel's word on the counter can be any file.
#include <stdio.h>

static const char *clocksource_path = "";

static FILE *
open_clocksource(const char *path, const char *mode)
{
    (void)path;
    return fopen(clocksource_path, mode);
}

#define fopen open_clocksource
#include "base/clock.c"
#undef fopen

#include "base/thread_clock.h"
#include "checks.h"

static void
start_again(const char *preference)
{
    pulse_the_clock = (pulse_clock){.name = "not initialised", .reason = ""};
    pulse_clock_init(preference);
}

static void
check_conversion(void)
{
    uint64_t seed = 4, last = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t ns = random_number(&seed) >> 4;
        uint64_t ticks = pulse_clock_from_ns(ns);
        uint64_t back = pulse_clock_to_ns(ticks);
        uint64_t difference = back > ns ? back - ns : ns - back;
        // One tick, and the precision of a double and of a 32.32 number.
        CHECK(difference <= 1000000000u / pulse_the_clock.frequency_hz + 2 + (ns >> 29));
    }
    for (uint64_t ticks = (UINT64_C(1) << 32) - 1000; ticks < (UINT64_C(1) << 32) + 1000; ticks++) {
        uint64_t ns = pulse_clock_to_ns(ticks);
        CHECK(ns >= last);
        last = ns;
    }
    CHECK((pulse_clock_from_ns(UINT64_MAX) == UINT64_MAX) == (pulse_the_clock.frequency_hz >= 1000000000u));
    CHECK(pulse_clock_from_ns(0) == 0 && pulse_clock_to_ns(0) == 0);
}

static void
check_it_runs(void)
{
    uint64_t cpu = pulse_thread_clock_ns(), ticks = pulse_clock_ticks(), last = ticks;
    while (pulse_thread_clock_ns() - cpu < 5000000u) {
        uint64_t now = pulse_clock_ticks();
        CHECK(now >= last);
        last = now;
    }
    // Wall time bounds CPU time; 2 % is more than any calibration may be wrong.
    CHECK(pulse_clock_to_ns(last - ticks) > 4900000u);
}

static void
check_histogram_range(void)
{
    uint64_t unit_hz = pulse_the_clock.frequency_hz >> pulse_the_clock.histogram_shift;
    CHECK(unit_hz <= 250000000u);
    CHECK(pulse_the_clock.histogram_shift == 0 || unit_hz > 125000000u - 1);
}

static void
check_clock(const char *name, const char *reason)
{
    CHECK(strcmp(pulse_the_clock.name, name) == 0);
    CHECK(strcmp(pulse_the_clock.reason, reason) == 0);
    check_conversion();
    check_histogram_range();
    check_it_runs();
}

static void
check_frequency(uint64_t frequency_hz, unsigned shift)
{
    set_frequency(frequency_hz);
    CHECK(pulse_the_clock.histogram_shift == shift);
    check_conversion();
    check_histogram_range();
}

#if PULSE_HAS_TSC
static const char *
objection_to(const char *clocksource)
{
    FILE *file = fopen(clocksource_path, "w");
    CHECK(file != NULL);
    fputs(clocksource, file);
    fclose(file);
    return kernel_objection();
}

static void
check_the_kernels_word(const char *path)
{
    clocksource_path = path;
    remove(path);
    CHECK(kernel_objection() == NULL);
    CHECK(objection_to("") == NULL);
    CHECK(objection_to("tsc\n") == NULL);
    CHECK(objection_to("kvm-clock\n") == NULL);
    CHECK(strcmp(objection_to("acpi_pm\n"), "the kernel uses the clock source acpi_pm") == 0);
    start_again(NULL);
    CHECK(!pulse_the_clock.uses_tsc);
    CHECK(objection_to("a name that is much longer than any clock source that a kernel ever had\n") != NULL);
    objection_to("tsc\n");
}
#endif

int
main(int argc, char **argv)
{
    CHECK(argc == 2);
#if PULSE_HAS_TSC
    check_the_kernels_word(argv[1]);
    start_again("monotonic");
    check_clock("CLOCK_MONOTONIC", "ASYNCIO_PULSE_CLOCK=monotonic");
    CHECK(pulse_the_clock.frequency_hz == 1000000000u);
    start_again("anything else");
    if (pulse_the_clock.uses_tsc) {
        check_clock("tsc", "invariant time stamp counter");
        uint64_t first = pulse_the_clock.frequency_hz, second;
        start_again(NULL);
        second = pulse_the_clock.frequency_hz;
        CHECK((first > second ? first - second : second - first) < first / 1000);
    }
#else
    (void)argv;
    start_again(NULL);
    check_clock(monotonic_name, "the monotonic clock of this platform");
#endif
    const char *chosen = pulse_the_clock.name;
    pulse_clock_init("monotonic");
    CHECK(pulse_the_clock.name == chosen);
    check_frequency(24000000, 0);
    check_frequency(1000000000, 2);
    check_frequency(2999998000u, 4);
    return checks_report();
}
