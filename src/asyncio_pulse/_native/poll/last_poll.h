// What ends with a coroutine, after its last poll: the counterpart of first_poll.
#ifndef PULSE_LAST_POLL_H
#define PULSE_LAST_POLL_H

#include "model/governed.h"

// The coroutine has ended: count one alive less, and take its explicit group out of the context. An exception that is set
// stays set.
void pulse_last_poll_finish(pulse_governed *governed);

#endif
