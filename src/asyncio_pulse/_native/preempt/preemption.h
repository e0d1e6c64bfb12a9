// What of preemption belongs to the process: its signal, when it starts and stops, and forks.
//
// Signals have one handler, which runs in one thread. Needs the GIL.
#ifndef PULSE_PREEMPTION_H
#define PULSE_PREEMPTION_H

#include "model/aim.h"
#include "preempt/asking.h"

typedef struct {
    // NULL while nothing is preempted.
    pulse_state *state;
    unsigned long main_thread;
    int signal_number;
    // signal.getsignal, and the handler that it must return.
    PyObject *getsignal;
    PyObject *handler;
    // To the poll that runs in the main thread.
    pulse_request request;
    // At a fork: whether the signal thread ran, and when the poll under way was due, if it had a deadline of its own.
    bool was_running_at_fork;
    uint64_t deadline_at_fork;
} pulse_preemption_process;

extern pulse_preemption_process pulse_the_preemption;

// A poll took longer than it should. If requests were not heard, the program may have taken over the signal: then send no more.
void pulse_preemption_check_heard(pulse_state *state);

// Whether a step was asked. The end of a plain poll that runs on a slice must then be told.
PULSE_INLINE bool
pulse_preemption_is_asked(void)
{
    return atomic_load_explicit(&pulse_the_aim.asked, memory_order_relaxed) != PULSE_NOT_ASKED;
}

// Whether it was asked, and whether that was heard. Afterwards it counts as not asked.
int pulse_preemption_take_asked(void);

// That poll has ended, or was suspended: nothing of the request remains. Keeps an exception.
void pulse_preemption_end_step(void);

// In a forked child.
void pulse_preemption_after_fork(void);

// In the parent, after the fork: send signals again, if they were sent before.
void pulse_preemption_go_on(pulse_state *state);

// Functions of the module.
PyObject *pulse_preemption_start(PyObject *module, PyObject *arguments);
PyObject *pulse_preemption_stop(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_suspend(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_list(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_unwind(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_set_starter(PyObject *module, PyObject *starter);
PyObject *pulse_preemption_refusal(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_facts(PyObject *module, PyObject *ignored);

#endif
