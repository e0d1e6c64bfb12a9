#include "bytecode/frames.h"

#include <stddef.h>

#include "bytecode/entry_frame.h"

#if PY_VERSION_HEX >= 0x030c0000

static bool
is_entered_from_c(const pulse_frame_layout *frame)
{
    return frame->previous == NULL || pulse_frame_is_entry_mark(frame->previous);
}

// Whether this is the frame that the interpreter puts beneath an inlined __init__, to check that it returns None. Not even
// its globals are set.
static bool
is_cleanup_of_init(const pulse_frame_layout *frame)
{
#ifdef EXIT_INIT_CHECK
    return _PyCode_CODE(pulse_frame_code(frame))->op.code == EXIT_INIT_CHECK;
#else
    (void)frame;
    return false;
#endif
}

static pulse_frame_layout *
skip_entry_marks(pulse_frame_layout *frame)
{
    // Ours first, because it runs no code that could be looked at.
    while (frame != NULL &&
           (pulse_entry_frame_is(frame) || pulse_frame_is_entry_mark(frame) || is_cleanup_of_init(frame))) {
        frame = frame->previous;
    }
    return frame;
}

#else

static bool
is_entered_from_c(const pulse_frame_layout *frame)
{
    return frame->is_entry;
}

static pulse_frame_layout *
skip_entry_marks(pulse_frame_layout *frame)
{
    while (frame != NULL && pulse_entry_frame_is(frame)) {
        frame = frame->previous;
    }
    return frame;
}

#endif

static bool
look_at(pulse_frame *seen, pulse_frame_layout *frame)
{
    if (frame == NULL) {
        return false;
    }
    seen->frame = frame;
    seen->code = pulse_frame_code(frame);
    seen->globals = frame->f_globals;
    seen->position = (int)(pulse_frame_instruction(frame) - _PyCode_CODE(seen->code));
    seen->entered_from_c = is_entered_from_c(frame);
    seen->is_generator = frame->owner == FRAME_OWNED_BY_GENERATOR;
    seen->is_starting = false;
    return seen->position >= 0;
}

bool
pulse_frame_innermost(pulse_frame *seen)
{
    pulse_frame_layout *frame = PULSE_CURRENT_FRAME(PyThreadState_Get());
    if (frame == NULL || pulse_frame_is_entry_mark(frame)) {
        return false;
    }
    return look_at(seen, frame);
}

bool
pulse_frame_starting(pulse_frame *seen, pulse_frame_layout *starting)
{
    pulse_frame_layout *caller = PULSE_CURRENT_FRAME(PyThreadState_Get());
    if (caller == NULL || pulse_frame_is_entry_mark(caller)) {
        return false;
    }
    look_at(seen, starting);
    // While the hook is set, C code makes every call, also that of a Python function by Python code.
    seen->entered_from_c = true;
    seen->is_starting = true;
    return true;
}

static const PyGenObject *
generator_of(const pulse_frame *seen)
{
    return (const PyGenObject *)((const char *)seen->frame - offsetof(PyGenObject, gi_iframe));
}

bool
pulse_frame_holds(const pulse_frame *seen, const PyObject *object)
{
    int first = seen->code->co_nlocalsplus;
    for (int i = first; i < first + seen->code->co_stacksize; i++) {
        // Values above the top of the stack are stale, and may only be compared.
#if PY_VERSION_HEX >= 0x030e0000
        const PyObject *value = PyStackRef_AsPyObjectBorrow(seen->frame->localsplus[i]);
#else
        const PyObject *value = seen->frame->localsplus[i];
#endif
        if (value == object) {
            return true;
        }
    }
    return false;
}

bool
pulse_frame_is_awaited_by(const pulse_frame *seen, const pulse_frame *caller)
{
    return seen->is_generator && (seen->code->co_flags & CO_ASYNC_GENERATOR ||
                                  pulse_frame_holds(caller, (const PyObject *)generator_of(seen)));
}

bool
pulse_frame_is_fresh(const pulse_frame *seen)
{
    return seen->position <= seen->code->_co_firsttraceable;
}

bool
pulse_frame_beneath(pulse_frame *seen)
{
    pulse_frame_layout *beneath = seen->is_starting ? PULSE_CURRENT_FRAME(PyThreadState_Get()) : seen->frame->previous;
    return look_at(seen, skip_entry_marks(beneath));
}

PyObject *
pulse_frame_value(const pulse_frame *seen, int index)
{
#if PY_VERSION_HEX >= 0x030e0000
    _PyStackRef value = seen->frame->localsplus[index];
    return PyStackRef_IsNull(value) || PyStackRef_IsTaggedInt(value) ? NULL : PyStackRef_AsPyObjectBorrow(value);
#else
    return seen->frame->localsplus[index];
#endif
}

bool
pulse_frame_counts(const pulse_frame *seen, int index)
{
#if PY_VERSION_HEX >= 0x030e0000
    return PyStackRef_RefcountOnObject(seen->frame->localsplus[index]);
#else
    (void)seen;
    (void)index;
    return true;
#endif
}

PyObject *
pulse_frame_variable(const pulse_frame *seen, PyObject *name)
{
    PyObject *names = seen->code->co_localsplusnames;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), name) == 0) {
            PyObject *value = pulse_frame_value(seen, (int)i);
            return value != NULL && PyCell_Check(value) ? PyCell_GET(value) : value;
        }
    }
    return NULL;
}

PyObject *
pulse_frame_first_argument(const pulse_frame *seen)
{
    PyObject *value = seen->code->co_argcount > 0 ? pulse_frame_value(seen, 0) : NULL;
    // A function inside may use it, too.
    return value != NULL && PyCell_Check(value) ? PyCell_GET(value) : value;
}

bool
pulse_frame_is_suspended_in(PyObject *value)
{
    if (!PyGen_CheckExact(value) && !PyCoro_CheckExact(value) && !PyAsyncGen_CheckExact(value)) {
        return false;
    }
    int state = ((PyGenObject *)value)->gi_frame_state;
#if PY_VERSION_HEX >= 0x030d0000
    return FRAME_STATE_SUSPENDED(state);
#else
    return state == FRAME_SUSPENDED;
#endif
}

void
pulse_frame_of(pulse_frame *seen, PyObject *coroutine)
{
    look_at(seen, (pulse_frame_layout *)&((PyGenObject *)coroutine)->gi_iframe);
}

bool
pulse_frame_is_of(const pulse_frame *seen, PyObject *coroutine)
{
    // Declared as a placeholder array in some versions, as the frame itself in others. The address is the same.
    return seen->frame == (pulse_frame_layout *)&((PyGenObject *)coroutine)->gi_iframe;
}

bool
pulse_frame_handles_exception(const pulse_frame *seen)
{
    const PyGenObject *generator = generator_of(seen);
    return generator->gi_exc_state.exc_value != NULL && !Py_IsNone(generator->gi_exc_state.exc_value);
}
