// What the operating system knows of one thread: its time on the CPU, its time waiting for one, and its number of runs.
//
// No Python.h, no GIL. Linux provides this through /proc and CPU clocks. Elsewhere nothing is known, and callers must do
// without.
#ifndef PULSE_OS_THREAD_H
#define PULSE_OS_THREAD_H

#include "base/portable.h"

typedef struct {
    uint64_t thread;
    uint64_t run_ns;
    // Runnable, but not running: the processor was taken by something else.
    uint64_t queued_ns;
    // How often the thread was put on a processor.
    uint64_t runs;
} pulse_os_thread;

// The system's number of the calling thread, 0 where unknown.
uint64_t pulse_os_thread_self(void);

// Read one thread of this process; false if it cannot be read.
bool pulse_os_thread_read(uint64_t thread, pulse_os_thread *out);

// Read only how long a thread of this process has run, in a twentieth of the time; false if it cannot be read.
bool pulse_os_thread_read_run_ns(uint64_t thread, uint64_t *run_ns);

// Whether a thread of this process sleeps: it neither runs nor waits for a processor. False if this cannot be read.
bool pulse_os_thread_sleeps(uint64_t thread);

// Pause the calling thread. Returns at once where threads cannot be read.
void pulse_os_thread_pause_us(uint64_t us);

// Read at most `most` threads of this process. Returns how many were read.
int pulse_os_thread_read_all(pulse_os_thread *out, int most);

#endif
