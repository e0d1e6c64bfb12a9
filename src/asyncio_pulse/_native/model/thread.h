// One slot for each thread that has run a governed poll: what runs there now.
//
// Ownership: the state owns all slots. A slot is never freed before the module, so the watchdog may follow pointers without
// the GIL. Threads: the slot's own thread writes; other threads write only with the GIL. Atomic fields may be read
// anywhere, the others only with the GIL.
#ifndef PULSE_THREAD_H
#define PULSE_THREAD_H

#include "base/allowance.h"
#include "base/clock.h"
#include "base/off_cpu.h"
#include "model/samples.h"
#include "model/state.h"

enum { PULSE_PREEMPTION_TRIED_BY_DEFAULT = 1, PULSE_PREEMPTION_TRIED = 2 };

struct pulse_governed;
struct pulse_slices;

typedef struct pulse_thread {
    struct pulse_thread *next;
    // PyThreadState_GetID. Unlike addresses and thread identifiers, it is never reused.
    _Atomic(uint64_t) python_id;
    // Start of the innermost governed poll, 0 outside one. It also names the poll: no two begin at the same tick.
    _Atomic(uint64_t) poll_started;
    // Start of the outermost governed poll, which is a task's step. Valid while `poll_started` is not 0.
    _Atomic(uint64_t) step_started;
    // The stack of a poll older than this is worth a look: the shortest threshold of the loops that run here.
    _Atomic(uint64_t) sample_after_ticks;
    // When the collector began, 0 while it does not run.
    _Atomic(uint64_t) gc_started;
    // How long earlier collections took in all.
    pulse_counter collected_ticks;
    // Borrowed: a poll holds its coroutine until it ends.
    struct pulse_governed *current;
    // How often polls did not end last in, first out; see pulse_poll_untangle.
    uint64_t tangles;

    // Time used inside the innermost poll so far, by polls within it and by the collector.
    uint64_t nested_ticks;
    uint64_t nested_off_cpu_ticks;
    uint64_t gc_ticks;

    // The last reading of the CPU clock.
    uint64_t cpu_sampled_at;
    uint64_t cpu_sampled_ns;
    uint64_t cpu_samples;

    // What the system said of the thread at the end of the last slow poll that was off the CPU.
    pulse_off_cpu_reading off_cpu;
    // Limits what readings may cost.
    pulse_allowance off_cpu_allowance;

    // Samples of the poll that the watchdog last looked at.
    pulse_samples samples;
    // How many modules the interpreter had at the last check.
    Py_ssize_t modules;

    // The operating system's number of the thread, 0 where unknown. The watchdog reads it, with the GIL.
    uint64_t os_thread;

    // The stack slices on which polls run if they may be suspended in their middle; NULL if none may.
    struct pulse_slices *slices;
    // How often polls were suspended in their middle. The polls that enclosed such a poll ended with it.
    uint64_t suspensions;
    // Code of ours runs at the beginning or end of a special poll, such as Python code that decides, and not the program's.
    bool runs_ours;
    // Whether the thread tried to start preemption and failed, and for whom.
    uint8_t preemption_tried;

    // For checkpoints outside governed polls: the task whose time is taken, only to be compared, and the start of that
    // time.
    void *clocked_task;
    uint64_t clocked_since;
} pulse_thread;

// How long the collector has run so far in the threads of the state, ticks. May be called without the GIL.
uint64_t pulse_threads_collected(pulse_state *state);

// The slot of the calling thread; made if need be and if `create` is true. NULL with an exception on failure.
pulse_thread *pulse_thread_find(pulse_state *state, bool create);

// Read the CPU clock into the slot. Returns the ticks after the reading.
uint64_t pulse_thread_sample_cpu(pulse_thread *thread);

// Whether modules were imported since the last call for this thread. A poll that begins after some time calls it, too, so
// that earlier imports do not count as its own.
bool pulse_thread_modules_grew(pulse_thread *thread);

// A forked child has one thread. Forget the slots of the others, and this thread's number and clock from the parent.
void pulse_threads_after_fork(pulse_state *state);

int pulse_threads_traverse(pulse_state *state, visitproc visit, void *arg);
void pulse_threads_clear_samples(pulse_state *state);
void pulse_threads_free(pulse_state *state);

#endif
