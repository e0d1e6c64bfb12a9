// Functions of libraries that may be suspended between two statements without consent: `asyncio_pulse.runtime.vetted`.
//
// A function that works on an object of its caller is vetted only beneath an entry of its library, which made that object, or
// beneath an await. Needs the GIL; runs no Python code.
#ifndef PULSE_VETTED_H
#define PULSE_VETTED_H

#include "bytecode/frames.h"

// What the table says of one function. One bit for each library; nothing for a function that is not vetted.
typedef struct {
    uint32_t libraries;
    // Those of which it is an entry.
    uint32_t entry_of;
    // The variables of an entry that must hold plain data: a tuple of names, kept by the table; or NULL.
    PyObject *plain;
    // The variables of the function that must belong to the step, see bytecode/owned.h: likewise.
    PyObject *owned;
} pulse_vetted;

// Take the table: qualified names of functions, to names of modules, to (libraries, entry_of, plain, owned). Later calls change
// nothing.
void pulse_vetted_init(PyObject *table);

// What the table says of this code, or of the function that it is defined in. `module` may be NULL. -1 with an exception on
// failure.
int pulse_vetted_find(PyCodeObject *code, PyObject *module, pulse_vetted *found);

// Whether a function has the name of a vetted one. Costs little.
bool pulse_vetted_has_name(PyCodeObject *code);

// Go on from vetted frames to the one that called them. `inner_of` has the libraries of which the frames so far still need an
// entry, and 0 if they need none. False if the frame is not vetted together with them.
bool pulse_vetted_extends(const pulse_vetted *vetted, const pulse_frame *frame, uint32_t *inner_of);

#endif
