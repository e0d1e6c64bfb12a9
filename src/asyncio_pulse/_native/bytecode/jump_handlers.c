#include "bytecode/jump_handlers.h"

#include <opcode.h>

enum { NONE = -1 };

bool
pulse_jump_is_back(int opcode)
{
#if PY_VERSION_HEX < 0x030c0000
    // In 3.11 these instructions check for signals, too: `while condition:` ends in one of them. The truth of the condition
    // may be C code, which cannot be told from the jump, but no known truth test checks for signals.
    if (opcode == POP_JUMP_BACKWARD_IF_TRUE || opcode == POP_JUMP_BACKWARD_IF_FALSE ||
        opcode == POP_JUMP_BACKWARD_IF_NONE || opcode == POP_JUMP_BACKWARD_IF_NOT_NONE) {
        return true;
    }
#endif
    return opcode == JUMP_BACKWARD;
}

// The handler of an instruction. That of a whole generator does not count: it only changes a StopIteration.
static int
handler_at(const pulse_instructions *instructions, const pulse_exception_table *table, int position)
{
    int target = pulse_exception_table_find(table, position);
#if PY_VERSION_HEX >= 0x030c0000
    if (target >= 0 && pulse_opcode_at(instructions, target) == CALL_INTRINSIC_1) {
        return NONE;
    }
#else
    (void)instructions;
#endif
    return target;
}

static bool
skips_next(int opcode)
{
#if PY_VERSION_HEX < 0x030c0000
    (void)opcode;
    return false;
#else
    return opcode == POP_JUMP_IF_TRUE || opcode == POP_JUMP_IF_FALSE || opcode == POP_JUMP_IF_NONE ||
           opcode == POP_JUMP_IF_NOT_NONE;
#endif
}

// The instruction before the one at `position`, without what belongs to either.
static int
instruction_before(const pulse_instructions *instructions, int position)
{
    for (;;) {
        int opcode = pulse_opcode_at(instructions, --position);
#if PY_VERSION_HEX >= 0x030e0000
        if (opcode == NOT_TAKEN) {
            continue;
        }
#endif
        if (position < 0 || (opcode != CACHE && opcode != EXTENDED_ARG)) {
            return position;
        }
    }
}

// Whether `found` is the handler of a loop whose jump has none itself. Since 3.12 a conditional jump back is made of two, and
// the compiler forgets the handler of the second one, later versions that of both. What they test has it. The target and the
// test may also lie in a `try` inside the loop.
static bool
is_handler_of_loop(const pulse_instructions *instructions, const pulse_exception_table *table, int position, int target,
                   int found)
{
    int of_target = handler_at(instructions, table, target), before = instruction_before(instructions, position);
    if (before >= 0 && skips_next(pulse_opcode_at(instructions, before))) {
        int of_test = handler_at(instructions, table, instruction_before(instructions, before));
        bool has_none = of_target == NONE || of_test == NONE;
        return has_none ? found == NONE : found == of_target || found == of_test;
    }
    const pulse_handler_range *range = pulse_exception_table_range(table, target);
    bool is_inner = range != NULL && range->start == target;
    return found == (is_inner ? NONE : of_target);
}

bool
pulse_jump_escapes(const pulse_instructions *instructions, const pulse_exception_table *table, int position)
{
    int target = pulse_unit_after(instructions, position) - pulse_oparg_at(instructions, position);
    // Up to 3.12 the interpreter looks at the instruction before the target, which a `try` may not cover yet.
    int looked_at = PY_VERSION_HEX < 0x030d0000 ? target - 1 : position;
    int found = handler_at(instructions, table, looked_at), own = handler_at(instructions, table, position);
    return own == NONE ? !is_handler_of_loop(instructions, table, position, target, found) : found != own;
}
