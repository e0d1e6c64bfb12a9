// The pump: once per turn of the loop, while anything is parked, it decides what is released.
//
// A governor owns it, and the loop's own thread runs it. All offenders share one allowance of time. It is granted anew when
// the loop has been round since the last slices, so that everything that those slices kept waiting, timers and sockets
// included, comes first.
//
// An overlong turn is cut: once it has lasted as long as the latency target, tasks whose polls are long wait for another one.
// Only the selector knows whether a timer fell due or a socket became readable, and a loop asks it once per turn. The tasks
// that wait form one line, and are released when the loop has been round, as many as fill a turn. Needs the GIL; in the loop's
// thread, except for counting.
#ifndef PULSE_PUMP_H
#define PULSE_PUMP_H

#include "park/waiting.h"

// Have the loop call the pump in its next turn. -1 with an exception on failure.
int pulse_pump_arm(pulse_governor *governor, PyObject *loop);

// How many callbacks are ready in the running loop; -1 if its ready queue is hidden. Never fails.
Py_ssize_t pulse_pump_ready(const pulse_pump *pump);

// Release everything that is parked. Any thread may call this; the tasks are released in the loop's thread.
void pulse_pump_release_all(pulse_governor *governor);

// Whether a poll that is expected to be long has to wait for another turn. Python code may run.
bool pulse_pump_turn_is_over(pulse_governed *governed);

extern PyType_Spec pulse_pump_token_spec;

#endif
