// The interpreter's own headers define functions with unused parameters.
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_interpframe_structs.h>
#endif
#undef Py_BUILD_CORE
#include <opcode.h>
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

#include <stddef.h>

#include "bytecode/frames.h"

typedef struct _PyInterpreterFrame frame_t;

#if PY_VERSION_HEX >= 0x030e0000

static frame_t *
current_frame(PyThreadState *thread)
{
    return thread->current_frame;
}

static PyCodeObject *
code_of(const frame_t *frame)
{
    return (PyCodeObject *)PyStackRef_AsPyObjectBorrow(frame->f_executable);
}

static const _Py_CODEUNIT *
instruction_of(const frame_t *frame)
{
    return frame->instr_ptr;
}

// Whether this is the interpreter's own frame, where C code entered it. It belongs to no code and to no call.
static bool
is_entry_mark(const frame_t *frame)
{
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER;
}

#elif PY_VERSION_HEX >= 0x030d0000

static frame_t *
current_frame(PyThreadState *thread)
{
    return thread->current_frame;
}

static PyCodeObject *
code_of(const frame_t *frame)
{
    return (PyCodeObject *)frame->f_executable;
}

static const _Py_CODEUNIT *
instruction_of(const frame_t *frame)
{
    return frame->instr_ptr;
}

static bool
is_entry_mark(const frame_t *frame)
{
    return frame->owner == FRAME_OWNED_BY_CSTACK;
}

#else

static frame_t *
current_frame(PyThreadState *thread)
{
    return thread->cframe->current_frame;
}

static PyCodeObject *
code_of(const frame_t *frame)
{
    return frame->f_code;
}

static const _Py_CODEUNIT *
instruction_of(const frame_t *frame)
{
    return frame->prev_instr;
}

#if PY_VERSION_HEX >= 0x030c0000
static bool
is_entry_mark(const frame_t *frame)
{
    return frame->owner == FRAME_OWNED_BY_CSTACK;
}
#endif

#endif

#if PY_VERSION_HEX >= 0x030c0000

static bool
is_entered_from_c(const frame_t *frame)
{
    return frame->previous == NULL || is_entry_mark(frame->previous);
}

// Whether this is the frame that the interpreter puts beneath an inlined __init__, to check that it returns None. Not even
// its globals are set.
static bool
is_cleanup_of_init(const frame_t *frame)
{
#ifdef EXIT_INIT_CHECK
    return _PyCode_CODE(code_of(frame))->op.code == EXIT_INIT_CHECK;
#else
    (void)frame;
    return false;
#endif
}

static frame_t *
skip_entry_marks(frame_t *frame)
{
    while (frame != NULL && (is_entry_mark(frame) || is_cleanup_of_init(frame))) {
        frame = frame->previous;
    }
    return frame;
}

#else

static bool
is_entered_from_c(const frame_t *frame)
{
    return frame->is_entry;
}

static frame_t *
skip_entry_marks(frame_t *frame)
{
    return frame;
}

#endif

static bool
look_at(pulse_frame *seen, frame_t *frame)
{
    if (frame == NULL) {
        return false;
    }
    seen->frame = frame;
    seen->code = code_of(frame);
    seen->globals = frame->f_globals;
    seen->position = (int)(instruction_of(frame) - _PyCode_CODE(seen->code));
    seen->entered_from_c = is_entered_from_c(frame);
    seen->is_generator = frame->owner == FRAME_OWNED_BY_GENERATOR;
    return seen->position >= 0;
}

bool
pulse_frame_innermost(pulse_frame *seen)
{
    frame_t *frame = current_frame(PyThreadState_Get());
    if (frame == NULL) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030c0000
    if (is_entry_mark(frame)) {
        return false;
    }
#endif
    return look_at(seen, frame);
}

bool
pulse_frame_beneath(pulse_frame *seen)
{
    return look_at(seen, skip_entry_marks(seen->frame->previous));
}

bool
pulse_frame_is_of(const pulse_frame *seen, PyObject *coroutine)
{
    // Declared as a placeholder array in some versions, as the frame itself in others. The address is the same.
    return seen->frame == (frame_t *)&((PyGenObject *)coroutine)->gi_iframe;
}

bool
pulse_frame_handles_exception(const pulse_frame *seen)
{
    const PyGenObject *generator = (const PyGenObject *)((const char *)seen->frame - offsetof(PyGenObject, gi_iframe));
    return generator->gi_exc_state.exc_value != NULL && !Py_IsNone(generator->gi_exc_state.exc_value);
}
