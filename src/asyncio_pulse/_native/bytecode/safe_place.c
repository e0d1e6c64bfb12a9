#include "bytecode/safe_place.h"

#include "bytecode/code_marks.h"
#include "bytecode/held_generators.h"
#include "bytecode/owned.h"
#include "bytecode/pass_through.h"

const char *
pulse_rule_name(pulse_rule rule)
{
    static const char *const names[PULSE_RULES] = {"instruction", "c_code", "critical", "module",
                                                   "guarded",     "traced", "greenlet"};
    return rule < 0 || rule >= PULSE_RULES ? "safe" : names[rule];
}

// The marks of the frame's code; `here` receives those of its current instruction. NULL with an exception on failure.
static const pulse_code_marks *
marks_at(const pulse_frame *frame, uint8_t *here)
{
    const pulse_code_marks *marks = pulse_code_marks_of(frame->code, frame->globals);
    if (marks != NULL && frame->is_starting) {
        bool is_inside = frame->position >= 0 && frame->position < marks->length;
        *here = pulse_frame_is_fresh(frame) ? PULSE_MARK_BEGINS
                                            : PULSE_MARK_YIELDED | (is_inside ? marks->marks[frame->position] : 0);
        return marks;
    }
    *here = marks != NULL && frame->position < marks->length ? marks->marks[frame->position] : 0;
    return marks;
}

static bool
is_awaitable(const pulse_frame *frame)
{
    return frame->code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE);
}

// Whether the caller awaits the frame's coroutine through a governed call that is not measured.
static bool
is_inside_awaited(const pulse_reach *reach, const pulse_frame *frame, const pulse_frame *caller,
                  const pulse_code_marks *marks)
{
    // What is awaited lies on top of the values that live. 255 stands for more.
    int live = caller->position < marks->length ? marks->live[caller->position] : 0;
    bool is_known = live > 0 && live < UINT8_MAX;
    PyObject *awaited = is_known ? pulse_frame_value(caller, caller->code->co_nlocalsplus + live - 1) : NULL;
    bool is_governed = awaited != NULL && Py_IS_TYPE(awaited, Py_TYPE(reach->polls[0].owner));
    PyObject *coroutine = is_governed ? reach->inside(awaited) : NULL;
    return coroutine != NULL && PyCoro_CheckExact(coroutine) && pulse_frame_is_of(frame, coroutine);
}

// Code that awaits has declared that other tasks may run. A plain generator at the same instruction only delegates. What is
// awaited may be C code that calls other Python code, such as an iterator that sorts; then the frame is not awaited.
// `marks` are those of the caller's code, `here` those of its instruction.
static bool
is_await_edge(const pulse_reach *reach, const pulse_frame *frame, const pulse_frame *caller,
              const pulse_code_marks *marks, uint8_t here)
{
    return (here & PULSE_MARK_AWAITS) && is_awaitable(caller) &&
           (!frame->entered_from_c || pulse_frame_is_awaited_by(frame, caller) ||
            is_inside_awaited(reach, frame, caller, marks));
}

// Whether this code is installed, or belongs to the standard library or to us.
static bool
is_installed(const pulse_reach *reach, const pulse_frame *frame, PyObject *package)
{
    if (package != NULL && PySet_Contains(reach->protected_modules, package) != 0) {
        return true;
    }
    PyObject *filename = frame->code->co_filename, *paths = reach->library_paths;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(paths); i++) {
        if (PyUnicode_Find(filename, PyTuple_GET_ITEM(paths, i), 0, PyUnicode_GET_LENGTH(filename), 1) >= 0) {
            return true;
        }
    }
    return false;
}

bool
pulse_reach_is_library(const pulse_reach *reach, const pulse_frame *frame, PyObject *package)
{
    bool is_named = package != NULL && PySet_Contains(reach->protected_modules, package) == 0 &&
                    (reach->modules == NULL || PySet_Contains(reach->modules, package) == 1);
    return !is_named && is_installed(reach, frame, package);
}

