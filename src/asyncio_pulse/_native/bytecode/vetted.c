#include "bytecode/vetted.h"

// What is nested deeper, or has more parts, is not looked through.
enum { DEEPEST = 4, MOST = 256 };

static PyObject *the_table;

void
pulse_vetted_init(PyObject *table)
{
    if (the_table == NULL) {
        the_table = Py_NewRef(table);
    }
}

int
pulse_vetted_find(PyCodeObject *code, PyObject *module, pulse_vetted *found)
{
    *found = (pulse_vetted){0};
    if (the_table == NULL || module == NULL) {
        return 0;
    }
    PyObject *locals = PyUnicode_FromString(".<locals>");
    if (locals == NULL) {
        return -1;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(code->co_qualname);
    Py_ssize_t end = PyUnicode_Find(code->co_qualname, locals, 0, length, 1);
    Py_DECREF(locals);
    PyObject *name = PyUnicode_Substring(code->co_qualname, 0, end < 0 ? length : end);
    PyObject *modules = name == NULL ? NULL : PyDict_GetItemWithError(the_table, name);
    PyObject *entry = modules == NULL ? NULL : PyDict_GetItemWithError(modules, module);
    Py_XDECREF(name);
    if (entry != NULL && !PyArg_ParseTuple(entry, "IIO!O!", &found->libraries, &found->entry_of, &PyTuple_Type,
                                           &found->plain, &PyTuple_Type, &found->owned)) {
        return -1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

bool
pulse_vetted_has_name(PyCodeObject *code)
{
    return the_table != NULL && PyDict_GetItemWithError(the_table, code->co_qualname) != NULL;
}

static bool is_plain(PyObject *value, int depth, int *parts);

static bool
holds_plain(PyObject *sequence, int depth, int *parts)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        if (!is_plain(PySequence_Fast_GET_ITEM(sequence, i), depth, parts)) {
            return false;
        }
    }
    return true;
}

static bool
maps_plain(PyObject *dictionary, int depth, int *parts)
{
    Py_ssize_t position = 0;
    PyObject *key, *value;
    while (PyDict_Next(dictionary, &position, &key, &value)) {
        if (!is_plain(key, depth, parts) || !is_plain(value, depth, parts)) {
            return false;
        }
    }
    return true;
}

// Text, numbers, classes, None, and containers of them: nothing that keeps a state while the function works.
static bool
is_plain(PyObject *value, int depth, int *parts)
{
    if (depth == DEEPEST || ++*parts > MOST) {
        return false;
    }
    if (PyList_CheckExact(value) || PyTuple_CheckExact(value)) {
        return holds_plain(value, depth + 1, parts);
    }
    if (PyDict_CheckExact(value)) {
        return maps_plain(value, depth + 1, parts);
    }
    return Py_IsNone(value) || PyBool_Check(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value) ||
           PyLong_CheckExact(value) || PyFloat_CheckExact(value) || PyType_Check(value);
}

static bool
is_entry(const pulse_vetted *vetted, const pulse_frame *frame, uint32_t libraries)
{
    if ((vetted->entry_of & libraries) == 0) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(vetted->plain); i++) {
        PyObject *value = pulse_frame_variable(frame, PyTuple_GET_ITEM(vetted->plain, i));
        int parts = 0;
        if (value == NULL || !is_plain(value, 0, &parts)) {
            return false;
        }
    }
    return true;
}

bool
pulse_vetted_extends(const pulse_vetted *vetted, const pulse_frame *frame, uint32_t *inner_of)
{
    uint32_t libraries = *inner_of == 0 ? vetted->libraries : vetted->libraries & *inner_of;
    *inner_of = is_entry(vetted, frame, libraries) ? 0 : libraries;
    return libraries != 0;
}
