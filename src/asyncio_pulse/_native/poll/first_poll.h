// Finds the governor, the group and the options of a coroutine, at its first poll.
#ifndef PULSE_FIRST_POLL_H
#define PULSE_FIRST_POLL_H

#include "model/governed.h"

// Find governor and group, and put the options in force. Cannot fail: a coroutine that cannot be governed becomes
// transparent.
void pulse_first_poll_begin(pulse_governed *governed);

// `update(options)` of coroutines: change the options of a running task.
PyObject *pulse_first_poll_update(PyObject *self, PyObject *options);

#endif
