#include "bytecode/pass_through.h"

#include <opcode.h>

#include "bytecode/instructions.h"

// Calls that are nested in each other, such as a partial of a partial.
enum { DEEPEST = 4 };

// The types of functools that wrap a function. They are written in C, and end with the interpreter.
static PyTypeObject *partial_type, *lru_cache_type;

int
pulse_pass_through_init(void)
{
    if (lru_cache_type != NULL) {
        return 0;
    }
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *partial = functools == NULL ? NULL : PyObject_GetAttrString(functools, "partial");
    PyObject *lru_cache = partial == NULL ? NULL : PyObject_GetAttrString(functools, "_lru_cache_wrapper");
    Py_XDECREF(functools);
    if (lru_cache == NULL) {
        Py_XDECREF(partial);
        return -1;
    }
    // A program may have put something else in their place.
    partial_type = PyType_CheckExact(partial) ? (PyTypeObject *)partial : NULL;
    lru_cache_type = PyType_CheckExact(lru_cache) ? (PyTypeObject *)lru_cache : NULL;
    return 0;
}

static bool
runs(PyObject *function, const pulse_frame *frame)
{
    return function != NULL && PyFunction_Check(function) && PyFunction_GET_CODE(function) == (PyObject *)frame->code;
}

// Whether the object's class defines, in Python, the method whose frame this is.
static bool
defines(PyObject *object, PyObject *name, const pulse_frame *frame)
{
    return runs(_PyType_Lookup(Py_TYPE(object), name), frame) && pulse_frame_first_argument(frame) == object;
}

// The function inside one of the types of functools; NULL without an exception if it is not known.
static PyObject *
wrapped_by(PyObject *callable)
{
    const char *name = Py_IS_TYPE(callable, partial_type)     ? "func"
                       : Py_IS_TYPE(callable, lru_cache_type) ? "__wrapped__"
                                                              : NULL;
    PyObject *wrapped = name == NULL ? NULL : PyObject_GetAttrString(callable, name);
    PyErr_Clear();
    return wrapped;
}

// Whether the frame is of the class's `__new__`, or of the `__init__` of an instance that exists already.
static bool
makes_instance(PyObject *type, const pulse_frame *frame)
{
    PyObject *name = frame->code->co_name, *first = pulse_frame_first_argument(frame);
    if (first == type && PyUnicode_CompareWithASCIIString(name, "__new__") == 0) {
        PyObject *method = PyObject_GetAttr(type, name);
        bool result = runs(method, frame);
        Py_XDECREF(method);
        PyErr_Clear();
        return result;
    }
    return first != NULL && Py_TYPE(first) == (PyTypeObject *)type &&
           PyUnicode_CompareWithASCIIString(name, "__init__") == 0 && defines(first, name, frame);
}

// Whether calling this object runs the frame's code, with nothing but calls in between.
static bool
calls(PyObject *callable, const pulse_frame *frame, int depth)
{
    if (depth == DEEPEST) {
        return false;
    }
    if (PyMethod_Check(callable)) {
        return calls(PyMethod_GET_FUNCTION(callable), frame, depth + 1);
    }
    if (PyFunction_Check(callable)) {
        return runs(callable, frame);
    }
    if (Py_IS_TYPE(callable, &PyType_Type)) {
        return makes_instance(callable, frame);
    }
    PyObject *wrapped = wrapped_by(callable);
    if (wrapped != NULL) {
        bool result = calls(wrapped, frame, depth + 1);
        Py_DECREF(wrapped);
        return result;
    }
    PyObject *name = frame->code->co_name;
    return PyUnicode_CompareWithASCIIString(name, "__call__") == 0 && defines(callable, name, frame);
}

static bool
is_property_of(PyObject *object, const pulse_frame *frame)
{
    // A getter that has another name than its property is not found, and refused.
    PyObject *found = _PyType_Lookup(Py_TYPE(object), frame->code->co_name);
    if (found == NULL || !Py_IS_TYPE(found, &PyProperty_Type)) {
        return false;
    }
    PyObject *getter = PyObject_GetAttrString(found, "fget");
    bool result = runs(getter, frame) && pulse_frame_first_argument(frame) == object;
    Py_XDECREF(getter);
    PyErr_Clear();
    return result;
}

