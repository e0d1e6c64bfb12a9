// Why a slow poll was off the CPU: it blocked, or it lacked the GIL or a processor.
//
// Asked only at the end of a slow poll that was mostly off the CPU. The answer compares what the system says of the thread
// now with an earlier reading. The earlier reading predates the poll, so the time without a processor is never
// underestimated. Where the evidence is weak, the poll is not called blocked. No Python.h.
#ifndef PULSE_OFF_CPU_H
#define PULSE_OFF_CPU_H

#include "base/os_thread.h"

// One reading of a thread; all zeros before the first.
typedef struct {
    uint64_t queued_ns;
    uint64_t voluntary_switches;
    // CPU time of the other threads of the process.
    uint64_t others_run_ns;
} pulse_off_cpu_reading;

// Read the calling thread, whose CPU time is `thread_run_ns`. False where the system does not provide this.
bool pulse_off_cpu_read(uint64_t thread_run_ns, pulse_off_cpu_reading *now);

// Of the `off_cpu_ns` that a poll spent off the CPU, return how long the thread was blocked. The poll lies between the two
// readings.
uint64_t pulse_off_cpu_blocked_ns(const pulse_off_cpu_reading *before, const pulse_off_cpu_reading *now,
                                  uint64_t off_cpu_ns, uint64_t switch_interval_ns);

#endif
