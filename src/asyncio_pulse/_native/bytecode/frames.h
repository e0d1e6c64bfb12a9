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
    // It is about to run, and is not yet the thread's innermost frame.
    bool is_starting;
} pulse_frame;

// Find the innermost frame. False if there is none, or if it is still being set up.
bool pulse_frame_innermost(pulse_frame *frame);

// A frame that begins to run or is resumed, before it is the innermost one. False if it cannot be told where it stands.
bool pulse_frame_starting(pulse_frame *frame, struct _PyInterpreterFrame *starting);

// Whether a frame may be what its caller awaits: the caller's stack of values holds the coroutine that the frame belongs to.
// For a frame of an asynchronous generator the caller holds another object, so the answer is always true.
bool pulse_frame_is_awaited_by(const pulse_frame *frame, const pulse_frame *caller);

// Whether an object may be on a frame's stack of values. Values that were taken off may still be seen there.
bool pulse_frame_holds(const pulse_frame *frame, const PyObject *object);

// Whether a frame has not run any instruction of its function.
bool pulse_frame_is_fresh(const pulse_frame *frame);

// Replace a frame by the one beneath it. False at the end of the stack.
bool pulse_frame_beneath(pulse_frame *frame);

// Whether the frame is that of `coroutine`, which must be a native one.
bool pulse_frame_is_of(const pulse_frame *frame, PyObject *coroutine);

// The value of a variable, or of the stack of values above the variables. The frame must have put one there. Borrowed, or NULL
// if there is none.
PyObject *pulse_frame_value(const pulse_frame *frame, int index);

// Whether that value counts as a reference to its object. Some versions borrow it from another variable.
bool pulse_frame_counts(const pulse_frame *frame, int index);

// The variable of this name. Borrowed, or NULL if there is none, or it has no value.
PyObject *pulse_frame_variable(const pulse_frame *frame, PyObject *name);

// The variable of the function's first argument, in which a method has its object. Borrowed, or NULL if there is none.
PyObject *pulse_frame_first_argument(const pulse_frame *frame);

// Whether a value is a native generator, coroutine or asynchronous generator that is suspended.
bool pulse_frame_is_suspended_in(PyObject *value);

// Find the frame of a native coroutine or generator that is running or suspended.
void pulse_frame_of(pulse_frame *frame, PyObject *coroutine);

// Whether the generator of this frame is handling an exception.
bool pulse_frame_handles_exception(const pulse_frame *frame);

#endif
