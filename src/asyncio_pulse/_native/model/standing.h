// Standing: the tier of an account, where the core looks it up. Python decides it, and adds how it came about.
//
// Coroutines and groups have none until they first misbehave. Needs the GIL; runs no Python code.
#ifndef PULSE_STANDING_H
#define PULSE_STANDING_H

#include "model/state.h"

// The base of an account's standing. Python adds the rest.
typedef struct {
    PyObject_HEAD
    uint8_t tier;
    // The tier is decided and counted, but not acted upon.
    bool observed;
    // Good polls in a row, and how many of them were not yet reported to the decisions.
    uint32_t good_run;
    uint32_t untold;
    // Ticks; kept up to date only above Monitor.
    uint64_t last_poll;
    // Good polls before this time cannot change the tier, so they are not reported.
    uint64_t quiet_until;
    // The same for bad polls. Those over budget are counted, and reported with the next bad poll.
    uint64_t settled_until;
    uint32_t untold_violations;
} pulse_standing;

extern PyType_Spec pulse_standing_spec;

static inline pulse_standing *
pulse_standing_of(PyObject *standing)
{
    return (pulse_standing *)standing;
}

// 0 without a standing.
static inline unsigned
pulse_standing_tier(PyObject *standing)
{
    return standing == NULL ? 0 : pulse_standing_of(standing)->tier;
}

// -1 with an exception unless the object is a Standing or None.
int pulse_standing_check(pulse_state *state, PyObject *standing);

#endif
