// A comparison and the jump back after it, which CPython 3.11 may have made one instruction.
#ifndef PULSE_JOINED_JUMPS_H
#define PULSE_JOINED_JUMPS_H

#include "base/compat.h"

// CPython 3.11 makes one instruction of a comparison of numbers or strings and the jump after it, once a function ran eight
// times. It looks for signals there, too, but in what may as well be a comparison by C code: `while clock() < end:` is left
// nowhere then. Let those that jump back be two again, as in every other version. NULL does no harm. Never fails.
void pulse_joined_jumps_part(PyCodeObject *code);

#endif
