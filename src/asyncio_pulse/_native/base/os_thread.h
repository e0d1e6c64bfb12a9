// What the operating system tells of one thread: time on the CPU, time waiting for one, how often it got one.
//
// No Python.h, no GIL. Linux reads /proc; elsewhere nothing is known, and whoever asks must do without.
#ifndef PULSE_OS_THREAD_H
#define PULSE_OS_THREAD_H

#include "base/portable.h"

typedef struct {
    uint64_t thread;
    uint64_t run_ns;
    // Runnable, but not running: somebody else had the processor.
    uint64_t queued_ns;
    // How often it was put on a processor.
    uint64_t runs;
} pulse_os_thread;

// Number of the calling thread, 0 where unknown.
uint64_t pulse_os_thread_self(void);

// Read one thread of this process; false if it cannot be had.
bool pulse_os_thread_read(uint64_t thread, pulse_os_thread *out);

// Read how long a thread of this process has run, in a twentieth of the time; false if that cannot be had.
bool pulse_os_thread_read_run_ns(uint64_t thread, uint64_t *run_ns);

// Whether a thread of this process sleeps: it neither runs nor waits for a processor. False if that cannot be had.
bool pulse_os_thread_sleeps(uint64_t thread);

// Let so much time pass.
void pulse_os_thread_pause_us(uint64_t us);

// Read all threads of this process, `most` of them at the most; how many there are.
int pulse_os_thread_read_all(pulse_os_thread *out, int most);

#endif
