#include "bytecode/entry_frame.h"

#if PY_VERSION_HEX >= 0x030e0000

static _Py_CODEUNIT never_run[2];

int
pulse_entry_frame_init(void)
{
    return 0;
}

void
pulse_entry_frame_make(pulse_frame_layout *frame)
{
    frame->f_executable = PyStackRef_None;
    frame->instr_ptr = never_run + 1;
    frame->stackpointer = frame->localsplus;
    frame->owner = FRAME_OWNED_BY_INTERPRETER;
}

bool
pulse_entry_frame_is(const pulse_frame_layout *frame)
{
    return frame->instr_ptr == never_run + 1;
}

#else

// Up to 3.13.0 at least, faulthandler goes wrong where two marks of the interpreter follow each other. So this is a frame
// of code, and stands before the first instruction of that code.
static PyCodeObject *no_code;
static PyObject *builtins;

int
pulse_entry_frame_init(void)
{
    if (no_code == NULL) {
        // Borrowed. 3.11 takes globals and builtins from the current frame, even from a frame that did not begin.
        PyObject *module = PyImport_AddModule("builtins");
        builtins = module == NULL ? NULL : PyModule_GetDict(module);
        no_code = builtins == NULL ? NULL : PyCode_NewEmpty("asyncio_pulse", "poll", 1);
    }
    return no_code == NULL ? -1 : 0;
}

void
pulse_entry_frame_make(pulse_frame_layout *frame)
{
    frame->f_builtins = frame->f_globals = builtins;
    frame->owner = FRAME_OWNED_BY_THREAD;
#if PY_VERSION_HEX >= 0x030d0000
    frame->f_executable = (PyObject *)no_code;
    frame->instr_ptr = _PyCode_CODE(no_code) - 1;
#else
    frame->f_code = no_code;
    frame->prev_instr = _PyCode_CODE(no_code) - 1;
#endif
#if PY_VERSION_HEX < 0x030c0000
    frame->is_entry = true;
#endif
}

bool
pulse_entry_frame_is(const pulse_frame_layout *frame)
{
    return no_code != NULL && pulse_frame_code(frame) == no_code;
}

#endif
