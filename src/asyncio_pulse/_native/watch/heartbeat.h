// The heartbeat: a timer on a loop whose selector we cannot see.
#ifndef PULSE_HEARTBEAT_H
#define PULSE_HEARTBEAT_H

#include "model/governor.h"

// Watch a loop by a timer. Returns a new callable that arms itself again every `period_us` with the loop's call_later.
// `library` is the file of uvloop's library, `libuv_loop` its uv_loop_t. Give both or neither: with them the idle time is
// known, too.
PyObject *pulse_heartbeat_new(pulse_governor *governor, PyObject *loop, uint64_t period_us, const char *library,
                              void *libuv_loop);

extern PyType_Spec pulse_heartbeat_spec;

#endif
