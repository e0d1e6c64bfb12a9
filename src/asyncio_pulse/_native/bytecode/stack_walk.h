// What is on a frame's stack of values at each instruction, found by following every path through a code object.
//
// `with` keeps its __exit__ on the stack, and a handler the exception that was handled before. Both stay there on every path,
// also at the instructions that no range of the exception table covers, such as the jump of a `continue`.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_STACK_WALK_H
#define PULSE_STACK_WALK_H

#include "bytecode/exception_table.h"
#include "bytecode/instructions.h"

enum {
    // Before or after the instruction, the stack holds the __exit__ of a synchronous `with`.
    PULSE_STACK_HOLDS_EXIT = 1u << 0,
    // Likewise, an exception is being handled.
    PULSE_STACK_HANDLES = 1u << 1,
};

typedef struct {
    uint8_t holds;
    // This many values at the bottom of the stack are valid while the instruction runs. There may be more.
    uint8_t live;
} pulse_stack_place;

// Fill in one place for each unit. An instruction that no path reaches holds everything, and so do all of them if the walk
// meets anything that it does not understand. -1 with an exception on failure.
int pulse_stack_walk(const pulse_instructions *instructions, const pulse_exception_table *table,
                     pulse_stack_place *places);

#endif
