#include "bytecode/stack_walk.h"

#include <opcode.h>

// An __exit__ or an exception in a higher slot makes the walk give up. Twelve handlers within each other, each inside a
// `with`, fit; ordinary values may lie as high as they like.
enum { SLOTS = 64, DEEPEST = 10000 };

// The stack before an instruction. Bit i of a mask belongs to slot i, counted from the bottom.
typedef struct {
    uint64_t exits;
    uint64_t exceptions;
    int depth;
    bool is_known;
    bool is_waiting;
} stack_state;

// One state for each unit, and the positions from which paths are still to be followed. Each position waits at most once at a
// time. A state that is known only gains bits, so the walk ends.
typedef struct {
    const pulse_instructions *instructions;
    const pulse_exception_table *table;
    pulse_stack_place *places;
    stack_state *states;
    int *waiting;
    int waiting_count;
} walk;

// A slot beneath the stack or beyond SLOTS has no bit.
static uint64_t
bit_of(int slot)
{
    return slot >= 0 && slot < SLOTS ? (uint64_t)1 << slot : 0;
}

static uint64_t
bits_below(int depth)
{
    return depth >= SLOTS ? UINT64_MAX : bit_of(depth) - 1;
}

static void
truncate_to(stack_state *state, int depth)
{
    state->depth = depth;
    state->exits &= bits_below(depth);
    state->exceptions &= bits_below(depth);
}

static bool
has(uint64_t mask, int slot)
{
    return mask & bit_of(slot);
}

// False if the slot is too high to be followed.
static bool
put(uint64_t *mask, int slot, bool is_set)
{
    *mask = is_set ? *mask | bit_of(slot) : *mask & ~bit_of(slot);
    return !is_set || bit_of(slot) != 0;
}

static bool
exchange(uint64_t *mask, int one, int other)
{
    bool of_one = has(*mask, one), of_other = has(*mask, other);
    return put(mask, one, of_other) && put(mask, other, of_one);
}

// What becomes of the special slots. `before` is the depth before the instruction, `state->depth` is that after it.
static bool
move_slots(stack_state *state, int before, int opcode, int oparg)
{
    int top = state->depth - 1;
    switch (opcode) {
#if PY_VERSION_HEX >= 0x030e0000
    case LOAD_SPECIAL:
        // 1 stands for __exit__. It takes the slot of the context manager, and `self` lies above it.
        return oparg != 1 || put(&state->exits, top - 1, true);
#else
    case BEFORE_WITH:
        return put(&state->exits, top - 1, true);
#endif
    case CALL:
        // The result takes the place of the callable, which may be an __exit__.
        return put(&state->exits, top, false);
    case PUSH_EXC_INFO:
        // The exception that was handled before goes beneath the new one.
        return put(&state->exceptions, top - 1, true);
    case SWAP:
        return exchange(&state->exits, before - 1, before - oparg) &&
               exchange(&state->exceptions, before - 1, before - oparg);
    case COPY:
        return put(&state->exits, top, has(state->exits, before - oparg)) &&
               put(&state->exceptions, top, has(state->exceptions, before - oparg));
    default:
        return true;
    }
}

static int
effect_of(int opcode, int oparg, bool jumps)
{
#if PY_VERSION_HEX < 0x030d0000
    // The value with which the generator is resumed. Before 3.13 the compiler adds it elsewhere.
    if (opcode == RETURN_GENERATOR) {
        return 1;
    }
#endif
    return PyCompile_OpcodeStackEffectWithJump(opcode, oparg, jumps);
}

// Run one instruction. Other values keep their slots, unless the stack becomes lower: too much is refused rather than too
// little. False if the outcome is unknown.
static bool
step(stack_state *state, int opcode, int oparg, bool jumps)
{
    int before = state->depth, effect = effect_of(opcode, oparg, jumps);
    if (effect == PY_INVALID_STACK_EFFECT || before + effect < 0 || before + effect > DEEPEST ||
        (opcode == POP_EXCEPT && before <= SLOTS && !has(state->exceptions, before - 1))) {
        return false;
    }
    truncate_to(state, before + effect);
    return move_slots(state, before, opcode, oparg);
}

static bool
goes_back(int opcode)
{
    switch (opcode) {
#if PY_VERSION_HEX < 0x030c0000
    case POP_JUMP_BACKWARD_IF_TRUE:
    case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_NONE:
    case POP_JUMP_BACKWARD_IF_NOT_NONE:
#endif
    case JUMP_BACKWARD:
    case JUMP_BACKWARD_NO_INTERRUPT:
        return true;
    default:
        return false;
    }
}

static bool
goes_forward(int opcode)
{
    switch (opcode) {
#if PY_VERSION_HEX < 0x030c0000
    case POP_JUMP_FORWARD_IF_TRUE:
    case POP_JUMP_FORWARD_IF_FALSE:
    case POP_JUMP_FORWARD_IF_NONE:
    case POP_JUMP_FORWARD_IF_NOT_NONE:
    case JUMP_IF_TRUE_OR_POP:
    case JUMP_IF_FALSE_OR_POP:
#else
    case POP_JUMP_IF_TRUE:
    case POP_JUMP_IF_FALSE:
    case POP_JUMP_IF_NONE:
    case POP_JUMP_IF_NOT_NONE:
#endif
    case JUMP_FORWARD:
    case FOR_ITER:
    case SEND:
        return true;
    default:
        return false;
    }
}

