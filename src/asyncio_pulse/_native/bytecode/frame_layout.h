// Where CPython keeps what we need of a frame, version by version. Only for files that read or link frames.
#ifndef PULSE_FRAME_LAYOUT_H
#define PULSE_FRAME_LAYOUT_H

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

#include <stdbool.h>

typedef struct _PyInterpreterFrame pulse_frame_layout;

#if PY_VERSION_HEX >= 0x030d0000
// The thread's innermost frame.
#define PULSE_CURRENT_FRAME(thread_state) ((thread_state)->current_frame)
#else
#define PULSE_CURRENT_FRAME(thread_state) ((thread_state)->cframe->current_frame)
#endif

static inline PyCodeObject *
pulse_frame_code(const pulse_frame_layout *frame)
{
#if PY_VERSION_HEX >= 0x030e0000
    return (PyCodeObject *)PyStackRef_AsPyObjectBorrow(frame->f_executable);
#elif PY_VERSION_HEX >= 0x030d0000
    return (PyCodeObject *)frame->f_executable;
#else
    return frame->f_code;
#endif
}

static inline const _Py_CODEUNIT *
pulse_frame_instruction(const pulse_frame_layout *frame)
{
#if PY_VERSION_HEX >= 0x030d0000
    return frame->instr_ptr;
#else
    return frame->prev_instr;
#endif
}

// Whether this is the interpreter's own frame, where C code entered it. It belongs to no code and to no call. Python 3.11
// has none: there the called frame itself says so.
static inline bool
pulse_frame_is_entry_mark(const pulse_frame_layout *frame)
{
#if PY_VERSION_HEX >= 0x030e0000
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER;
#elif PY_VERSION_HEX >= 0x030c0000
    return frame->owner == FRAME_OWNED_BY_CSTACK;
#else
    (void)frame;
    return false;
#endif
}

#endif
