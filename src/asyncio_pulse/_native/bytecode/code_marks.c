#include "bytecode/code_marks.h"

#include <opcode.h>
#include <string.h>

#include "bytecode/exception_table.h"
#include "bytecode/instructions.h"
#include "bytecode/jump_handlers.h"
#include "bytecode/stack_walk.h"

#if PY_VERSION_HEX < 0x030c0000
#define PyUnstable_Code_GetExtra _PyCode_GetExtra
#define PyUnstable_Code_SetExtra _PyCode_SetExtra
#define PyUnstable_Eval_RequestCodeExtraIndex _PyEval_RequestCodeExtraIndex
#endif

// One index for the whole process. It belongs to the interpreter's code objects, which outlive any import of this module.
static Py_ssize_t extra_index = -1;

// A code object under examination.
typedef struct {
    PyCodeObject *code;
    pulse_instructions instructions;
    pulse_exception_table table;
    int length;
    uint8_t *marks;
    uint8_t *live;
} examination;

static int
opcode_at(const examination *seen, int position)
{
    return pulse_opcode_at(&seen->instructions, position);
}

// The instruction after the one at `position`. Skips EXTENDED_ARG, which only extends the next argument.
static int
next_instruction(const examination *seen, int position)
{
    do {
        position = pulse_unit_after(&seen->instructions, position);
    } while (opcode_at(seen, position) == EXTENDED_ARG);
    return position;
}

static void
mark_await(examination *seen, int position)
{
    // The frame stands between SEND and RESUME while something is thrown into what it awaits.
    seen->marks[position] |= PULSE_MARK_AWAITS;
    int after = next_instruction(seen, position);
    if (opcode_at(seen, after) == YIELD_VALUE) {
        seen->marks[after] |= PULSE_MARK_AWAITS;
        after = next_instruction(seen, after);
        if (opcode_at(seen, after) == RESUME) {
            seen->marks[after] |= PULSE_MARK_AWAITS;
        }
    }
}

static void
mark_instruction(examination *seen, int position)
{
    int opcode = opcode_at(seen, position);
    if (opcode == RESUME) {
        // The higher bits have other meanings.
        int where = pulse_low_oparg_at(&seen->instructions, position) & 3;
        seen->marks[position] |= where == 0 ? PULSE_MARK_BEGINS : where == 1 ? PULSE_MARK_YIELDED : 0;
    }
    else if (pulse_jump_is_back(opcode)) {
        bool escapes = pulse_jump_escapes(&seen->instructions, &seen->table, position);
        seen->marks[position] |= PULSE_MARK_LOOPS | (escapes ? PULSE_MARK_ESCAPES : 0);
    }
    else if (opcode == SEND) {
        mark_await(seen, position);
    }
    else if (opcode == FOR_ITER) {
        seen->marks[position] |= PULSE_MARK_ITERATES;
    }
}

