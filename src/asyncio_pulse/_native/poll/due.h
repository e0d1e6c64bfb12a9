// Bad polls that the decisions were not told of yet.
#ifndef PULSE_DUE_H
#define PULSE_DUE_H

#include "model/governed.h"

// Take out all of them, with references; how many there are. Whoever tells them runs Python code, which may run polls.
int pulse_due_take(pulse_governor *governor, pulse_due *due);

// Let go of all of them.
void pulse_due_drop(pulse_governor *governor);

// They will not be told soon. A coroutine that has ended holds nothing more, and waits. Another awaitable may hold anything, as
// the end of a generator holds its loop: that one is forgotten.
void pulse_due_wait(pulse_governor *governor);

// A coroutine with the flag PULSE_GOVERNED_DUE has ended, or is about to go unfinished.
void pulse_due_keep(pulse_governed *governed);
void pulse_due_forget(pulse_governed *governed);

#endif
