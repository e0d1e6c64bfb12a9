// A log-linear histogram of durations: eight buckets to an octave, 2 KiB.
//
// Source of the layout: HdrHistogram, Gil Tene, 2012. The caller chooses the unit. Values of 2^34 units or more fall into
// the last bucket. No Python.h. One writer; readers on any thread.
#ifndef PULSE_HISTOGRAM_H
#define PULSE_HISTOGRAM_H

#include "base/portable.h"

enum {
    PULSE_HISTOGRAM_SUB_BITS = 3,
    PULSE_HISTOGRAM_BUCKETS = 256,
};

typedef struct {
    pulse_counter counts[PULSE_HISTOGRAM_BUCKETS];
} pulse_histogram;

PULSE_INLINE unsigned
pulse_histogram_index(uint64_t value)
{
    if (value < (1u << PULSE_HISTOGRAM_SUB_BITS)) {
        return (unsigned)value;
    }
    unsigned octave = pulse_highest_bit(value) - PULSE_HISTOGRAM_SUB_BITS;
    unsigned index = ((octave + 1) << PULSE_HISTOGRAM_SUB_BITS) + ((unsigned)(value >> octave) & 7u);
    return index < PULSE_HISTOGRAM_BUCKETS ? index : PULSE_HISTOGRAM_BUCKETS - 1;
}

// The largest value of a bucket. The last bucket has no upper end; it is treated as if it were as wide as its neighbours.
static inline uint64_t
pulse_histogram_upper(unsigned index)
{
    if (index < (1u << PULSE_HISTOGRAM_SUB_BITS)) {
        return index;
    }
    unsigned octave = (index >> PULSE_HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)((index & 7u) + 9u) << octave) - 1;
}

PULSE_INLINE void
pulse_histogram_record(pulse_histogram *histogram, uint64_t value)
{
    pulse_counter_add(&histogram->counts[pulse_histogram_index(value)], 1);
}

#endif
