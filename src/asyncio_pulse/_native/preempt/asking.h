// What it may cost to ask the task that runs to give way, and how long it is not asked after that.
//
// Asking takes a hundredth of the asked one's CPU time, all included. After each request that came to nothing the next one waits
// twice as long. Kept by group, because tasks may be short. In the main thread, with the GIL.
#ifndef PULSE_ASKING_H
#define PULSE_ASKING_H

#include "preempt/segment.h"

// What is asked of an armed poll while it runs.
typedef struct {
    pulse_segment *segment;
    pulse_thread *thread;
    // When it should have been left.
    uint64_t due;
    // What the thread's CPU clock showed at the first boundary that was tried in vain, ns; 0 for none.
    uint64_t burst_began_ns;
    int boundaries_left;
} pulse_request;

// How long nothing may be asked of a group's tasks, ns.
uint64_t pulse_asking_wait_ns(const pulse_group *group);

// The first boundary was tried in vain; `is_hopeless` if the next ones would be, too.
void pulse_asking_begin_burst(pulse_request *request, bool is_hopeless);

// The request came to nothing. It may be over meanwhile; the group is of the coroutine that runs.
void pulse_asking_in_vain(pulse_request *request, pulse_group *group);

// It is about to be heard.
void pulse_asking_heard(pulse_request *request);

// Function of the module.
PyObject *pulse_asking_set_percent(PyObject *module, PyObject *percent);

#endif