static bool
ends_path(int opcode)
{
    switch (opcode) {
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030e0000
    case RETURN_CONST:
#endif
    case RETURN_VALUE:
    case RAISE_VARARGS:
    case RERAISE:
    case JUMP_FORWARD:
    case JUMP_BACKWARD:
    case JUMP_BACKWARD_NO_INTERRUPT:
        return true;
    default:
        return false;
    }
}

// A path arrives at a position. False if an earlier one arrived with another depth.
static bool
arrive(walk *now, int position, const stack_state *with)
{
    if (position < 0 || position >= now->instructions->length) {
        return false;
    }
    stack_state *state = &now->states[position];
    stack_state merged = *with;
    if (state->is_known) {
        merged.exits |= state->exits;
        merged.exceptions |= state->exceptions;
        if (merged.depth != state->depth) {
            return false;
        }
        if (merged.exits == state->exits && merged.exceptions == state->exceptions) {
            return true;
        }
    }
    if (!state->is_waiting) {
        now->waiting[now->waiting_count++] = position;
    }
    merged.is_known = merged.is_waiting = true;
    *state = merged;
    return true;
}

// The instruction raises: its handler finds the stack cut down, with the exception on it.
static bool
arrive_at_handler(walk *now, int position)
{
    const pulse_handler_range *range = pulse_exception_table_range(now->table, position);
    if (range == NULL) {
        return true;
    }
    stack_state state = now->states[position];
    if (state.depth < range->depth) {
        return false;
    }
    truncate_to(&state, range->depth);
    state.depth += range->keeps_position ? 2 : 1;
    return arrive(now, range->target, &state);
}

static uint8_t
holds(const stack_state *state)
{
    return (state->exits != 0 ? PULSE_STACK_HOLDS_EXIT : 0) | (state->exceptions != 0 ? PULSE_STACK_HANDLES : 0);
}

// Values that the instruction neither takes nor puts. A jump back puts none, and has taken its condition when it checks for
// signals. What calls code of others puts one, the result; a suspended generator lacks the value it will be resumed with.
static uint8_t
count_live(int opcode, int before, int after)
{
    int untouched = goes_back(opcode) ? after : after - 1;
    int live = untouched < before ? untouched : before;
    return (uint8_t)(live < 0 ? 0 : live < UINT8_MAX ? live : UINT8_MAX);
}

static void
note_place(walk *now, int position, int opcode, const stack_state *after)
{
    const stack_state *before = &now->states[position];
    now->places[position] = (pulse_stack_place){
        .holds = holds(before) | holds(after),
        .live = count_live(opcode, before->depth, after->depth),
    };
}

// Follow the paths through one instruction. False if one of them is not understood.
static bool
follow(walk *now, int position)
{
    int opcode = pulse_opcode_at(now->instructions, position);
    int oparg = pulse_oparg_at(now->instructions, position);
    int next = pulse_unit_after(now->instructions, position);
    stack_state after = now->states[position];
    if (!step(&after, opcode, oparg, false)) {
        return false;
    }
    note_place(now, position, opcode, &after);
    if (goes_back(opcode) || goes_forward(opcode)) {
        stack_state jumped = now->states[position];
        int target = goes_back(opcode) ? next - oparg : next + oparg;
        if (!step(&jumped, opcode, oparg, true) || !arrive(now, target, &jumped)) {
            return false;
        }
    }
    return arrive_at_handler(now, position) && (ends_path(opcode) || arrive(now, next, &after));
}

static bool
follow_all(walk *now)
{
    static const stack_state empty = {0};
    if (!arrive(now, 0, &empty)) {
        return false;
    }
    while (now->waiting_count > 0) {
        int position = now->waiting[--now->waiting_count];
        now->states[position].is_waiting = false;
        if (!follow(now, position)) {
            return false;
        }
    }
    return true;
}

static void
hold_everything(pulse_stack_place *places, int length)
{
    for (int i = 0; i < length; i++) {
        places[i] = (pulse_stack_place){.holds = PULSE_STACK_HOLDS_EXIT | PULSE_STACK_HANDLES};
    }
}

int
pulse_stack_walk(const pulse_instructions *instructions, const pulse_exception_table *table, pulse_stack_place *places)
{
    size_t length = (size_t)instructions->length;
    walk now = {.instructions = instructions, .table = table, .places = places};
    now.states = PyMem_Calloc(length + 1, sizeof *now.states);
    now.waiting = PyMem_Malloc((length + 1) * sizeof *now.waiting);
    hold_everything(places, instructions->length);
    if (now.states == NULL || now.waiting == NULL) {
        PyErr_NoMemory();
    }
    else if (!follow_all(&now)) {
        hold_everything(places, instructions->length);
    }
    bool has_memory = now.states != NULL && now.waiting != NULL;
    PyMem_Free(now.states);
    PyMem_Free(now.waiting);
    return has_memory ? 0 : -1;
}
