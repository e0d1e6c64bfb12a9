// The Python-free parts of the core as a shared object, for the property tests to call.
#include "base/totals.h"
#include "base/histogram.h"

unsigned
histogram_index(uint64_t value)
{
    return pulse_histogram_index(value);
}

uint64_t
histogram_upper(unsigned index)
{
    return pulse_histogram_upper(index);
}

pulse_verdict
totals_judge(const pulse_usage *usage, uint64_t budget, uint64_t slow_threshold)
{
    return pulse_totals_judge(usage, budget, slow_threshold);
}
