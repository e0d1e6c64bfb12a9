// C code between two Python frames that holds nothing: it only passes a call on, and returns what the call returned.
//
// Other C code may be in the middle of changing something, such as `sort`, or may hold a lock, and must not be left. Needs the
// GIL; runs no Python code.
#ifndef PULSE_PASS_THROUGH_H
#define PULSE_PASS_THROUGH_H

#include "bytecode/code_marks.h"
#include "bytecode/frames.h"

// Once a process. -1 with an exception on failure.
int pulse_pass_through_init(void);

// Whether the C code that the caller's instruction ran, and that called `frame`, holds nothing. It is the call of a Python
// function with unpacked arguments, of a class for its `__new__` or `__init__`, of an object for its `__call__`, or of
// `functools.partial` or `functools.lru_cache` around one of these. Or it is the look-up of a property, or an operator, a
// subscript or an iteration that the operand's class defines in Python. `marks` are those of the caller's code.
bool pulse_pass_through_holds_nothing(const pulse_frame *frame, const pulse_frame *caller,
                                      const pulse_code_marks *marks);

// How many values of the caller's stack its instruction still holds, above those that it does not touch, while C code runs that
// the instruction called. There may be more.
int pulse_pass_through_operands(const pulse_frame *caller);

#endif
