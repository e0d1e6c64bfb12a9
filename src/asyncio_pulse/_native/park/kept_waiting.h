// Who is no offender and was kept waiting by one: a slice that had been parked for long wakes them.
//
// Seen on loops whose ready queue can be seen, asyncio's: what a slice appended to it are the wake-ups that it caused. Needs
// the GIL; in the loop's thread. Nothing here raises.
#ifndef PULSE_KEPT_WAITING_H
#define PULSE_KEPT_WAITING_H

#include "model/governed.h"

// A slice begins. What to give to the function below: -1 if it had not been parked for as long as a slow poll lasts.
Py_ssize_t pulse_kept_waiting_begin(const pulse_governed *governed);

// It is over: note whom it woke. An exception that is set stays.
void pulse_kept_waiting_end(pulse_governed *governed, Py_ssize_t ready_before);

#endif
