// Whether an exception that a signal handler raises at a jump back reaches the `try` or `with` around the loop.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_JUMP_HANDLERS_H
#define PULSE_JUMP_HANDLERS_H

#include "bytecode/exception_table.h"
#include "bytecode/instructions.h"

// Whether this instruction jumps back, and checks for signals then.
bool pulse_jump_is_back(int opcode);

// Whether the interpreter may look up the wrong handler at this jump back. Where the code leaves that open, it may.
bool pulse_jump_escapes(const pulse_instructions *instructions, const pulse_exception_table *table, int position);

#endif
