// Chaos: random interventions, for tests. A governor under chaos intervenes at any tier, driven by a seeded generator.
#ifndef PULSE_CHAOS_H
#define PULSE_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
    // Probabilities, out of 2^32.
    uint32_t park;
    uint32_t preempt;
} pulse_chaos;

// SplitMix64, Steele, Lea and Flood 2014.
static inline uint64_t
pulse_chaos_next(pulse_chaos *chaos)
{
    uint64_t mixed = chaos->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static inline bool
pulse_chaos_strikes(pulse_chaos *chaos, uint32_t probability)
{
    return probability != 0 && (uint32_t)(pulse_chaos_next(chaos) >> 32) < probability;
}

#endif
