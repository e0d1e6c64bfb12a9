// The pump: once per turn of the loop, while anything is parked, it decides what is released.
//
// A governor owns it, and the loop's own thread runs it. All offenders share one allowance of time. It is granted anew when
// the loop has been round since the last slices, so that everything that those slices kept waiting, timers and sockets
// included, comes first.
//
// The budget of a turn: while an urgent task lives, all other tasks wait for a later turn once this one is overlong. Only
// the selector knows whether an urgent task is ready, and a loop asks it once per turn. Before that, a timer that fell due
// or a socket that became readable cannot be seen. So it is enough that a CRITICAL or HIGH task lives: the turn is cut
// short, and the loop comes round. The tasks that wait form one line. Those of the last turn stand before those that would
// come again, so that equal tasks stay equal. Needs the GIL; in the loop's thread, except for counting.
#ifndef PULSE_PUMP_H
#define PULSE_PUMP_H

#include "park/waiting.h"

// Have the loop call the pump in its next turn. -1 with an exception on failure.
int pulse_pump_arm(pulse_governor *governor, PyObject *loop);

// How many callbacks are ready in the running loop; -1 if its ready queue is hidden. Never fails.
Py_ssize_t pulse_pump_ready(const pulse_pump *pump);

// Release everything that is parked. Any thread may call this; the tasks are released in the loop's thread.
void pulse_pump_release_all(pulse_governor *governor);

// Whether a resumption of a non-offender has to wait. Only with PULSE_GOVERNOR_CUTS_TURNS. Python code may run.
bool pulse_pump_turn_is_over(pulse_governed *governed);

extern PyType_Spec pulse_pump_token_spec;

#endif
