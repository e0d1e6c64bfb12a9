// A frame of ours that stands for the caller of a poll, so that the poll's own frames need not refer to the caller's.
//
// It runs no code. All that look at frames skip it, because it never reached its first instruction; only those that read
// another process's memory may show it. It lives in the record of a slice. Needs the GIL.
#ifndef PULSE_ENTRY_FRAME_H
#define PULSE_ENTRY_FRAME_H

#include "bytecode/frame_layout.h"

// Once a process. -1 with an exception on failure.
int pulse_entry_frame_init(void);

// Make a new, zeroed frame one of these.
void pulse_entry_frame_make(pulse_frame_layout *frame);

bool pulse_entry_frame_is(const pulse_frame_layout *frame);

#endif
