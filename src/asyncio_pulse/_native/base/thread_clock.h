// The CPU clock of the calling thread, for the few polls that need it.
//
// Ownership: none. Threads: any. Errors: none. No Python.h.
#ifndef PULSE_THREAD_CLOCK_H
#define PULSE_THREAD_CLOCK_H

#include "base/portable.h"

// CPU time of the calling thread since it began, ns. Costs a system call (about 200 ns), so it is never on the hot path.
uint64_t pulse_thread_clock_ns(void);

// The same for all threads of the process together.
uint64_t pulse_thread_clock_process_ns(void);

// The platform of these clocks: "linux", "macos", "windows", or "fallback", which counts all time as CPU time.
extern const char *const pulse_thread_clock_platform;

#endif
