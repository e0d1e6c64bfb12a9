// The implicit group of a coroutine. Needs the GIL. Python code may run if the coroutine is not a native one.
#ifndef PULSE_IMPLICIT_GROUP_H
#define PULSE_IMPLICIT_GROUP_H

#include "model/group.h"

// A new reference to the group that a coroutine belongs to by its name; NULL with an exception on failure.
pulse_group *pulse_implicit_group(pulse_group_table *table, pulse_state *state, PyObject *coro);

#endif