// Whether this frame's package opted in to suspensions between two statements: 1 or 0, or -1 with an exception on failure.
static int
opted_in(const pulse_reach *reach, const pulse_frame *frame, const pulse_code_marks *marks)
{
    PyObject *package = marks->package;
    if (reach->mode != PULSE_PREEMPT_ANYWHERE) {
        return 0;
    }
    if (package == NULL) {
        // Code made by `exec` in a bare dictionary, such as a compiled template, belongs to no package. It opts in only
        // where all packages do.
        return reach->modules == NULL;
    }
    int is_protected = PySet_Contains(reach->protected_modules, package);
    if (is_protected != 0) {
        return is_protected < 0 ? -1 : 0;
    }
    // Both are interned, so pointers suffice.
    if ((package == reach->package && !reach->is_for_program) || reach->modules == NULL) {
        return 1;
    }
    int is_named = PySet_Contains(reach->modules, package);
    return is_named == 0 && reach->is_for_program ? !pulse_reach_is_library(reach, frame, package) : is_named;
}

// How many values on the stack of a frame are valid for sure. `called_c`: C code runs that it called.
static int
valid_values(const pulse_frame *frame, const pulse_code_marks *marks, bool called_c)
{
    if (frame->position < 0 || frame->position >= marks->length || marks->live[frame->position] == UINT8_MAX) {
        return 0;
    }
    int valid = marks->live[frame->position] + (called_c ? pulse_pass_through_operands(frame) : 0);
    return valid <= frame->code->co_stacksize ? valid : 0;
}

// Whether this frame may be suspended between two statements, together with those that it called. `inner_of` is that of
// pulse_vetted_extends. Notes what must belong to the step.
static bool
consents(const pulse_reach *reach, const pulse_frame *frame, const pulse_code_marks *marks, uint32_t *inner_of,
         pulse_owned *owned)
{
    if (*inner_of == 0 && opted_in(reach, frame, marks) == 1) {
        return true;
    }
    // Also if its package is named: a name takes nothing away.
    return is_installed(reach, frame, marks->package) && pulse_vetted_extends(&marks->vetted, frame, inner_of) &&
           pulse_owned_note(owned, frame, &marks->vetted, valid_values(frame, marks, false));
}

static bool
is_of_step(const pulse_reach *reach, const pulse_frame *frame)
{
    return pulse_frame_is_of(frame, reach->polls[reach->polls_count - 1].coroutine);
}

// Whether what was noted belongs to the step.
static bool
owns(const pulse_reach *reach, pulse_frame frame, pulse_owned *owned)
{
    if (owned->count == 0) {
        return true;
    }
    bool called_c = false;
    for (bool more = true; more; more = !is_of_step(reach, &frame) && pulse_frame_beneath(&frame)) {
        const pulse_code_marks *marks = pulse_code_marks_of(frame.code, frame.globals);
        if (marks == NULL) {
            return false;
        }
        pulse_owned_count(owned, &frame, valid_values(&frame, marks, called_c));
        called_c = frame.entered_from_c;
    }
    return pulse_owned_are(owned);
}

static bool
is_critical(const pulse_frame *frame, const pulse_code_marks *marks, uint8_t here)
{
    return marks->critical || (here & PULSE_MARK_WITH) || pulse_held_generators_are_critical(frame, marks);
}

// Rule 1 for what is between a frame and its caller. `marks` are those of the caller's code, `beneath` those of its instruction.
static bool
has_c_between(const pulse_reach *reach, const pulse_frame *frame, const pulse_frame *caller,
              const pulse_code_marks *marks, uint8_t beneath)
{
    if (!frame->entered_from_c || (frame->is_generator && (beneath & PULSE_MARK_ITERATES))) {
        return false;
    }
    if (frame->is_generator && (beneath & PULSE_MARK_AWAITS) && !is_awaitable(frame)) {
        // A plain generator that another one delegates to.
        return false;
    }
    // A generator that cleans up may have been closed by the collector. Suspending it would stop the collector for the
    // whole process.
    if (reach->through_iteration && frame->is_generator && !pulse_frame_handles_exception(frame)) {
        return false;
    }
    return !pulse_pass_through_holds_nothing(frame, caller, marks);
}

