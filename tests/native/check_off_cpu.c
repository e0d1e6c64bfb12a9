// Whether a poll that was off the CPU blocked, from two readings of what the system tells.
#include "base/off_cpu.h"
#include "checks.h"

#define MS 1000000ull

enum { SWITCH_INTERVAL_MS = 5 };

static uint64_t
blocked_ms(pulse_off_cpu_reading change, uint64_t off_cpu_ms)
{
    pulse_off_cpu_reading before = {.queued_ns = 70 * MS, .voluntary_switches = 900, .others_run_ns = 5000 * MS};
    pulse_off_cpu_reading now = {
        .queued_ns = before.queued_ns + change.queued_ns,
        .voluntary_switches = before.voluntary_switches + change.voluntary_switches,
        .others_run_ns = before.others_run_ns + change.others_run_ns,
    };
    return pulse_off_cpu_blocked_ns(&before, &now, off_cpu_ms * MS, SWITCH_INTERVAL_MS * MS) / MS;
}

static void
check_one_long_sleep(void)
{
    CHECK(blocked_ms((pulse_off_cpu_reading){.voluntary_switches = 1}, 60) == 60);
    // Whatever other threads do meanwhile: who waits for the GIL wakes far more often.
    CHECK(blocked_ms((pulse_off_cpu_reading){.voluntary_switches = 1, .others_run_ns = 60 * MS}, 60) == 60);
}

static void
check_lack_of_the_gil(void)
{
    CHECK(blocked_ms((pulse_off_cpu_reading){.voluntary_switches = 12, .others_run_ns = 60 * MS}, 60) == 0);
    CHECK(blocked_ms((pulse_off_cpu_reading){.voluntary_switches = 200, .others_run_ns = 20 * MS}, 60) == 0);
}

static void
check_many_short_sleeps(void)
{
    // A synchronous client that gets its answer piece by piece: nobody else could have had the GIL.
    CHECK(blocked_ms((pulse_off_cpu_reading){.voluntary_switches = 200}, 60) == 60);
}

static void
check_lack_of_a_processor(void)
{
    CHECK(blocked_ms((pulse_off_cpu_reading){.queued_ns = 60 * MS}, 60) == 0);
    CHECK(blocked_ms((pulse_off_cpu_reading){.queued_ns = 90 * MS}, 60) == 0);
    CHECK(blocked_ms((pulse_off_cpu_reading){.queued_ns = 45 * MS, .voluntary_switches = 1}, 60) == 15);
}

int
main(void)
{
    check_one_long_sleep();
    check_lack_of_the_gil();
    check_many_short_sleeps();
    check_lack_of_a_processor();
    uint64_t seed = 7;
    for (int i = 0; i < 10000; i++) {
        pulse_off_cpu_reading before = {random_number(&seed), random_number(&seed), random_number(&seed)};
        pulse_off_cpu_reading now = {random_number(&seed), random_number(&seed), random_number(&seed)};
        uint64_t off_cpu_ns = random_number(&seed) / 2;
        CHECK(pulse_off_cpu_blocked_ns(&before, &now, off_cpu_ns, 5 * MS) <= off_cpu_ns);
    }
    return checks_report();
}
