// The exception table of a code object: which instructions are covered by which handler.
#ifndef PULSE_EXCEPTION_TABLE_H
#define PULSE_EXCEPTION_TABLE_H

#include "base/compat.h"

// Code units; `end` is the first one after.
typedef struct {
    int start;
    int end;
    int target;
} pulse_handler_range;

typedef struct {
    // Owned; of PyMem_Free.
    pulse_handler_range *ranges;
    int count;
} pulse_exception_table;

// -1 with an exception on failure.
int pulse_exception_table_read(pulse_exception_table *table, PyCodeObject *code);

// Where the innermost handler of an instruction begins, or -1.
int pulse_exception_table_find(const pulse_exception_table *table, int position);

#endif
