// What ends with a coroutine, after its last poll: the counterpart of its first one.
#ifndef PULSE_LAST_POLL_H
#define PULSE_LAST_POLL_H

#include "model/governed.h"

// The coroutine ended: one alive less, and its explicit group is taken out of the context. An exception that is set stays.
void pulse_last_poll_finish(pulse_governed *governed);

#endif
