// The exception table of a code object: which handler covers which instructions.
#ifndef PULSE_EXCEPTION_TABLE_H
#define PULSE_EXCEPTION_TABLE_H

#include "base/compat.h"

// In code units; `end` is exclusive.
typedef struct {
    int start;
    int end;
    int target;
    // The handler finds this many values left on the stack, then the position that raised, if it keeps that, and the exception.
    int depth;
    bool keeps_position;
} pulse_handler_range;

typedef struct {
    // Owned; freed with PyMem_Free.
    pulse_handler_range *ranges;
    int count;
} pulse_exception_table;

// Read the table of a code object. -1 with an exception on failure.
int pulse_exception_table_read(pulse_exception_table *table, PyCodeObject *code);

// The range that contains an instruction; NULL if none does.
const pulse_handler_range *pulse_exception_table_range(const pulse_exception_table *table, int position);

// The start of the innermost handler of an instruction; -1 if it has none.
int pulse_exception_table_find(const pulse_exception_table *table, int position);

#endif
