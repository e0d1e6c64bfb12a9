#include "bytecode/held_generators.h"

// More are not looked at. A function has a variable or a loop for each.
enum { MOST = 64 };

typedef struct {
    PyObject *generators[MOST];
    int count;
} found_generators;

static bool
is_found(const found_generators *found, const PyObject *generator)
{
    for (int i = 0; i < found->count; i++) {
        if (found->generators[i] == generator) {
            return true;
        }
    }
    return false;
}

// False if there is no room for another one.
static bool
add(found_generators *found, PyObject *value)
{
    if (value != NULL && PyCell_Check(value)) {
        value = PyCell_GET(value);
    }
    if (value == NULL || !pulse_frame_is_suspended_in(value) || is_found(found, value)) {
        return true;
    }
    if (found->count == MOST) {
        return false;
    }
    found->generators[found->count++] = value;
    return true;
}

static bool
add_all(found_generators *found, const pulse_frame *frame, const pulse_code_marks *marks)
{
    bool is_inside = frame->position >= 0 && frame->position < marks->length;
    int count = frame->code->co_nlocalsplus + (is_inside ? marks->live[frame->position] : 0);
    for (int i = 0; i < count; i++) {
        if (!add(found, pulse_frame_value(frame, i))) {
            return false;
        }
    }
    return true;
}

bool
pulse_held_generators_are_critical(const pulse_frame *frame, const pulse_code_marks *marks)
{
    found_generators found = {.count = 0};
    if (!add_all(&found, frame, marks)) {
        return true;
    }
    for (int i = 0; i < found.count; i++) {
        pulse_frame held;
        pulse_frame_of(&held, found.generators[i]);
        const pulse_code_marks *of_held = pulse_code_marks_of(held.code, held.globals);
        if (of_held == NULL || of_held->critical || held.position < 0 || held.position >= of_held->length ||
            (of_held->marks[held.position] & PULSE_MARK_WITH) || !add_all(&found, &held, of_held)) {
            return true;
        }
    }
    return false;
}
