// What kept a thread from its loop: a verdict from two readings of all threads, a short while apart.
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

// What a diagnosis goes by beside the two readings.
typedef struct {
    // The stalled thread, and the one that looks.
    uint64_t thread;
    uint64_t watchdog;
    // The collector ran in the stalled thread.
    bool collecting;
    // Who asked for the GIL meanwhile had to wait for it.
    bool gil_kept;
    uint64_t switch_interval_ns;
} pulse_evidence;

enum { PULSE_MOST_SUSPECTS = 8 };

void pulse_diagnosis_snapshot(pulse_os_snapshot *snapshot, uint64_t now_ns);

// A second snapshot in a twentieth of the time, to be taken with the GIL: of the threads that the first one has, and only how
// long each has run. That does for suspects; read a thread again that is to be diagnosed.
void pulse_diagnosis_snapshot_runs(pulse_os_snapshot *snapshot, const pulse_os_snapshot *before, uint64_t now_ns);
void pulse_diagnosis_read_again(pulse_os_snapshot *snapshot, uint64_t thread);

// Whether the thread of the evidence slept since a reading as one does that waits for the GIL; true where that cannot be had.
// Else there is no need to ask for the GIL meanwhile, which would make the thread wait.
bool pulse_diagnosis_may_wait_for_gil(const pulse_os_snapshot *before, const pulse_evidence *evidence, uint64_t now_ns);

pulse_stall_class pulse_diagnose(const pulse_os_snapshot *before, const pulse_os_snapshot *after,
                                 const pulse_evidence *evidence);

// The other threads that ran between the readings, and so may have had the GIL: their numbers, the busiest first, and how
// many there are. Many a thread computes without the GIL.
int pulse_diagnosis_suspects(const pulse_os_snapshot *before, const pulse_os_snapshot *after, const pulse_evidence *evidence,
                             uint64_t suspects[PULSE_MOST_SUSPECTS]);

#endif
