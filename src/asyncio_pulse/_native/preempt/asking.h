// Limits what it may cost to ask the running task to yield, and how long the task is left alone afterwards.
//
// Asking takes a hundredth of the CPU time of the task that is asked, everything included. After each request that came to
// nothing, the next one waits twice as long. This is kept by group, because tasks may be short. In the main thread, with
// the GIL.
#ifndef PULSE_ASKING_H
#define PULSE_ASKING_H

#include "model/governed.h"

// A request to a poll while it runs.
typedef struct {
    // The start of the poll, which names it; 0 for none.
    uint64_t poll;
    // When the poll should have been suspended.
    uint64_t due;
    // When it is asked next, kept here while an inner poll runs.
    uint64_t deadline;
    // What the thread's CPU clock showed at the first boundary that was tried in vain, ns; 0 for none.
    uint64_t burst_began_ns;
    int boundaries_left;
    // The last boundary that was tried in vain: its frame, only compared, and its instruction.
    const void *tried_frame;
    int tried_position;
    // An await at which the poll could have been suspended was let pass.
    bool has_passed;
} pulse_request;

// How long no task of a group may be asked, ns.
uint64_t pulse_asking_wait_ns(const pulse_group *group);

// The first boundary was tried in vain; `is_hopeless` if the next ones would be, too.
void pulse_asking_begin_burst(pulse_request *request, bool is_hopeless);

// The request came to nothing. It may be over meanwhile; `group` is that of the running coroutine.
void pulse_asking_in_vain(pulse_request *request, pulse_group *group);

// The first boundary was tried in vain, and a search for a later place begins. It may end in another poll.
void pulse_asking_begin_search(pulse_request *request, pulse_group *group);

// The search judged a place, which took so long, ticks.
void pulse_asking_judged(uint64_t ticks);

// The search is over. Functions of Python code began so often meanwhile. Returns how long no task of that group may be
// asked, ns.
uint64_t pulse_asking_end_search(int calls);

// The request to a coroutine of this group is about to be heard.
void pulse_asking_heard(pulse_request *request, pulse_group *group);

// Function of the module.
PyObject *pulse_asking_set_percent(PyObject *module, PyObject *percent);

#endif
