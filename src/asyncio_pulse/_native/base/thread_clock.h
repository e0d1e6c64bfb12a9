// The CPU clock of the calling thread, for the few polls that need it.
//
// Ownership: none. Threads: any. Errors: none. No Python.h.
#ifndef PULSE_THREAD_CLOCK_H
#define PULSE_THREAD_CLOCK_H

#include "base/portable.h"

// CPU time of the calling thread, ns since it began. Costs a system call (about 200 ns): never on the hot path.
uint64_t pulse_thread_clock_ns(void);

// CPU time of all threads of the process, likewise.
uint64_t pulse_thread_clock_process_ns(void);

// Whose clock that is: "linux", "macos", "windows", or "fallback", which counts all time as CPU time.
extern const char *const pulse_thread_clock_platform;

#endif
