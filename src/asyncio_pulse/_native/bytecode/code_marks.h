// What each instruction of a code object means for a suspension there: one byte a code unit, found once and kept with the
// code object.
//
// Needs the GIL; runs no Python code.
#ifndef PULSE_CODE_MARKS_H
#define PULSE_CODE_MARKS_H

#include "base/compat.h"

enum {
    // The call begins here: nothing of it was done yet.
    PULSE_MARK_BEGINS = 1u << 0,
    // Goes on after a `yield`.
    PULSE_MARK_YIELDED = 1u << 1,
    // Jumps back, as the end of a loop's body does.
    PULSE_MARK_LOOPS = 1u << 2,
    // Waits for an awaitable, or delegates to a generator.
    PULSE_MARK_AWAITS = 1u << 3,
    // Asks an iterator for its next value.
    PULSE_MARK_ITERATES = 1u << 4,
    // Inside a synchronous `with`, from before its __enter__ to the end of its __exit__.
    PULSE_MARK_WITH = 1u << 5,
    // On a line of an `except`, a `finally` or a `with` that handles an exception: the normal way through a `finally`
    // has the same lines, and must be left in peace likewise.
    PULSE_MARK_HANDLES = 1u << 6,
    // An exception raised here by the handler of a signal would miss the `try` that the loop is in.
    PULSE_MARK_ESCAPES = 1u << 7,
};

typedef struct {
    // Called __enter__, __exit__ or __del__, or has `acquire` among its names.
    bool critical;
    // Called __aenter__, __aexit__ or aclose.
    bool settles;
    // First part of the name of the module that it belongs to, interned; NULL if that is not known.
    PyObject *package;
    int length;
    uint8_t marks[];
} pulse_code_marks;

// Once a module: reserve the place where code objects keep their marks. -1 with an exception on failure.
int pulse_code_marks_init(void);

// The marks of a code object, kept by it; `globals` tell its module. NULL with an exception on failure.
const pulse_code_marks *pulse_code_marks_of(PyCodeObject *code, PyObject *globals);

// First part of the name of the module whose globals these are, interned. New reference, or NULL: without an exception if
// they do not tell.
PyObject *pulse_code_marks_package(PyObject *globals);

// `code_marks(code)`: the marks as bytes, for tests.
PyObject *pulse_code_marks_show(PyObject *module, PyObject *code);

#endif
