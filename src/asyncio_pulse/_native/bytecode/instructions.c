#include "bytecode/instructions.h"

#include <opcode.h>

int
pulse_instructions_read(pulse_instructions *instructions, PyCodeObject *code)
{
    instructions->bytes = PyCode_GetCode(code);
    if (instructions->bytes == NULL) {
        return -1;
    }
    instructions->units = (const uint8_t *)PyBytes_AS_STRING(instructions->bytes);
    instructions->length = (int)(PyBytes_GET_SIZE(instructions->bytes) / 2);
    return 0;
}

int
pulse_oparg_at(const pulse_instructions *instructions, int position)
{
    int oparg = pulse_low_oparg_at(instructions, position);
    for (int shift = 8; --position >= 0 && pulse_opcode_at(instructions, position) == EXTENDED_ARG && shift < 24;
         shift += 8) {
        oparg |= pulse_low_oparg_at(instructions, position) << shift;
    }
    return oparg;
}

int
pulse_unit_after(const pulse_instructions *instructions, int position)
{
    do {
        position++;
    } while (pulse_opcode_at(instructions, position) == CACHE);
    return position;
}
