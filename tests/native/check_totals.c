// The verdict on a poll, from the numbers that were measured.
#include "base/totals.h"
#include "checks.h"

enum { BUDGET = 2000, SLOW = 10000 };

static pulse_verdict
judge(pulse_usage usage)
{
    return pulse_totals_judge(&usage, BUDGET, SLOW);
}

static void
check_a_poll_on_the_cpu(void)
{
    pulse_verdict verdict = judge((pulse_usage){.wall = 3000, .cpu_since_sample = 3000});
    CHECK(verdict.own_wall == 3000 && verdict.own_off_cpu == 0);
    CHECK(verdict.violation && !verdict.slow);
    // A limit that is just reached is kept.
    CHECK(!judge((pulse_usage){.wall = BUDGET, .cpu_since_sample = BUDGET}).violation);
    CHECK(judge((pulse_usage){.wall = BUDGET + 1, .cpu_since_sample = BUDGET + 1}).violation);
    CHECK(!judge((pulse_usage){.wall = SLOW}).slow);
    CHECK(judge((pulse_usage){.wall = SLOW + 1}).slow);
}

static void
check_a_poll_that_slept(void)
{
    pulse_verdict verdict = judge((pulse_usage){.wall = 20000, .cpu_since_sample = 500});
    CHECK(verdict.own_off_cpu == 19500);
    CHECK(!verdict.violation && verdict.slow);
}

static void
check_what_was_used_before_the_poll(void)
{
    // 400 of the 2900 were used between the sample and the poll's start.
    pulse_usage usage = {.wall = 2600, .cpu_since_sample = 2900, .cpu_sampled = 400};
    CHECK(judge(usage).own_off_cpu == 100);
    CHECK(judge(usage).violation);
    usage.cpu_sampled = 1000;
    CHECK(!judge(usage).violation);
    // The clocks have no common resolution: more CPU time than wall time is no time off the CPU.
    usage = (pulse_usage){.wall = 2500, .cpu_since_sample = 9000};
    CHECK(judge(usage).own_off_cpu == 0);
}

static void
check_polls_within(void)
{
    // Of 9000, inner polls used 8000, of which they slept 6000: its own 1000 were on the CPU.
    pulse_usage usage = {.wall = 9000, .nested = 8000, .nested_off_cpu = 6000, .cpu_since_sample = 3000};
    pulse_verdict verdict = judge(usage);
    CHECK(verdict.own_wall == 1000 && verdict.own_off_cpu == 0);
    CHECK(!verdict.violation && !verdict.slow);
    usage.wall = 12000;
    usage.cpu_since_sample = 6000;
    CHECK(judge(usage).own_wall == 4000);
    CHECK(judge(usage).violation);
}

static void
check_garbage_collection(void)
{
    pulse_usage usage = {.wall = 15000, .cpu_since_sample = 15000, .gc = 13000};
    CHECK(!judge(usage).violation && judge(usage).slow);
    usage.gc = 12999;
    CHECK(judge(usage).violation);
    usage.gc = 99999;
    CHECK(!judge(usage).violation);
}

static void
check_booking(void)
{
    pulse_totals totals = {0};
    pulse_verdict verdict = {.own_wall = 50, .own_off_cpu = 20, .violation = true, .slow = false};
    pulse_totals_book(&totals, &verdict);
    verdict.violation = false;
    verdict.slow = true;
    pulse_totals_book(&totals, &verdict);
    CHECK(pulse_counter_read(&totals.off_cpu_ticks) == 40);
    CHECK(pulse_counter_read(&totals.gc_ticks) == 0);
    CHECK(pulse_counter_read(&totals.violations) == 1);
    CHECK(pulse_counter_read(&totals.slow_polls) == 1);
    CHECK(pulse_counter_read(&totals.wall_ticks) == 0);
    CHECK(pulse_counter_read(&totals.forced_yields) == 0);
}

static void
check_anything(uint64_t *seed)
{
    pulse_usage usage = {random_number(seed), random_number(seed), random_number(seed),
                         random_number(seed), random_number(seed), random_number(seed)};
    uint64_t budget = random_number(seed), slow = random_number(seed);
    pulse_verdict verdict = pulse_totals_judge(&usage, budget, slow);
    CHECK(verdict.own_wall <= usage.wall);
    CHECK(verdict.own_off_cpu <= verdict.own_wall);
    CHECK(verdict.slow == (verdict.own_wall > slow));
    CHECK(!verdict.violation || verdict.own_wall - verdict.own_off_cpu > budget);
    // A larger budget forgives, and never accuses.
    uint64_t larger = budget < UINT64_MAX / 2 ? budget * 2 : UINT64_MAX;
    CHECK(verdict.violation || !pulse_totals_judge(&usage, larger, slow).violation);
}

int
main(void)
{
    check_a_poll_on_the_cpu();
    check_a_poll_that_slept();
    check_what_was_used_before_the_poll();
    check_polls_within();
    check_garbage_collection();
    check_booking();
    uint64_t seed = 3;
    for (int i = 0; i < 1000000; i++) {
        check_anything(&seed);
    }
    return checks_report();
}
