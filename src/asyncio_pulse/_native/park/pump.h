// The pump: once a turn of the loop, while anything is parked, it decides who is released.
//
// Owned by a governor; the loop's own thread runs it. Offenders together get an allowance of time. It is granted anew when
// the loop has been round since the last slices, so that whatever those kept waiting, timers and sockets included, comes
// first.
//
// The budget of a turn: while somebody urgent lives, whatever is not waits for a later turn once this one is overlong.
// Only the selector knows whether an urgent task is ready, and a loop asks it once a turn: before it has, nobody can see that
// a timer fell due or a socket became readable. So it is enough that a CRITICAL or HIGH task lives: the turn is cut short,
// and the loop comes round. What waits does so in one line, those of last turn before those who would come again, so
// that equal tasks stay equal. Needs the GIL; in the loop's thread, but for counting.
#ifndef PULSE_PUMP_H
#define PULSE_PUMP_H

#include "park/waiting.h"

// Have the loop call the pump in its next turn. -1 with an exception if it cannot.
int pulse_pump_arm(pulse_governor *governor, PyObject *loop);

// How many callbacks are ready in the loop that runs; -1 where that cannot be seen. Never fails.
Py_ssize_t pulse_pump_ready(const pulse_pump *pump);

// Release everything that is parked, in the loop's thread; from any thread.
void pulse_pump_release_all(pulse_governor *governor);

// Whether a resumption of who is no offender has to wait. Only with PULSE_GOVERNOR_CUTS_TURNS; Python code may run.
bool pulse_pump_turn_is_over(pulse_governed *governed);

extern PyType_Spec pulse_pump_token_spec;

#endif
