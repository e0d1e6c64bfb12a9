// Why a slow poll was off the CPU: because it blocked, or because it lacked the GIL or a processor.
//
// Asked only at the end of a slow poll that was mostly off the CPU: what the system tells of the thread since it was last
// asked. That was before the poll, so time without a processor is never taken for too short, and where the evidence is weak
// the poll is not called blocked. No Python.h.
#ifndef PULSE_OFF_CPU_H
#define PULSE_OFF_CPU_H

#include "base/os_thread.h"

// What was read when the thread was last asked; zeros before.
typedef struct {
    uint64_t queued_ns;
    uint64_t voluntary_switches;
    // CPU time of the other threads of the process.
    uint64_t others_run_ns;
} pulse_off_cpu_reading;

// Read the calling thread, whose CPU time is `thread_run_ns`. False where the system does not tell.
bool pulse_off_cpu_read(uint64_t thread_run_ns, pulse_off_cpu_reading *now);

// How long the thread was blocked between two readings, of the `off_cpu_ns` that a poll between them was off the CPU.
uint64_t pulse_off_cpu_blocked_ns(const pulse_off_cpu_reading *before, const pulse_off_cpu_reading *now, uint64_t off_cpu_ns,
                                  uint64_t switch_interval_ns);

#endif
