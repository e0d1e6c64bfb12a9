// Splits a comparison from the jump back after it, which CPython 3.11 may have made one instruction.
#ifndef PULSE_JOINED_JUMPS_H
#define PULSE_JOINED_JUMPS_H

#include "base/compat.h"

// Once a function has run eight times, CPython 3.11 makes one instruction of a comparison of numbers or strings and the
// jump after it. That instruction checks for signals, too, but at a point that cannot be told from a comparison by C code.
// A loop like `while clock() < end:` could then be left nowhere. This function splits those that jump back into two again,
// as in every other version. NULL does nothing. Never fails.
void pulse_joined_jumps_part(PyCodeObject *code);

#endif
