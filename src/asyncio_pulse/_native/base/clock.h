// The tick clock: a cheap counter for every poll.
//
// Ownership: none. Threads: any, once pulse_clock_init has returned. Errors: none; an unavailable clock is replaced by the
// next best, and `reason` says why. No Python code runs.
#ifndef PULSE_CLOCK_H
#define PULSE_CLOCK_H

#include "base/portable.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define PULSE_HAS_TSC 1
#include <x86intrin.h>
#else
#define PULSE_HAS_TSC 0
#endif

typedef struct {
    const char *name;
    const char *reason;
    uint64_t frequency_hz;
    // Nanoseconds per tick, 32.32 fixed point.
    uint64_t ns_per_tick;
    // Ticks are shifted right by this many bits to make a histogram unit, which is then at least 4 ns at any frequency.
    unsigned histogram_shift;
    bool uses_tsc;
} pulse_clock;

// Describes the machine, not an interpreter. Written once, by pulse_clock_init; read-only afterwards.
extern pulse_clock pulse_the_clock;

// Choose and calibrate the clock, which takes about 2 ms; later calls return at once. `preference` is NULL, or "monotonic"
// to refuse the processor's counter.
void pulse_clock_init(const char *preference);

uint64_t pulse_clock_monotonic(void);

PULSE_INLINE uint64_t
pulse_clock_ticks(void)
{
#if PULSE_HAS_TSC
    if (PULSE_LIKELY(pulse_the_clock.uses_tsc)) {
        return __rdtsc();
    }
#endif
    return pulse_clock_monotonic();
}

static inline uint64_t
pulse_clock_to_ns(uint64_t ticks)
{
    // In two halves, because the product of two 64-bit numbers needs 128 bits, which not every compiler has.
    uint64_t high = (ticks >> 32) * pulse_the_clock.ns_per_tick;
    uint64_t low = ((ticks & UINT32_MAX) * (pulse_the_clock.ns_per_tick >> 32)) +
                   (((ticks & UINT32_MAX) * (pulse_the_clock.ns_per_tick & UINT32_MAX)) >> 32);
    return high + low;
}

// Saturates instead of wrapping, so that a limit too large to represent is never reached.
static inline uint64_t
pulse_clock_from_ns(uint64_t ns)
{
    double ticks = (double)ns * (double)pulse_the_clock.frequency_hz / 1e9;
    return ticks >= 9e18 ? UINT64_MAX : (uint64_t)ticks;
}

#endif
