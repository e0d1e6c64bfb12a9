// The class of a stall, and who may have had the GIL, from made-up readings.
#include "base/diagnosis.h"
#include "checks.h"

#define MS 1000000ull

enum { LOOP = 10, WATCHDOG = 11, FIRST = 20, SECOND = 21, WINDOW_MS = 30 };

static pulse_os_snapshot before, after;

static void
begin(void)
{
    before = (pulse_os_snapshot){.count = 4, .taken_ns = 900 * MS};
    after = (pulse_os_snapshot){.count = 4, .taken_ns = (900 + WINDOW_MS) * MS};
    uint64_t threads[] = {LOOP, WATCHDOG, FIRST, SECOND};
    for (int i = 0; i < 4; i++) {
        before.threads[i] = after.threads[i] = (pulse_os_thread){threads[i], 70 * MS, 5 * MS, 300};
    }
}

static void
spend(int place, uint64_t run_ms, uint64_t queued_ms, uint64_t wakes)
{
    after.threads[place].run_ns += run_ms * MS;
    after.threads[place].queued_ns += queued_ms * MS;
    after.threads[place].runs += wakes;
}

static pulse_stall_class
diagnose(bool gil_kept)
{
    pulse_evidence evidence = {
        .thread = LOOP, .watchdog = WATCHDOG, .gil_kept = gil_kept, .switch_interval_ns = 5 * MS};
    return pulse_diagnose(&before, &after, &evidence);
}

static void
check_what_the_thread_did(void)
{
    begin();
    CHECK(diagnose(false) == PULSE_STALL_BLOCKED);
    spend(0, 29, 0, 3);
    CHECK(diagnose(false) == PULSE_STALL_ON_CPU);
    // It has the GIL itself, and is asked for it.
    CHECK(diagnose(true) == PULSE_STALL_ON_CPU);
    begin();
    spend(0, 2, 27, 0);
    CHECK(diagnose(false) == PULSE_STALL_PROCESSOR);
    CHECK(diagnose(true) == PULSE_STALL_PROCESSOR);
}

static bool
was_blocked(uint64_t run_ms, uint64_t queued_ms, uint64_t wakes)
{
    pulse_os_thread then, now;
    begin();
    spend(0, run_ms, queued_ms, wakes);
    CHECK(pulse_diagnosis_reading(&before, LOOP, &then) && pulse_diagnosis_reading(&after, LOOP, &now));
    return pulse_diagnosis_was_blocked(&then, &now, WINDOW_MS * MS, 5 * MS);
}

static void
check_what_it_did_for_most_of_the_time(void)
{
    pulse_os_thread none;
    CHECK(was_blocked(1, 0, 1));
    CHECK(was_blocked(14, 0, 1));
    CHECK(!was_blocked(16, 0, 1));
    CHECK(!was_blocked(1, 27, 1));
    // As a thread that waits for the GIL.
    CHECK(!was_blocked(1, 0, 6));
    CHECK(!pulse_diagnosis_reading(&before, 99, &none));
}

static void
check_lack_of_the_gil(void)
{
    begin();
    spend(0, 1, 0, 6);
    CHECK(diagnose(true) == PULSE_STALL_GIL);
    // The same with a GIL that is free is a call that wakes as often, whatever other threads compute.
    spend(2, 30, 0, 0);
    CHECK(diagnose(false) == PULSE_STALL_BLOCKED);
    // Who sleeps through does not want it.
    begin();
    spend(0, 0, 0, 1);
    CHECK(diagnose(true) == PULSE_STALL_BLOCKED);
    // Half the time is a share, too.
    begin();
    spend(0, 15, 0, 8);
    CHECK(diagnose(true) == PULSE_STALL_GIL);
}

