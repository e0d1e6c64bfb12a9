#include "bytecode/joined_jumps.h"

#include <opcode.h>

#if PY_VERSION_HEX < 0x030c0000

static bool
is_joined(int opcode)
{
    return opcode == COMPARE_OP_FLOAT_JUMP || opcode == COMPARE_OP_INT_JUMP || opcode == COMPARE_OP_STR_JUMP;
}

static bool
jumps_back(int opcode)
{
    return opcode == POP_JUMP_BACKWARD_IF_TRUE || opcode == POP_JUMP_BACKWARD_IF_FALSE;
}

// `plain` is the code without specialisation. In it caches are 0, and nothing else is.
static void
take_apart(_Py_CODEUNIT *specialised, const uint8_t *plain, Py_ssize_t length)
{
    for (Py_ssize_t position = 0; position < length; position++) {
        Py_ssize_t next = position + 1;
        while (next < length && plain[2 * next] == CACHE) {
            next++;
        }
        if (plain[2 * position] == COMPARE_OP && next < length && jumps_back(plain[2 * next]) &&
            is_joined(_Py_OPCODE(specialised[position]))) {
            _Py_SET_OPCODE(specialised[position], COMPARE_OP);
        }
    }
}

void
pulse_joined_jumps_part(PyCodeObject *code)
{
    PyObject *plain = code == NULL ? NULL : PyCode_GetCode(code);
    if (plain != NULL) {
        take_apart(_PyCode_CODE(code), (const uint8_t *)PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain) / 2);
        Py_DECREF(plain);
    }
    PyErr_Clear();
}

#else

void
pulse_joined_jumps_part(PyCodeObject *Py_UNUSED(code))
{
}

#endif
