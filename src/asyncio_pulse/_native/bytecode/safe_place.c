#include "bytecode/safe_place.h"

#include "bytecode/code_marks.h"

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
        *here = pulse_frame_is_fresh(frame) ? PULSE_MARK_BEGINS : PULSE_MARK_YIELDED;
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

// Code that awaits has declared that other tasks may run. A plain generator at the same instruction only delegates. What is
// awaited may be C code that calls other Python code, such as an iterator that sorts; then the frame is not awaited.
static bool
is_await_edge(const pulse_frame *frame, const pulse_frame *caller, uint8_t here)
{
    return (here & PULSE_MARK_AWAITS) && is_awaitable(caller) &&
           (!frame->entered_from_c || pulse_frame_is_awaited_by(frame, caller));
}

// Foreign code: protected, or installed and not named by the program as its own.
static bool
is_library(const pulse_reach *reach, const pulse_frame *frame, PyObject *package)
{
    if (package != NULL) {
        if (PySet_Contains(reach->protected_modules, package) != 0) {
            return true;
        }
        if (reach->modules == NULL || PySet_Contains(reach->modules, package) == 1) {
            return false;
        }
    }
    PyObject *filename = frame->code->co_filename, *paths = reach->library_paths;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(paths); i++) {
        if (PyUnicode_Find(filename, PyTuple_GET_ITEM(paths, i), 0, PyUnicode_GET_LENGTH(filename), 1) >= 0) {
            return true;
        }
    }
    return false;
}

// Whether this frame, which belongs to `package`, may be suspended: 1 or 0, or -1 with an exception on failure.
static int
opted_in(const pulse_reach *reach, const pulse_frame *frame, PyObject *package)
{
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
    if (package == reach->package || reach->modules == NULL) {
        return 1;
    }
    int is_named = PySet_Contains(reach->modules, package);
    return is_named == 0 && reach->is_for_program ? !is_library(reach, frame, package) : is_named;
}

// Rules 2 and 3 for one frame of the synchronous segment.
static pulse_rule
judge_frame(const pulse_reach *reach, const pulse_frame *frame, const pulse_code_marks *marks, uint8_t here)
{
    if (marks->critical || (here & PULSE_MARK_WITH)) {
        return PULSE_RULE_CRITICAL;
    }
    return opted_in(reach, frame, marks->package) == 1 ? PULSE_PLACE_SAFE : PULSE_RULE_MODULE;
}

// Rule 1 for what is between a frame and its caller. `beneath` has the marks of the caller's instruction.
static bool
has_c_between(const pulse_reach *reach, const pulse_frame *frame, uint8_t beneath)
{
    if (!frame->entered_from_c || (frame->is_generator && (beneath & (PULSE_MARK_ITERATES | PULSE_MARK_AWAITS)))) {
        return false;
    }
    // A generator that cleans up may have been closed by the collector. Suspending it would stop the collector for the
    // whole process.
    return !(reach->through_iteration && frame->is_generator && !pulse_frame_handles_exception(frame));
}

// Judge the synchronous segment: from the interrupted frame up to the innermost await edge, exclusive.
static pulse_rule
judge_segment(const pulse_reach *reach, pulse_frame *frame)
{
    uint8_t here;
    const pulse_code_marks *marks = marks_at(frame, &here);
    if (marks == NULL || !(here & (PULSE_MARK_BEGINS | PULSE_MARK_YIELDED | PULSE_MARK_LOOPS))) {
        return PULSE_RULE_INSTRUCTION;
    }
    for (;;) {
        pulse_rule rule = judge_frame(reach, frame, marks, here);
        if (rule != PULSE_PLACE_SAFE || pulse_frame_is_of(frame, reach->coroutine)) {
            return rule;
        }
        pulse_frame caller = *frame;
        marks = pulse_frame_beneath(&caller) ? marks_at(&caller, &here) : NULL;
        if (marks == NULL) {
            return PULSE_RULE_C_CODE;
        }
        if (is_await_edge(frame, &caller, here)) {
            return PULSE_PLACE_SAFE;
        }
        if (has_c_between(reach, frame, here)) {
            return PULSE_RULE_C_CODE;
        }
        *frame = caller;
    }
}

// Judge a coroutine or asynchronous generator that is awaited and has done nothing yet: its synchronous segment is empty.
// Inside a library, an `await` that does not suspend is often part of something that must not be divided. Examples are a
// lock that checks for a cancellation before it takes hold, and a check with the write that depends on it.
static pulse_rule
judge_await_point(const pulse_reach *reach, pulse_frame *frame)
{
    uint8_t here;
    const pulse_code_marks *marks = marks_at(frame, &here);
    if (marks == NULL || !(frame->code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR))) {
        return PULSE_RULE_INSTRUCTION;
    }
    bool resumes = (frame->code->co_flags & CO_ASYNC_GENERATOR) && (here & PULSE_MARK_YIELDED);
    if (!(here & PULSE_MARK_BEGINS) && !resumes) {
        return PULSE_RULE_INSTRUCTION;
    }
    pulse_frame caller = *frame;
    const pulse_code_marks *of_caller = pulse_frame_beneath(&caller) ? marks_at(&caller, &here) : NULL;
    if (of_caller == NULL || !is_await_edge(frame, &caller, here)) {
        return PULSE_RULE_INSTRUCTION;
    }
    bool is_internal = is_library(reach, frame, marks->package) && is_library(reach, &caller, of_caller->package);
    return is_internal ? PULSE_RULE_MODULE : PULSE_PLACE_SAFE;
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
        reach->mode == PULSE_PREEMPT_ANYWHERE ? judge_segment(reach, where) : judge_await_point(reach, where);
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
    Py_XINCREF(reach->coroutine);
}

void
pulse_reach_let_go(const pulse_reach *reach)
{
    Py_XDECREF(reach->package);
    Py_XDECREF(reach->modules);
    Py_XDECREF(reach->protected_modules);
    Py_XDECREF(reach->library_paths);
    Py_XDECREF(reach->coroutine);
}

bool
pulse_safe_to_cancel(const pulse_reach *reach)
{
    pulse_frame frame;
    bool found = pulse_frame_innermost(&frame);
    while (found) {
        uint8_t here;
        const pulse_code_marks *marks = marks_at(&frame, &here);
        if (marks == NULL || marks->settles || (here & (PULSE_MARK_HANDLES | PULSE_MARK_ESCAPES))) {
            PyErr_Clear();
            return false;
        }
        if (pulse_frame_is_of(&frame, reach->coroutine)) {
            return true;
        }
        found = pulse_frame_beneath(&frame);
    }
    return false;
}