static void
check_suspects(void)
{
    uint64_t suspects[PULSE_MOST_SUSPECTS];
    pulse_evidence evidence = {.thread = LOOP, .watchdog = WATCHDOG};
    begin();
    spend(0, 20, 0, 0);
    spend(1, 20, 0, 0);
    CHECK(pulse_diagnosis_suspects(&before, &after, &evidence, suspects) == 0);
    spend(2, 5, 0, 0);
    spend(3, 25, 0, 0);
    CHECK(pulse_diagnosis_suspects(&before, &after, &evidence, suspects) == 2);
    CHECK(suspects[0] == SECOND && suspects[1] == FIRST);
}

static void
check_more_suspects_than_are_kept(void)
{
    uint64_t suspects[PULSE_MOST_SUSPECTS];
    pulse_evidence evidence = {.thread = LOOP, .watchdog = WATCHDOG};
    begin();
    before.count = after.count = 40;
    for (int i = 4; i < 40; i++) {
        before.threads[i] = after.threads[i] = (pulse_os_thread){.thread = 100 + (uint64_t)i};
        spend(i, 2 + (uint64_t)(i * 7 % 36), 0, 0);
    }
    CHECK(pulse_diagnosis_suspects(&before, &after, &evidence, suspects) == PULSE_MOST_SUSPECTS);
    for (int i = 0; i < PULSE_MOST_SUSPECTS; i++) {
        CHECK(after.threads[suspects[i] - 100].run_ns == (uint64_t)(37 - i) * MS);
    }
}

// Of this process, which has one thread.
static void
check_a_second_reading(void)
{
    if (pulse_os_thread_self() == 0) {
        return;
    }
    uint64_t self = pulse_os_thread_self(), missing = 1;
    pulse_diagnosis_snapshot(&before, 1);
    CHECK(before.count == 1 && before.threads[0].thread == self);
    before.threads[before.count++] = (pulse_os_thread){.thread = missing};
    for (volatile int i = 0; i < 3000000; i++) {
    }
    pulse_diagnosis_snapshot_runs(&after, &before, 2);
    CHECK(after.count == 1 && after.taken_ns == 2);
    uint64_t run_ns = after.threads[0].run_ns;
    CHECK(after.threads[0].thread == self && run_ns > before.threads[0].run_ns &&
          run_ns < before.threads[0].run_ns + 1000 * MS);
    CHECK(after.threads[0].runs == before.threads[0].runs);
    after.threads[0].runs = 0;
    pulse_diagnosis_read_again(&after, missing);
    CHECK(after.threads[0].runs == 0);
    pulse_diagnosis_read_again(&after, self);
    CHECK(after.threads[0].runs >= before.threads[0].runs && after.threads[0].runs > 0);
    CHECK(after.threads[0].run_ns + MS > run_ns);
}

// Of this thread, which only computes; its past is made up.
static void
check_who_may_wait_for_the_gil(void)
{
    pulse_evidence evidence = {.thread = pulse_os_thread_self(), .switch_interval_ns = 50 * MS};
    pulse_diagnosis_snapshot(&before, 1000 * MS);
    if (before.count == 0) {
        return;
    }
    // It has computed since its beginning, which may be long ago, and woke at least once.
    uint64_t run = before.threads[0].run_ns, beginning = 1000 * MS;
    before.threads[0].run_ns = 0;
    CHECK(!pulse_diagnosis_may_wait_for_gil(&before, &evidence, beginning + run));
    CHECK(!pulse_diagnosis_may_wait_for_gil(&before, &evidence, beginning + 100 * run + 900 * MS));
    before.threads[0].runs = 0;
    CHECK(!pulse_diagnosis_may_wait_for_gil(&before, &evidence, beginning + run));
    CHECK(pulse_diagnosis_may_wait_for_gil(&before, &evidence, beginning + 2 * run + 5 * MS));
    evidence.thread = 1;
    CHECK(pulse_diagnosis_may_wait_for_gil(&before, &evidence, beginning + run));
}

int
main(void)
{
    check_a_second_reading();
    check_what_the_thread_did();
    check_what_it_did_for_most_of_the_time();
    check_lack_of_the_gil();
    check_who_may_wait_for_the_gil();
    for (int i = 0; i < 250; i++) {
        check_suspects();
        check_more_suspects_than_are_kept();
    }
    return checks_report();
}
