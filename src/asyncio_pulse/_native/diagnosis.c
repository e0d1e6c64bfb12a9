#include "diagnosis.h"

#include <stddef.h>

const char *const pulse_stall_class_names[PULSE_STALL_CLASSES] = {
    "unknown", "on-cpu", "blocked", "gil", "processor", "collecting", "spinning",
};

void
pulse_diagnosis_snapshot(pulse_os_snapshot *snapshot, uint64_t now_ns)
{
    snapshot->taken_ns = now_ns;
    snapshot->count = pulse_os_thread_read_all(snapshot->threads, PULSE_MOST_THREADS);
}

static const pulse_os_thread *
find(const pulse_os_snapshot *snapshot, uint64_t thread)
{
    for (int i = 0; i < snapshot->count; i++) {
        if (snapshot->threads[i].thread == thread) {
            return &snapshot->threads[i];
        }
    }
    return NULL;
}

// The other thread that ran most between the readings, and for how long.
static uint64_t
busiest_other(const pulse_os_snapshot *before, const pulse_os_snapshot *after, uint64_t thread, uint64_t *run_ns)
{
    uint64_t busiest = 0;
    *run_ns = 0;
    for (int i = 0; i < after->count; i++) {
        const pulse_os_thread *now = &after->threads[i];
        const pulse_os_thread *then = find(before, now->thread);
        if (now->thread != thread && then != NULL && now->run_ns - then->run_ns > *run_ns) {
            *run_ns = now->run_ns - then->run_ns;
            busiest = now->thread;
        }
    }
    return busiest;
}

pulse_diagnosis
pulse_diagnose(const pulse_os_snapshot *before, const pulse_os_snapshot *after, uint64_t thread, bool collecting)
{
    const pulse_os_thread *then = find(before, thread), *now = find(after, thread);
    uint64_t window = after->taken_ns - before->taken_ns;
    if (collecting) {
        return (pulse_diagnosis){PULSE_STALL_COLLECTING, 0};
    }
    if (then == NULL || now == NULL || window == 0) {
        return (pulse_diagnosis){PULSE_STALL_UNKNOWN, 0};
    }
    uint64_t run = now->run_ns - then->run_ns;
    uint64_t queued = now->queued_ns - then->queued_ns;
    uint64_t switches = now->voluntary_switches - then->voluntary_switches;
    uint64_t other_run;
    uint64_t other = busiest_other(before, after, thread, &other_run);
    // Who waits for the GIL wakes every 5 ms to ask for it, and shares the time with the thread that has it; who is blocked
    // in a call sleeps through. Seen in one second: 284 voluntary switches, half the CPU time.
    if (other_run > window / 4 && run < window * 4 / 5 && switches > 0) {
        return (pulse_diagnosis){PULSE_STALL_GIL, other};
    }
    if (run >= queued && run > window / 3) {
        return (pulse_diagnosis){PULSE_STALL_ON_CPU, 0};
    }
    if (queued > window / 3) {
        return (pulse_diagnosis){PULSE_STALL_PROCESSOR, 0};
    }
    return (pulse_diagnosis){PULSE_STALL_BLOCKED, 0};
}
