// The differences between C compilers, for files that must not know Python.
#ifndef PULSE_PORTABLE_H
#define PULSE_PORTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define PULSE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define PULSE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define PULSE_INLINE static inline __attribute__((always_inline))
#define PULSE_NOINLINE __attribute__((noinline))
#define PULSE_PREFETCH(address) __builtin_prefetch((address), 1)
// An address in the frame of the function that uses it.
#define PULSE_STACK_HERE() ((char *)__builtin_frame_address(0))
static inline unsigned
pulse_highest_bit(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}
#else
#include <intrin.h>
#define PULSE_LIKELY(condition) (condition)
#define PULSE_UNLIKELY(condition) (condition)
#define PULSE_INLINE static __forceinline
#define PULSE_NOINLINE __declspec(noinline)
#define PULSE_PREFETCH(address) ((void)(address))
#define PULSE_STACK_HERE() ((char *)_AddressOfReturnAddress())
static inline unsigned
pulse_highest_bit(uint64_t value)
{
    unsigned long index;
    _BitScanReverse64(&index, value);
    return (unsigned)index;
}
#endif

static inline uint64_t
pulse_less(uint64_t from, uint64_t amount)
{
    return from > amount ? from - amount : 0;
}

// A counter with one writer and any number of readers. The writer needs no locked instruction: a relaxed load and a
// relaxed store compile to plain moves, and a reader never sees half a value.
typedef _Atomic(uint64_t) pulse_counter;

static inline uint64_t
pulse_counter_read(const pulse_counter *counter)
{
    return atomic_load_explicit((pulse_counter *)counter, memory_order_relaxed);
}

static inline void
pulse_counter_set(pulse_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline void
pulse_counter_add(pulse_counter *counter, uint64_t amount)
{
    pulse_counter_set(counter, pulse_counter_read(counter) + amount);
}

#endif
