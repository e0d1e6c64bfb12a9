// Ask for our signal's handler at the next boundary of bytecodes, without waking event loops by it.
//
// Only in the main thread, with the GIL; runs no Python code of the program.
#ifndef PULSE_WAKEUP_H
#define PULSE_WAKEUP_H

#include "compat.h"

// Once a process. -1 with an exception on failure.
int pulse_wakeup_init(void);

// Have the handler called at the next boundary. Between the first of many such calls and `pulse_wakeup_restore`, what
// signals write to wake the event loop goes to a pipe of ours.
void pulse_wakeup_trip(int signal_number);

// The end of that: what the program's own signals wrote meanwhile is passed on. Does nothing if nothing was asked.
void pulse_wakeup_restore(int signal_number);

#endif
