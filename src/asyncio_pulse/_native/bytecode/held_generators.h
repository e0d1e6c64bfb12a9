// Critical sections that a frame holds open through a suspended generator, such as one that yields inside `with lock:`.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_HELD_GENERATORS_H
#define PULSE_HELD_GENERATORS_H

#include "bytecode/code_marks.h"
#include "bytecode/frames.h"

// Whether a generator or coroutine that a variable or the stack of this frame refers to is suspended in a critical section.
// So are those that it refers to itself. True, perhaps with an exception, if there are too many to look at.
bool pulse_held_generators_are_critical(const pulse_frame *frame, const pulse_code_marks *marks);

#endif