// Methods that the interpreter calls to run an instruction. The slot of a class that defines one in Python only calls it.
static const char *const operators[] = {
    "__add__",     "__sub__",      "__mul__",     "__matmul__",   "__truediv__",   "__floordiv__",     "__mod__",
    "__pow__",     "__lshift__",   "__rshift__",  "__and__",      "__or__",        "__xor__",          "__iadd__",
    "__isub__",    "__imul__",     "__imatmul__", "__itruediv__", "__ifloordiv__", "__imod__",         "__ipow__",
    "__ilshift__", "__irshift__",  "__iand__",    "__ior__",      "__ixor__",      "__lt__",           "__le__",
    "__eq__",      "__ne__",       "__gt__",      "__ge__",       "__neg__",       "__invert__",       "__bool__",
    "__getitem__", "__contains__", "__iter__",    "__next__",     "__getattr__",   "__getattribute__", NULL,
};

static bool
implements(PyObject *operand, const pulse_frame *frame)
{
    PyObject *name = frame->code->co_name;
    for (const char *const *each = operators; *each != NULL; each++) {
        if (PyUnicode_CompareWithASCIIString(name, *each) == 0) {
            return defines(operand, name, frame);
        }
    }
    return false;
}

// The caller's instruction, and the lowest bits of its argument. -1 if it cannot be read.
static int
instruction_of(const pulse_frame *caller, int *oparg)
{
    pulse_instructions instructions;
    if (pulse_instructions_read(&instructions, caller->code) < 0) {
        PyErr_Clear();
        return -1;
    }
    int position = caller->position;
    while (position > 0 && pulse_opcode_at(&instructions, position) == CACHE) {
        position--;
    }
    int opcode = pulse_opcode_at(&instructions, position);
    *oparg = pulse_low_oparg_at(&instructions, position);
    Py_DECREF(instructions.bytes);
    return opcode;
}

static int
opcode_of(const pulse_frame *caller)
{
    int oparg, opcode = instruction_of(caller, &oparg);
#if PY_VERSION_HEX >= 0x030c0000
    // It loads a method, and so puts two values.
    if (opcode == LOAD_ATTR && oparg & 1) {
        return -1;
    }
#else
    (void)oparg;
#endif
    return opcode;
}

// An operand of the caller's instruction. They lie above the values that the instruction does not touch.
static PyObject *
operand_of(const pulse_frame *caller, int slot)
{
    bool exists = slot >= 0 && slot < caller->code->co_stacksize;
    return exists ? pulse_frame_value(caller, caller->code->co_nlocalsplus + slot) : NULL;
}

// Up to 3.12 the callable lies above a NULL, unless it is a method's function, with `self` above.
static PyObject *
callable_of(const pulse_frame *caller, int live)
{
    PyObject *first = operand_of(caller, live);
    return first != NULL ? first : operand_of(caller, live + 1);
}

static bool
only_passes_on(const pulse_frame *frame, const pulse_frame *caller, int live)
{
    PyObject *operand = operand_of(caller, live);
    switch (opcode_of(caller)) {
    case CALL:
#ifdef CALL_KW
    case CALL_KW:
#endif
    case CALL_FUNCTION_EX:
        operand = callable_of(caller, live);
        return operand != NULL && calls(operand, frame, 0);
    case LOAD_ATTR:
        return operand != NULL && (is_property_of(operand, frame) || implements(operand, frame));
    case CONTAINS_OP:
        // The container lies above what is searched.
        operand = operand_of(caller, live + 1);
        break;
    case FOR_ITER:
        // It leaves its iterator where it is.
        operand = operand_of(caller, live - 1);
        break;
#ifdef BINARY_SUBSCR
    case BINARY_SUBSCR:
#endif
#ifdef TO_BOOL
    case TO_BOOL:
#endif
    case BINARY_OP:
    case COMPARE_OP:
    case UNARY_NEGATIVE:
    case UNARY_INVERT:
    case UNARY_NOT:
    case GET_ITER:
        break;
    default:
        return false;
    }
    return operand != NULL && implements(operand, frame);
}

int
pulse_pass_through_operands(const pulse_frame *caller)
{
    int oparg, opcode = instruction_of(caller, &oparg);
    // The callable and a place for `self` lie beneath the arguments.
    switch (opcode) {
    case CALL:
        return oparg + 2;
#ifdef CALL_KW
    case CALL_KW:
        return oparg + 3;
#endif
    default:
        return 0;
    }
}

bool
pulse_pass_through_holds_nothing(const pulse_frame *frame, const pulse_frame *caller, const pulse_code_marks *marks)
{
    int position = caller->position;
    // 255 stands for more.
    return position < marks->length && marks->live[position] < UINT8_MAX &&
           only_passes_on(frame, caller, marks->live[position]);
}
