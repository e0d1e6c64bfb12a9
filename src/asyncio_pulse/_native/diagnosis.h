// What kept a thread from its loop: a verdict from two readings of all threads, a short while apart.
//
// No Python.h: tested with made-up readings.
#ifndef PULSE_DIAGNOSIS_H
#define PULSE_DIAGNOSIS_H

#include "os_thread.h"

typedef enum {
    PULSE_STALL_UNKNOWN,
    PULSE_STALL_ON_CPU,
    PULSE_STALL_BLOCKED,
    PULSE_STALL_GIL,
    PULSE_STALL_PROCESSOR,
    PULSE_STALL_COLLECTING,
    PULSE_STALL_SPINNING,
    PULSE_STALL_CLASSES,
} pulse_stall_class;

extern const char *const pulse_stall_class_names[PULSE_STALL_CLASSES];

enum { PULSE_MOST_THREADS = 256 };

typedef struct {
    pulse_os_thread threads[PULSE_MOST_THREADS];
    int count;
    uint64_t taken_ns;
} pulse_os_snapshot;

typedef struct {
    pulse_stall_class stall_class;
    // The thread that had the GIL instead, 0 if that is not the class.
    uint64_t culprit;
} pulse_diagnosis;

void pulse_diagnosis_snapshot(pulse_os_snapshot *snapshot, uint64_t now_ns);

// `thread` is the stalled one; `collecting` says that it was in the garbage collector.
pulse_diagnosis pulse_diagnose(const pulse_os_snapshot *before, const pulse_os_snapshot *after, uint64_t thread,
                               bool collecting);

#endif
