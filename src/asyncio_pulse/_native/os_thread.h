// What the operating system tells of one thread: time on the CPU, time waiting for one, how often it gave way.
//
// No Python.h, no GIL. Linux reads /proc; elsewhere nothing is known, and whoever asks must do without.
#ifndef PULSE_OS_THREAD_H
#define PULSE_OS_THREAD_H

#include "portable.h"

typedef struct {
    uint64_t thread;
    uint64_t run_ns;
    // Runnable, but not running: somebody else had the processor.
    uint64_t queued_ns;
    uint64_t voluntary_switches;
} pulse_os_thread;

// Number of the calling thread, 0 where unknown.
uint64_t pulse_os_thread_self(void);

// Read one thread of this process; false if it cannot be had.
bool pulse_os_thread_read(uint64_t thread, pulse_os_thread *out);

// Read all threads of this process, `most` of them at the most; how many there are.
int pulse_os_thread_read_all(pulse_os_thread *out, int most);

#endif
