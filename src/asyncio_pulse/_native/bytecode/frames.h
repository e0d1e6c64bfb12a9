// The Python frames of the calling thread, innermost first, and what lies between them.
//
// The only file that knows the interpreter's frame layouts. All references are borrowed, and valid only until Python code
// runs again. Needs the GIL; runs no Python code and raises nothing.
#ifndef PULSE_FRAMES_H
#define PULSE_FRAMES_H

#include "base/compat.h"

typedef struct {
    struct _PyInterpreterFrame *frame;
    PyCodeObject *code;
    PyObject *globals;
    // Index of the frame's current instruction, or of one of that instruction's cache entries, in code units.
    int position;
    // C code called it, so it returns to C and not to the frame beneath.
    bool entered_from_c;
    // It belongs to a generator, a coroutine or an asynchronous generator.
    bool is_generator;
} pulse_frame;

// Find the innermost frame. False if there is none, or if it is still being set up.
bool pulse_frame_innermost(pulse_frame *frame);

// Replace a frame by the one beneath it. False at the end of the stack.
bool pulse_frame_beneath(pulse_frame *frame);

// Whether the frame is that of `coroutine`, which must be a native one.
bool pulse_frame_is_of(const pulse_frame *frame, PyObject *coroutine);

// Whether the generator of this frame is handling an exception.
bool pulse_frame_handles_exception(const pulse_frame *frame);

#endif
