// The code units of a code object, without specialisation and instrumentation.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_INSTRUCTIONS_H
#define PULSE_INSTRUCTIONS_H

#include "base/compat.h"

typedef struct {
    // Owned; keeps the units.
    PyObject *bytes;
    const uint8_t *units;
    int length;
} pulse_instructions;

// Read the units of a code object. -1 with an exception on failure.
int pulse_instructions_read(pulse_instructions *instructions, PyCodeObject *code);

// The opcode at a position; -1 beyond the end.
static inline int
pulse_opcode_at(const pulse_instructions *instructions, int position)
{
    return position < instructions->length ? instructions->units[position * 2] : -1;
}

// The lowest byte of the argument of the instruction at a position.
static inline int
pulse_low_oparg_at(const pulse_instructions *instructions, int position)
{
    return instructions->units[position * 2 + 1];
}

// The whole argument, with what EXTENDED_ARG before the instruction adds.
int pulse_oparg_at(const pulse_instructions *instructions, int position);

// The unit after the instruction at a position and its caches. Jumps count from there.
int pulse_unit_after(const pulse_instructions *instructions, int position);

#endif
