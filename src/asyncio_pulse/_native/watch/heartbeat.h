// The heartbeat: a timer that a loop runs for us where its selector is out of sight.
#ifndef PULSE_HEARTBEAT_H
#define PULSE_HEARTBEAT_H

#include "model/governor.h"

// Watch a loop by a timer: a new callable that arms itself again every `period_us` with the loop's call_later. With the
// file of uvloop's library and its uv_loop_t (both or neither) idle time is known, too.
PyObject *pulse_heartbeat_new(pulse_governor *governor, PyObject *loop, uint64_t period_us, const char *library,
                              void *libuv_loop);

extern PyType_Spec pulse_heartbeat_spec;

#endif
