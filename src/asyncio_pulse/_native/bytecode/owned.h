// Values that a step reads while it may be suspended: whether they belong to that step alone, so that no other task can change
// them meanwhile.
//
// A value does if all its references are variables of the step, iterators of the step over it, and one from a value that
// belongs to the step in turn and contains it. Needs the GIL; runs no Python code.
#ifndef PULSE_OWNED_H
#define PULSE_OWNED_H

#include "bytecode/code_marks.h"

enum { PULSE_OWNED_MOST = 32 };

// From the innermost one.
typedef struct {
    PyObject *values[PULSE_OWNED_MOST];
    // References that were found in the step.
    Py_ssize_t found[PULSE_OWNED_MOST];
    // It must belong to the step. Other values only may, and then so does what they contain.
    bool required[PULSE_OWNED_MOST];
    int count;
} pulse_owned;

// Note the values of a frame that its function's table entry names. `live` values of the frame's stack are valid. False if there
// are too many, or if one of them cannot be owned: it reads from something else, as an iterator does.
bool pulse_owned_note(pulse_owned *owned, const pulse_frame *frame, const pulse_vetted *vetted, int live);

// Count the references of a frame. `live` values of its stack are valid.
void pulse_owned_count(pulse_owned *owned, const pulse_frame *frame, int live);

// Whether all values that must belong to the step do. Its frames were counted.
bool pulse_owned_are(const pulse_owned *owned);

#endif
