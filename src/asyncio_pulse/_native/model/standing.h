// Standing: the tier of an account, where the core looks it up. Python decides it, and adds how it came about.
//
// Coroutines and groups hold one once there is something to say against them. Needs the GIL; runs no Python code.
#ifndef PULSE_STANDING_H
#define PULSE_STANDING_H

#include "model/state.h"

// The base of an account's standing; the rest of it is Python's.
typedef struct {
    PyObject_HEAD
    uint8_t tier;
    // Its tier is decided and counted, but not acted upon.
    bool observed;
    // Good polls in a row, and how many of them the decisions do not know of.
    uint32_t good_run;
    uint32_t untold;
    // Ticks; only kept up above Monitor.
    uint64_t last_poll;
    // Until then good polls can change nothing, and are not told.
    uint64_t quiet_until;
    // The same for bad ones: those that break the budget are counted, and told with the next.
    uint64_t settled_until;
    uint32_t untold_violations;
} pulse_standing;

extern PyType_Spec pulse_standing_spec;

static inline pulse_standing *
pulse_standing_of(PyObject *standing)
{
    return (pulse_standing *)standing;
}

// 0 where there is none.
static inline unsigned
pulse_standing_tier(PyObject *standing)
{
    return standing == NULL ? 0 : pulse_standing_of(standing)->tier;
}

// -1 with an exception unless it is a Standing or None.
int pulse_standing_check(pulse_state *state, PyObject *standing);

#endif
