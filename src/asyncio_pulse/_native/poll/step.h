// A resumption that is not plain: it may have to wait, runs in a segment, is told to hooks and decisions.
#ifndef PULSE_STEP_H
#define PULSE_STEP_H

#include "park/park.h"

// Resume a coroutine, in whatever way its flags and its governor's ask for; as PyIter_Send. Takes over what is delivered.
PySendResult pulse_step_resume(pulse_governed *governed, pulse_delivery delivery, PyObject **result);

#endif
