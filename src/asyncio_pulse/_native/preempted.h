// What a task does that was suspended in the middle of its code.
#ifndef PULSE_PREEMPTED_H
#define PULSE_PREEMPTED_H

#include "governed.h"

// What its step gives to the task: the way in which it waits until it goes on. A new reference in `result`. An exception
// cannot be told, because the code that it would go to stands still.
PySendResult pulse_park_preempted(pulse_governed *governed, PyObject **result);

#endif
