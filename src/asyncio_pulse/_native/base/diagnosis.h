// What kept a thread from its loop: a verdict from two readings of all threads, taken a short while apart.
//
// No Python.h: tested with made-up readings.
#ifndef PULSE_DIAGNOSIS_H
#define PULSE_DIAGNOSIS_H

#include "base/os_thread.h"

typedef enum {
    PULSE_STALL_UNKNOWN,
    PULSE_STALL_ON_CPU,
    PULSE_STALL_BLOCKED,
    PULSE_STALL_GIL,
    PULSE_STALL_PROCESSOR,
    PULSE_STALL_COLLECTING,
    PULSE_STALL_SPINNING,
    PULSE_STALL_IMPORTING,
    PULSE_STALL_CLASSES,
} pulse_stall_class;

extern const char *const pulse_stall_class_names[PULSE_STALL_CLASSES];

enum { PULSE_MOST_THREADS = 256 };

typedef struct {
    pulse_os_thread threads[PULSE_MOST_THREADS];
    int count;
    uint64_t taken_ns;
} pulse_os_snapshot;

// The evidence beside the two readings.
typedef struct {
    // The stalled thread, and the watchdog's own.
    uint64_t thread;
    uint64_t watchdog;
    // The collector was running in the stalled thread.
    bool collecting;
    // Requests for the GIL between the readings had to wait.
    bool gil_kept;
    uint64_t switch_interval_ns;
} pulse_evidence;

enum { PULSE_MOST_SUSPECTS = 8 };

void pulse_diagnosis_snapshot(pulse_os_snapshot *snapshot, uint64_t now_ns);

// Take a snapshot in a twentieth of the time. It has the threads of an earlier one, which may be the same record, and only
// how long each has run. That is enough to find suspects. A thread to be diagnosed must be read again.
void pulse_diagnosis_snapshot_runs(pulse_os_snapshot *snapshot, const pulse_os_snapshot *before, uint64_t now_ns);
void pulse_diagnosis_read_again(pulse_os_snapshot *snapshot, uint64_t thread);

// Whether the thread of the evidence slept, since a reading, like a thread that waits for the GIL; true if this cannot be
// read. If false, there is no need to ask for the GIL, which would make that thread wait.
bool pulse_diagnosis_may_wait_for_gil(const pulse_os_snapshot *before, const pulse_evidence *evidence, uint64_t now_ns);

// Whether a thread slept between two readings like a thread that waits for the GIL.
bool pulse_diagnosis_waited_for_gil(const pulse_os_thread *then, const pulse_os_thread *now, uint64_t window_ns,
                                    uint64_t switch_interval_ns);

// Whether it slept for most of the time between two readings, and not like that.
bool pulse_diagnosis_was_blocked(const pulse_os_thread *then, const pulse_os_thread *now, uint64_t window_ns,
                                 uint64_t switch_interval_ns);

// Copy what a snapshot has of a thread. False if it has nothing.
bool pulse_diagnosis_reading(const pulse_os_snapshot *snapshot, uint64_t thread, pulse_os_thread *reading);

pulse_stall_class pulse_diagnose(const pulse_os_snapshot *before, const pulse_os_snapshot *after,
                                 const pulse_evidence *evidence);

// Find the other threads that ran between the readings and so may have held the GIL. Stores their numbers, the busiest
// first, and returns how many there are. They are only suspects: many threads compute without the GIL.
int pulse_diagnosis_suspects(const pulse_os_snapshot *before, const pulse_os_snapshot *after,
                             const pulse_evidence *evidence, uint64_t suspects[PULSE_MOST_SUSPECTS]);

#endif
