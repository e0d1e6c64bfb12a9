// What a caller asked for one task or call. Immutable, so that one object serves every coroutine of a decorated function.
//
// Python checks the values first; the core checks only types and ranges. Needs the GIL.
#ifndef PULSE_OPTIONS_H
#define PULSE_OPTIONS_H

#include "model/state.h"

enum {
    PULSE_PRIORITIES = 4,
    PULSE_PRIORITY_NORMAL = 2,
    PULSE_UNSET = -1,
};

typedef struct {
    PyObject_HEAD
    PyObject *group;
    // The code object shared by all coroutines of decorated functions, or NULL; see poll/first_poll.c.
    PyObject *code;
    int64_t budget_us;
    int8_t priority;
    int8_t max_tier;
    int8_t preemptible;
} pulse_options;

extern PyType_Spec pulse_options_spec;

// A new reference: each option of `upper` where it is set, else that of `lower`. Either may be NULL. NULL with an exception
// on failure.
PyObject *pulse_options_merge(pulse_state *state, PyObject *upper, PyObject *lower);

#endif
