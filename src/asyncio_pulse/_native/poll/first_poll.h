// How a coroutine comes to its governor, its group and its options, at its first poll.
#ifndef PULSE_FIRST_POLL_H
#define PULSE_FIRST_POLL_H

#include "model/governed.h"

// First poll: find governor and group, put the options in force. Cannot fail: what cannot be governed is transparent.
void pulse_first_poll_bind(pulse_governed *governed);

// `update(options)` of coroutines: change the options of a task that runs.
PyObject *pulse_first_poll_update(PyObject *self, PyObject *options);

#endif
