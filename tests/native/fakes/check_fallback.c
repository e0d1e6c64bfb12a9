#include <stdio.h>

#include "base/clock.h"
#include "base/thread_clock.h"

pulse_clock pulse_the_clock = {.ns_per_tick = 2ull << 32};

uint64_t
pulse_clock_monotonic(void)
{
    return 21;
}

int
main(void)
{
    printf("%s\n", pulse_thread_clock_platform);
    return pulse_thread_clock_ns() != 42;
}
