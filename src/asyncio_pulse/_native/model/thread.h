// One slot for each thread that has run a governed poll: what runs there now.
//
// Ownership: the state owns all slots; a slot is never freed before the module, so the watchdog may follow pointers
// without the GIL. Threads: the slot's own thread writes; `poll_started` may be read anywhere, the rest with the GIL.
#ifndef PULSE_THREAD_H
#define PULSE_THREAD_H

#include "base/clock.h"
#include "base/off_cpu.h"
#include "model/samples.h"
#include "model/state.h"

struct pulse_governed;

typedef struct pulse_thread {
    struct pulse_thread *next;
    // PyThreadState_GetID: never used twice, unlike addresses and thread identifiers.
    _Atomic(uint64_t) python_id;
    // Start of the innermost governed poll, 0 outside one. It names the poll, too: no two begin at the same tick.
    _Atomic(uint64_t) poll_started;
    // A poll older than this is worth a look at its stack: the shortest threshold of the loops that run here.
    _Atomic(uint64_t) sample_after_ticks;
    // When the collector began, 0 while it does not run.
    _Atomic(uint64_t) gc_started;
    // How long it has run in all, up to then.
    pulse_counter collected_ticks;
    // Borrowed: a poll that has not ended holds its coroutine.
    struct pulse_governed *current;
    // How often polls did not end last-in first-out; see pulse_poll_untangle.
    uint64_t tangles;

    // Used inside the innermost poll so far, by polls within it and by the collector.
    uint64_t nested_ticks;
    uint64_t nested_off_cpu_ticks;
    uint64_t gc_ticks;

    // The last reading of the CPU clock.
    uint64_t cpu_sampled_at;
    uint64_t cpu_sampled_ns;
    uint64_t cpu_samples;

    // What the system told of the thread at the end of the last slow poll that was off the CPU.
    pulse_off_cpu_reading off_cpu;

    // What the watchdog saw of the poll that it last looked at.
    pulse_samples samples;
    // How many modules the interpreter had when last asked.
    Py_ssize_t modules;

    // The operating system's number of the thread, 0 where unknown. Read by the watchdog, with the GIL.
    uint64_t os_thread;

    // The thread has asked to start preemption in vain: only the main one can.
    bool preemption_waits;

    // The task, only to be compared, whose time at checkpoints outside governed polls is taken, and since when.
    void *clocked_task;
    uint64_t clocked_since;
} pulse_thread;

// How long the collector has run so far in threads of the state, by now, in ticks. May be called without the GIL.
uint64_t pulse_threads_collected(pulse_state *state);

// The slot of the calling thread; NULL with an exception on failure. `create` says whether to make one.
pulse_thread *pulse_thread_find(pulse_state *state, bool create);

// Read the CPU clock into the slot. Returns the ticks after the reading.
uint64_t pulse_thread_sample_cpu(pulse_thread *thread);

// Whether modules were imported since this was last asked in that thread, as polls do when they begin after some time.
bool pulse_thread_modules_grew(pulse_thread *thread);

// The forked child has one thread: forget the slots of the others, and the number and the clock that it had in the parent.
void pulse_threads_after_fork(pulse_state *state);

int pulse_threads_traverse(pulse_state *state, visitproc visit, void *arg);
void pulse_threads_clear_samples(pulse_state *state);
void pulse_threads_free(pulse_state *state);

#endif
