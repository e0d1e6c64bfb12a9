// The exception table of a code object: which handler covers which instructions.
#ifndef PULSE_EXCEPTION_TABLE_H
#define PULSE_EXCEPTION_TABLE_H

#include "base/compat.h"

// In code units; `end` is exclusive.
typedef struct {
    int start;
    int end;
    int target;
} pulse_handler_range;

typedef struct {
    // Owned; freed with PyMem_Free.
    pulse_handler_range *ranges;
    int count;
} pulse_exception_table;

// Read the table of a code object. -1 with an exception on failure.
int pulse_exception_table_read(pulse_exception_table *table, PyCodeObject *code);

// The start of the innermost handler of an instruction; -1 if it has none.
int pulse_exception_table_find(const pulse_exception_table *table, int position);

#endif