// Judge the link from a frame to its caller. `*poll` counts the polls whose beginning was passed, and `*is_await` tells
// whether the caller awaits the frame.
static pulse_rule
judge_link(const pulse_reach *reach, const pulse_frame *frame, const pulse_frame *caller, int *poll, bool *is_await)
{
    uint8_t beneath;
    const pulse_code_marks *marks = marks_at(caller, &beneath);
    if (marks == NULL) {
        return PULSE_RULE_C_CODE;
    }
    const pulse_polled *polled = &reach->polls[*poll];
    if (pulse_frame_is_of(frame, polled->coroutine)) {
        (*poll)++;
        *is_await = true;
        bool awaited =
            (beneath & PULSE_MARK_AWAITS) && is_awaitable(caller) && pulse_frame_holds(caller, polled->owner);
        return awaited ? PULSE_PLACE_SAFE : PULSE_RULE_C_CODE;
    }
    *is_await = is_await_edge(reach, frame, caller, marks, beneath);
    return *is_await || !has_c_between(reach, frame, caller, marks, beneath) ? PULSE_PLACE_SAFE : PULSE_RULE_C_CODE;
}

// Whether the caller's critical section, if it is in one, is left where it awaits the frame. A library that awaits code of
// another package inside `with` expects that code to wait; examples are spans of a tracer. So does one that awaits a vetted
// function.
static bool
expects_to_wait(const pulse_reach *reach, const pulse_frame *frame, const pulse_frame *caller)
{
    uint8_t here, beneath;
    const pulse_code_marks *marks = marks_at(frame, &here), *of_caller = marks_at(caller, &beneath);
    // Both packages are interned, so pointers suffice.
    if (marks == NULL || of_caller == NULL) {
        return false;
    }
    return marks->vetted.libraries != 0
               ? is_installed(reach, caller, of_caller->package)
               : marks->package != of_caller->package && pulse_reach_is_library(reach, caller, of_caller->package);
}

// Judge every link from this frame down to the beginning of the task's step. Up to the first await edge, the code must have
// opted in, and must not be in a critical section; this is the synchronous segment, if there is one.
static pulse_rule
judge_links(const pulse_reach *reach, pulse_frame *frame, bool in_segment)
{
    const pulse_frame innermost = *frame;
    int poll = 0;
    uint32_t inner_of = 0;
    pulse_owned owned = {.count = 0};
    for (bool may_be_critical = false;;) {
        uint8_t here;
        const pulse_code_marks *marks = marks_at(frame, &here);
        if (marks == NULL) {
            return PULSE_RULE_C_CODE;
        }
        if ((in_segment || reach->mode == PULSE_PREEMPT_WAITS) && !may_be_critical && is_critical(frame, marks, here)) {
            return PULSE_RULE_CRITICAL;
        }
        if (in_segment && !consents(reach, frame, marks, &inner_of, &owned)) {
            return PULSE_RULE_MODULE;
        }
        if (poll == reach->polls_count - 1 && is_of_step(reach, frame)) {
            return owns(reach, innermost, &owned) ? PULSE_PLACE_SAFE : PULSE_RULE_MODULE;
        }
        pulse_frame caller = *frame;
        bool is_await;
        if (!pulse_frame_beneath(&caller)) {
            return PULSE_RULE_C_CODE;
        }
        pulse_rule rule = judge_link(reach, frame, &caller, &poll, &is_await);
        if (rule != PULSE_PLACE_SAFE) {
            return rule;
        }
        in_segment = in_segment && !is_await;
        may_be_critical = is_await && expects_to_wait(reach, frame, &caller);
        *frame = caller;
    }
}

// Judge a place between two statements.
static pulse_rule
judge_statement(const pulse_reach *reach, pulse_frame *frame)
{
    uint8_t here;
    const pulse_code_marks *marks = marks_at(frame, &here);
    if (marks == NULL || !(here & (PULSE_MARK_BEGINS | PULSE_MARK_YIELDED | PULSE_MARK_LOOPS))) {
        return PULSE_RULE_INSTRUCTION;
    }
    return judge_links(reach, frame, true);
}

// Whether other tasks may run where this caller awaits this coroutine or asynchronous generator, which has done nothing yet.
// Inside a library, an `await` that does not suspend is often part of something that must not be divided. Examples are a
// lock that checks for a cancellation before it takes hold, and a check with the write that depends on it. A program may rely
// on that for its own coroutines, too.
static bool
may_wait(const pulse_reach *reach, const pulse_frame *frame, PyObject *package, const pulse_frame *caller,
         PyObject *package_of_caller)
{
    bool from_library = pulse_reach_is_library(reach, caller, package_of_caller),
         to_library = pulse_reach_is_library(reach, frame, package);
    if (reach->mode != PULSE_PREEMPT_WAITS) {
        return !from_library || !to_library;
    }
    return !from_library && (to_library || frame->code->co_flags & CO_ASYNC_GENERATOR);
}

