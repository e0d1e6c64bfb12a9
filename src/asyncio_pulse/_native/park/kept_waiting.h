// Non-offenders that waited for an offender. They are found when a slice that had been parked for long wakes them.
//
// This works on loops whose ready queue we can see, that is, on asyncio: everything that a slice appends to the queue is a
// wake-up that it caused. Needs the GIL; in the loop's thread. Nothing here raises.
#ifndef PULSE_KEPT_WAITING_H
#define PULSE_KEPT_WAITING_H

#include "model/governed.h"

// A slice begins. Returns the argument for the function below: -1 if the slice was parked no longer than a slow poll lasts.
Py_ssize_t pulse_kept_waiting_begin(const pulse_governed *governed);

// The slice is over: note the tasks that it woke. An exception that is set stays set.
void pulse_kept_waiting_end(pulse_governed *governed, Py_ssize_t ready_before);

#endif