static int
mark_stack(examination *seen)
{
    pulse_stack_place *places = PyMem_New(pulse_stack_place, seen->length + 1);
    if (places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int result = pulse_stack_walk(&seen->instructions, &seen->table, places);
    for (int i = 0; i < seen->length && result == 0; i++) {
        seen->marks[i] |= (places[i].holds & PULSE_STACK_HOLDS_EXIT ? PULSE_MARK_WITH : 0) |
                          (places[i].holds & PULSE_STACK_HANDLES ? PULSE_MARK_HANDLES : 0);
        seen->live[i] = places[i].live;
    }
    PyMem_Free(places);
    return result;
}

// The marks of an instruction also hold for its caches, because a frame that waits for a call stands at one of them.
static void
spread_over_caches(examination *seen)
{
    for (int i = 1; i < seen->length; i++) {
        if (opcode_at(seen, i) == CACHE) {
            seen->marks[i] = seen->marks[i - 1];
            seen->live[i] = seen->live[i - 1];
        }
    }
}

// Call `visit` for each run of code units on one line. -1 with an exception on failure.
static int
each_line(examination *seen, void (*visit)(examination *, int start, int end, long line, PyObject *lines),
          PyObject *lines)
{
    PyObject *iterator = PyObject_CallMethod((PyObject *)seen->code, "co_lines", NULL);
    PyObject *item = NULL;
    while (iterator != NULL && (item = PyIter_Next(iterator)) != NULL) {
        PyObject *line = PyTuple_GET_ITEM(item, 2);
        if (!Py_IsNone(line)) {
            int start = (int)PyLong_AsLong(PyTuple_GET_ITEM(item, 0)) / 2;
            int end = (int)PyLong_AsLong(PyTuple_GET_ITEM(item, 1)) / 2;
            visit(seen, start, end < seen->length ? end : seen->length, PyLong_AsLong(line), lines);
        }
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static void
collect_line(examination *seen, int start, int end, long line, PyObject *lines)
{
    for (int i = start; i < end; i++) {
        if (seen->marks[i] & PULSE_MARK_HANDLES) {
            PyObject *number = PyLong_FromLong(line);
            if (number != NULL) {
                PySet_Add(lines, number);
                Py_DECREF(number);
            }
            return;
        }
    }
}

static bool
has_line(PyObject *lines, long line)
{
    PyObject *number = PyLong_FromLong(line);
    bool answer = number != NULL && PySet_Contains(lines, number) == 1;
    Py_XDECREF(number);
    return answer;
}

// Whether a jump goes back to the beginning of a loop around the handler, whose last instruction it is: the handler is
// through. A loop inside a `finally` goes back to a line of the handler.
static bool
leaves_handler(const examination *seen, int position, PyObject *lines)
{
    if (!pulse_jump_is_back(opcode_at(seen, position)) || seen->marks[position] & PULSE_MARK_HANDLES) {
        return false;
    }
    int target = pulse_unit_after(&seen->instructions, position) - pulse_oparg_at(&seen->instructions, position);
    return !has_line(lines, PyCode_Addr2Line(seen->code, target * 2));
}

static void
mark_line(examination *seen, int start, int end, long line, PyObject *lines)
{
    if (!has_line(lines, line)) {
        return;
    }
    for (int i = start; i < end; i++) {
        if (leaves_handler(seen, i, lines)) {
            i = pulse_unit_after(&seen->instructions, i) - 1;
        }
        else {
            seen->marks[i] |= PULSE_MARK_HANDLES;
        }
    }
}

static int
mark_lines_of_handlers(examination *seen)
{
    PyObject *lines = PySet_New(NULL);
    if (lines == NULL) {
        return -1;
    }
    int result = each_line(seen, collect_line, lines);
    if (result == 0 && PySet_GET_SIZE(lines) > 0) {
        result = each_line(seen, mark_line, lines);
    }
    Py_DECREF(lines);
    return result;
}

static int
examine(examination *seen)
{
    if (pulse_exception_table_read(&seen->table, seen->code) < 0 || mark_stack(seen) < 0) {
        return -1;
    }
    for (int i = 0; i < seen->length; i++) {
        mark_instruction(seen, i);
    }
    spread_over_caches(seen);
    return mark_lines_of_handlers(seen);
}

static bool
is_one_of(PyObject *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (PyUnicode_CompareWithASCIIString(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_critical(PyCodeObject *code)
{
    static const char *const methods[] = {"__enter__", "__exit__", "__del__", NULL};
    static const char *const locks[] = {"acquire", "enter_context", NULL};
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); i++) {
        if (is_one_of(PyTuple_GET_ITEM(code->co_names, i), locks)) {
            return true;
        }
    }
    return is_one_of(code->co_name, methods);
}

// Borrowed; NULL without an exception if the globals name no module.
static PyObject *
module_of(PyObject *globals)
{
    PyObject *name = PyDict_Check(globals) ? PyDict_GetItemString(globals, "__name__") : NULL;
    return name != NULL && PyUnicode_CheckExact(name) ? name : NULL;
}

PyObject *
pulse_code_marks_package(PyObject *globals)
{
    PyObject *name = module_of(globals);
    if (name == NULL) {
        return NULL;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(name), dot = PyUnicode_FindChar(name, '.', 0, length, 1);
    PyObject *package = PyUnicode_Substring(name, 0, dot < 0 ? length : dot);
    if (package != NULL) {
        PyUnicode_InternInPlace(&package);
    }
    return package;
}

static void
free_marks(void *memory)
{
    pulse_code_marks *marks = memory;
    if (marks != NULL) {
        Py_XDECREF(marks->package);
        PyMem_Free(marks);
    }
}

static pulse_code_marks *
new_marks(PyCodeObject *code, PyObject *globals)
{
    static const char *const settling[] = {"__aenter__", "__aexit__", "aclose", NULL};
    examination seen = {.code = code};
    if (pulse_instructions_read(&seen.instructions, code) < 0) {
        return NULL;
    }
    seen.length = seen.instructions.length;
    pulse_code_marks *marks = PyMem_Calloc(1, sizeof *marks + 2 * (size_t)seen.length);
    if (marks != NULL) {
        seen.marks = marks->marks;
        marks->live = seen.live = marks->marks + seen.length;
        marks->length = seen.length;
        marks->critical = is_critical(code);
        marks->settles = is_one_of(code->co_name, settling);
        bool is_found = pulse_vetted_find(code, module_of(globals), &marks->vetted) == 0;
        marks->package = is_found ? pulse_code_marks_package(globals) : NULL;
    }
    else {
        PyErr_NoMemory();
    }
    if (marks == NULL || PyErr_Occurred() || examine(&seen) < 0) {
        free_marks(marks);
        marks = NULL;
    }
    PyMem_Free(seen.table.ranges);
    Py_DECREF(seen.instructions.bytes);
    return marks;
}

int
pulse_code_marks_init(void)
{
    if (extra_index < 0) {
        extra_index = PyUnstable_Eval_RequestCodeExtraIndex(free_marks);
        if (extra_index < 0) {
            PyErr_SetString(PyExc_RuntimeError, "code objects have no room for what preemption has to know of them");
            return -1;
        }
    }
    return 0;
}

const pulse_code_marks *
pulse_code_marks_of(PyCodeObject *code, PyObject *globals)
{
    void *known = NULL;
    if (PyUnstable_Code_GetExtra((PyObject *)code, extra_index, &known) < 0) {
        return NULL;
    }
    if (known == NULL) {
        known = new_marks(code, globals);
        if (known != NULL && PyUnstable_Code_SetExtra((PyObject *)code, extra_index, known) < 0) {
            free_marks(known);
            known = NULL;
        }
    }
    return known;
}

PyObject *
pulse_code_marks_show(PyObject *Py_UNUSED(module), PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "a code object was expected, got %R", code);
        return NULL;
    }
    PyObject *globals = PyDict_New();
    pulse_code_marks *marks = globals == NULL ? NULL : new_marks((PyCodeObject *)code, globals);
    Py_XDECREF(globals);
    if (marks == NULL) {
        return NULL;
    }
    PyObject *shown = PyBytes_FromStringAndSize((const char *)marks->marks, marks->length);
    free_marks(marks);
    return shown;
}
