#include "base/diagnosis.h"

#include <stddef.h>

const char *const pulse_stall_class_names[PULSE_STALL_CLASSES] = {
    "unknown", "on-cpu", "blocked", "gil", "processor", "collecting", "spinning", "importing",
};

void
pulse_diagnosis_snapshot(pulse_os_snapshot *snapshot, uint64_t now_ns)
{
    snapshot->taken_ns = now_ns;
    snapshot->count = pulse_os_thread_read_all(snapshot->threads, PULSE_MOST_THREADS);
}

void
pulse_diagnosis_snapshot_runs(pulse_os_snapshot *snapshot, const pulse_os_snapshot *before, uint64_t now_ns)
{
    int count = before->count;
    snapshot->taken_ns = now_ns;
    snapshot->count = 0;
    for (int i = 0; i < count; i++) {
        pulse_os_thread *thread = &snapshot->threads[snapshot->count];
        *thread = before->threads[i];
        snapshot->count += pulse_os_thread_read_run_ns(thread->thread, &thread->run_ns);
    }
}

void
pulse_diagnosis_read_again(pulse_os_snapshot *snapshot, uint64_t thread)
{
    for (int i = 0; i < snapshot->count; i++) {
        if (snapshot->threads[i].thread == thread) {
            pulse_os_thread_read(thread, &snapshot->threads[i]);
        }
    }
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

bool
pulse_diagnosis_reading(const pulse_os_snapshot *snapshot, uint64_t thread, pulse_os_thread *reading)
{
    const pulse_os_thread *found = find(snapshot, thread);
    *reading = found == NULL ? (pulse_os_thread){0} : *found;
    return found != NULL;
}

bool
pulse_diagnosis_was_blocked(const pulse_os_thread *then, const pulse_os_thread *now, uint64_t window_ns,
                            uint64_t switch_interval_ns)
{
    uint64_t used = pulse_less(now->run_ns, then->run_ns) + pulse_less(now->queued_ns, then->queued_ns);
    return pulse_less(window_ns, used) * 2 > window_ns &&
           !pulse_diagnosis_waited_for_gil(then, now, window_ns, switch_interval_ns);
}

int
pulse_diagnosis_suspects(const pulse_os_snapshot *before, const pulse_os_snapshot *after,
                         const pulse_evidence *evidence, uint64_t suspects[PULSE_MOST_SUSPECTS])
{
    uint64_t least_ns = pulse_less(after->taken_ns, before->taken_ns) / 20, run_ns[PULSE_MOST_SUSPECTS];
    int count = 0;
    for (int i = 0; i < after->count; i++) {
        const pulse_os_thread *now = &after->threads[i];
        const pulse_os_thread *then = find(before, now->thread);
        uint64_t run = then == NULL ? 0 : pulse_less(now->run_ns, then->run_ns);
        if (run < least_ns || run == 0 || now->thread == evidence->thread || now->thread == evidence->watchdog) {
            continue;
        }
        int place = count < PULSE_MOST_SUSPECTS ? count++ : PULSE_MOST_SUSPECTS;
        for (; place > 0 && run > run_ns[place - 1]; place--) {
            if (place < PULSE_MOST_SUSPECTS) {
                run_ns[place] = run_ns[place - 1];
                suspects[place] = suspects[place - 1];
            }
        }
        if (place < PULSE_MOST_SUSPECTS) {
            run_ns[place] = run;
            suspects[place] = now->thread;
        }
    }
    return count;
}

// A thread that waits for the GIL wakes every switch interval to ask for it, and may share the time with the thread that
// holds it. A thread blocked in a call sleeps through.
static bool
sleeps_as_for_gil(uint64_t slept, uint64_t window, uint64_t wakes, uint64_t switch_interval_ns)
{
    return slept > window / 5 && wakes * switch_interval_ns * 2 >= slept;
}

bool
pulse_diagnosis_waited_for_gil(const pulse_os_thread *then, const pulse_os_thread *now, uint64_t window_ns,
                               uint64_t switch_interval_ns)
{
    uint64_t used = pulse_less(now->run_ns, then->run_ns) + pulse_less(now->queued_ns, then->queued_ns);
    return sleeps_as_for_gil(pulse_less(window_ns, used), window_ns, pulse_less(now->runs, then->runs),
                             switch_interval_ns);
}

bool
pulse_diagnosis_may_wait_for_gil(const pulse_os_snapshot *before, const pulse_evidence *evidence, uint64_t now_ns)
{
    const pulse_os_thread *then = find(before, evidence->thread);
    pulse_os_thread now;
    if (then == NULL || !pulse_os_thread_read(evidence->thread, &now)) {
        return true;
    }
    return pulse_diagnosis_waited_for_gil(then, &now, pulse_less(now_ns, before->taken_ns),
                                          evidence->switch_interval_ns);
}

pulse_stall_class
pulse_diagnose(const pulse_os_snapshot *before, const pulse_os_snapshot *after, const pulse_evidence *evidence)
{
    const pulse_os_thread *then = find(before, evidence->thread), *now = find(after, evidence->thread);
    uint64_t window = pulse_less(after->taken_ns, before->taken_ns);
    if (evidence->collecting) {
        return PULSE_STALL_COLLECTING;
    }
    if (then == NULL || now == NULL || window == 0) {
        return PULSE_STALL_UNKNOWN;
    }
    uint64_t run = pulse_less(now->run_ns, then->run_ns);
    uint64_t queued = pulse_less(now->queued_ns, then->queued_ns);
    uint64_t slept = pulse_less(window, run + queued);
    uint64_t wakes = pulse_less(now->runs, then->runs);
    // A blocking call may wake as often, but then the GIL is free.
    if (evidence->gil_kept && sleeps_as_for_gil(slept, window, wakes, evidence->switch_interval_ns)) {
        return PULSE_STALL_GIL;
    }
    if (run >= queued && run > window / 3) {
        return PULSE_STALL_ON_CPU;
    }
    return queued > window / 3 ? PULSE_STALL_PROCESSOR : PULSE_STALL_BLOCKED;
}
