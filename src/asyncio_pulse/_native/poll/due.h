// Bad polls that have not been reported to the decisions yet.
#ifndef PULSE_DUE_H
#define PULSE_DUE_H

#include "model/governed.h"

// Take all of them out, with references. Returns how many there are. Reporting them runs Python code, which may run polls.
int pulse_due_take(pulse_governor *governor, pulse_due *due);

// Drop all of them.
void pulse_due_drop(pulse_governor *governor);

// They will not be reported soon. A coroutine that has ended holds nothing more, so its polls stay. Another awaitable may
// hold anything, as an ended generator holds its loop, so its polls are dropped.
void pulse_due_wait(pulse_governor *governor);

// Called for a coroutine with the flag PULSE_GOVERNED_DUE: `keep` when it has ended, `forget` when it is deallocated
// unfinished.
void pulse_due_keep(pulse_governed *governed);
void pulse_due_forget(pulse_governed *governed);

#endif
