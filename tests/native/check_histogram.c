// The histogram: where a value falls, and what the bucket says about it.
#include "base/histogram.h"
#include "checks.h"

static const uint64_t LIMIT = UINT64_C(1) << 34;

static void
check_value(uint64_t value)
{
    unsigned index = pulse_histogram_index(value);
    CHECK(index < PULSE_HISTOGRAM_BUCKETS);
    if (value >= LIMIT) {
        CHECK(index == PULSE_HISTOGRAM_BUCKETS - 1);
        return;
    }
    uint64_t upper = pulse_histogram_upper(index);
    CHECK(upper >= value);
    CHECK(upper - value <= value / 8);
    CHECK(index == 0 || pulse_histogram_upper(index - 1) < value);
}

static void
check_buckets_follow_one_another(void)
{
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        CHECK(pulse_histogram_index(pulse_histogram_upper(i)) == i);
        if (i + 1 < PULSE_HISTOGRAM_BUCKETS) {
            CHECK(pulse_histogram_index(pulse_histogram_upper(i) + 1) == i + 1);
        }
    }
    CHECK(pulse_histogram_upper(PULSE_HISTOGRAM_BUCKETS - 1) == LIMIT - 1);
}

static void
check_recording(void)
{
    static pulse_histogram histogram;
    uint64_t seed = 1;
    unsigned long recorded = 100000, found = 0;
    for (unsigned long i = 0; i < recorded; i++) {
        uint64_t value = random_number(&seed);
        uint64_t before = pulse_counter_read(&histogram.counts[pulse_histogram_index(value)]);
        pulse_histogram_record(&histogram, value);
        CHECK(pulse_counter_read(&histogram.counts[pulse_histogram_index(value)]) == before + 1);
    }
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        found += pulse_counter_read(&histogram.counts[i]);
    }
    CHECK(found == recorded);
}

int
main(void)
{
    check_buckets_follow_one_another();
    for (uint64_t value = 0; value < 100000; value++) {
        check_value(value);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = UINT64_C(1) << bit;
        check_value(power - 1);
        check_value(power);
        check_value(power + 1);
    }
    check_value(UINT64_MAX);
    uint64_t seed = 2;
    for (int i = 0; i < 1000000; i++) {
        check_value(random_number(&seed));
    }
    check_recording();
    return checks_report();
}
