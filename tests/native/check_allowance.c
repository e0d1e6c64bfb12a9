// How long nothing may be spent after something was.
#include "base/allowance.h"
#include "checks.h"

#define MS 1000000ull

static void
check_the_share(void)
{
    pulse_allowance allowance = {0};
    CHECK(pulse_allowance_wait(&allowance, 0, 0, 0) == 0);
    pulse_allowance_spend(&allowance, MS, 5 * MS, 40 * MS);
    CHECK(pulse_allowance_wait(&allowance, 0, 5 * MS, 40 * MS) == 199 * MS);
    CHECK(pulse_allowance_wait(&allowance, 0, 250 * MS, 239 * MS - 199) == 199);
    CHECK(pulse_allowance_wait(&allowance, 0, 250 * MS, 239 * MS) == 0);
}

static void
check_credit(void)
{
    pulse_allowance allowance = {0};
    for (int i = 0; i < 4; i++) {
        CHECK(pulse_allowance_wait(&allowance, 4 * MS, 0, 0) == 0);
        pulse_allowance_spend(&allowance, MS, 0, 0);
    }
    pulse_allowance_spend(&allowance, MS, 0, 0);
    CHECK(pulse_allowance_wait(&allowance, 4 * MS, 0, 0) == 199 * MS);
    // What is not owed any more is not saved up.
    pulse_allowance_spend(&allowance, 5 * MS, 0, 10000 * MS);
    CHECK(pulse_allowance_wait(&allowance, 4 * MS, 0, 10000 * MS) == 199 * MS);
}

static void
check_work_that_hardly_computes(void)
{
    pulse_allowance allowance = {0};
    pulse_allowance_spend(&allowance, 200 * MS, 5 * MS, 40 * MS);
    CHECK(pulse_allowance_wait(&allowance, 0, 5 * MS, 40 * MS) == 500 * MS);
    CHECK(pulse_allowance_wait(&allowance, 0, 504 * MS, 41 * MS) == MS);
    CHECK(pulse_allowance_wait(&allowance, 0, 505 * MS, 41 * MS) == 0);
}

// Whatever is spent and whatever share of the processor the work has, no more is owed than the credit and what was spent last,
// unless the work hardly computes.
static void
check_many(void)
{
    uint64_t seed = 11, now = 0, cpu = 0, spent_at = 0, spent = 0, waits = 0;
    pulse_allowance allowance = {0};
    for (int i = 0; i < 20000; i++) {
        uint64_t step = random_number(&seed) % (5 * MS), credit = random_number(&seed) % (4 * MS);
        now += step;
        cpu += step / (1 + random_number(&seed) % 10);
        uint64_t wait = pulse_allowance_wait(&allowance, credit, now, cpu);
        CHECK(wait == 0 || now + wait <= spent_at + 500 * MS);
        CHECK(pulse_allowance_wait(&allowance, credit, now + wait, cpu + wait) == 0);
        waits += wait != 0;
        if (wait == 0) {
            spent = random_number(&seed) % MS;
            spent_at = now;
            pulse_allowance_spend(&allowance, spent, now, cpu);
        }
    }
    CHECK(waits > 1000 && 20000 - waits > 100);
}

int
main(void)
{
    check_the_share();
    check_credit();
    check_work_that_hardly_computes();
    check_many();
    return checks_report();
}
