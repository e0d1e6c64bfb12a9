// What each instruction of a code object means for a suspension there: one byte per code unit, computed once and kept with
// the code object.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_CODE_MARKS_H
#define PULSE_CODE_MARKS_H

#include "base/compat.h"
#include "bytecode/vetted.h"

enum {
    // The call begins here; nothing of it has run yet.
    PULSE_MARK_BEGINS = 1u << 0,
    // Resumes after a `yield`.
    PULSE_MARK_YIELDED = 1u << 1,
    // Jumps back, like the end of a loop's body.
    PULSE_MARK_LOOPS = 1u << 2,
    // Waits for an awaitable, or delegates to a generator.
    PULSE_MARK_AWAITS = 1u << 3,
    // Asks an iterator for its next value.
    PULSE_MARK_ITERATES = 1u << 4,
    // Inside a synchronous `with`, from before its __enter__ to the end of its __exit__.
    PULSE_MARK_WITH = 1u << 5,
    // On a line of an `except`, a `finally`, or a `with` that handles an exception. The normal way through a `finally` has
    // the same lines, and no exception may be raised there either. The jump from its end to the next round of a loop around it
    // is no part of it.
    PULSE_MARK_HANDLES = 1u << 6,
    // An exception raised here by a signal handler would miss the `try` around the loop.
    PULSE_MARK_ESCAPES = 1u << 7,
};

typedef struct {
    // Named __enter__, __exit__ or __del__, or has `acquire` or `enter_context` among its names.
    bool critical;
    // Named __aenter__, __aexit__ or aclose.
    bool settles;
    // What the table of vetted functions says of it, or of the function that it is defined in.
    pulse_vetted vetted;
    // First part of the name of its module, interned; NULL if unknown.
    PyObject *package;
    int length;
    // For each code unit, how many values at the bottom of the stack are valid there. There may be more.
    const uint8_t *live;
    uint8_t marks[];
} pulse_code_marks;

// Reserve the index under which code objects keep their marks. Later calls change nothing. -1 with an exception on failure.
int pulse_code_marks_init(void);

// The marks of a code object, which owns them. `globals` names its module. NULL with an exception on failure.
const pulse_code_marks *pulse_code_marks_of(PyCodeObject *code, PyObject *globals);

// First part of the name of the module with these globals, interned. New reference, or NULL; without an exception if they
// name no module.
PyObject *pulse_code_marks_package(PyObject *globals);

// `code_marks(code)`: the marks as bytes, for tests.
PyObject *pulse_code_marks_show(PyObject *module, PyObject *code);

#endif
