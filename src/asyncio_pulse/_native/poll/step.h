// A resumption that is not plain: it may have to wait, may go on in the middle of its code, and may be reported to hooks
// and decisions.
#ifndef PULSE_STEP_H
#define PULSE_STEP_H

#include "park/park.h"
#include "poll/poll.h"

// Resume a coroutine in the way that its flags and those of its governor ask for. Returns what PyIter_Send would. Takes
// over the contents of `delivery`.
PySendResult pulse_step_resume(pulse_governed *governed, pulse_delivery delivery, PyObject **result);

// End a plain poll that was suspended in its middle. Returns what PyIter_Send would.
PySendResult pulse_step_suspended(pulse_governed *governed, pulse_poll *poll, PyObject **result);

#endif