// Judge a coroutine or asynchronous generator that is awaited and has done nothing yet: its synchronous segment is empty.
static pulse_rule
judge_await_point(const pulse_reach *reach, pulse_frame *frame)
{
    uint8_t here;
    const pulse_code_marks *marks = marks_at(frame, &here);
    if (marks == NULL || !(frame->code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)) ||
        pulse_frame_is_of(frame, reach->polls[0].coroutine)) {
        return PULSE_RULE_INSTRUCTION;
    }
    bool resumes = (frame->code->co_flags & CO_ASYNC_GENERATOR) && (here & PULSE_MARK_YIELDED);
    if (!(here & PULSE_MARK_BEGINS) && !resumes) {
        return PULSE_RULE_INSTRUCTION;
    }
    if ((here & PULSE_MARK_WITH) || pulse_held_generators_are_critical(frame, marks)) {
        return PULSE_RULE_CRITICAL;
    }
    pulse_frame caller = *frame;
    const pulse_code_marks *of_caller = pulse_frame_beneath(&caller) ? marks_at(&caller, &here) : NULL;
    if (of_caller == NULL || !is_await_edge(reach, frame, &caller, of_caller, here)) {
        return PULSE_RULE_INSTRUCTION;
    }
    if (!may_wait(reach, frame, marks->package, &caller, of_caller->package)) {
        return PULSE_RULE_MODULE;
    }
    *frame = caller;
    return judge_links(reach, frame, false);
}

// Judge a place in code that did not opt in: an await, or a statement of a vetted function.
static pulse_rule
judge_without_consent(const pulse_reach *reach, pulse_frame *frame)
{
    pulse_frame here = *frame;
    pulse_rule rule = judge_await_point(reach, frame);
    if (rule == PULSE_PLACE_SAFE) {
        return PULSE_PLACE_AWAIT;
    }
    uint8_t ignored;
    const pulse_code_marks *marks = marks_at(&here, &ignored);
    if (marks == NULL || marks->vetted.libraries == 0) {
        return rule;
    }
    *frame = here;
    return judge_statement(reach, frame);
}

pulse_rule
pulse_safe_to_suspend(const pulse_reach *reach, const pulse_frame *starting, pulse_frame *where)
{
    if (starting != NULL) {
        *where = *starting;
    }
    else if (!pulse_frame_innermost(where)) {
        where->code = NULL;
        return PULSE_RULE_INSTRUCTION;
    }
    pulse_rule rule =
        reach->mode == PULSE_PREEMPT_ANYWHERE ? judge_statement(reach, where) : judge_without_consent(reach, where);
    // Without enough memory to judge, a place is not safe.
    PyErr_Clear();
    return rule;
}

void
pulse_reach_hold(const pulse_reach *reach)
{
    Py_XINCREF(reach->package);
    Py_XINCREF(reach->modules);
    Py_XINCREF(reach->protected_modules);
    Py_XINCREF(reach->library_paths);
}

void
pulse_reach_let_go(const pulse_reach *reach)
{
    Py_XDECREF(reach->package);
    Py_XDECREF(reach->modules);
    Py_XDECREF(reach->protected_modules);
    Py_XDECREF(reach->library_paths);
}

bool
pulse_safe_to_cancel(const pulse_reach *reach)
{
    pulse_frame frame;
    bool found = pulse_frame_innermost(&frame);
    while (found) {
        uint8_t here;
        const pulse_code_marks *marks = marks_at(&frame, &here);
        if (marks == NULL || marks->settles || (here & PULSE_MARK_HANDLES)) {
            PyErr_Clear();
            return false;
        }
        if (pulse_frame_is_of(&frame, reach->polls[0].coroutine)) {
            return true;
        }
        found = pulse_frame_beneath(&frame);
    }
    return false;
}

bool
pulse_place_misses_handler(void)
{
    pulse_frame frame;
    uint8_t here = 0;
    bool is_known = pulse_frame_innermost(&frame) && marks_at(&frame, &here) != NULL;
    PyErr_Clear();
    return is_known && (here & PULSE_MARK_ESCAPES);
}
