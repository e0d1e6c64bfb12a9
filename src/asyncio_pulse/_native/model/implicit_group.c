// The implicit group of a coroutine: named by its qualified name, and by its module too where two modules share that name.
// Wrappers are named by what they run, and coroutines of known libraries by what they are for.
#include "model/implicit_group.h"

#include "base/text.h"

enum { MOST_WRAPPERS = 4 };

// The value of a variable, or of an attribute of one if the path has a dot; new reference.
static PyObject *
value_at(PyObject *variables, PyObject *path)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(path);
    Py_ssize_t dot = PyUnicode_FindChar(path, '.', 0, length, 1);
    if (dot < 0) {
        return PyObject_GetItem(variables, path);
    }
    PyObject *name = PyUnicode_Substring(path, 0, dot), *attribute = PyUnicode_Substring(path, dot + 1, length);
    PyObject *owner = name == NULL ? NULL : PyObject_GetItem(variables, name);
    PyObject *value = owner == NULL || attribute == NULL ? NULL : PyObject_GetAttr(owner, attribute);
    Py_XDECREF(owner);
    Py_XDECREF(attribute);
    Py_XDECREF(name);
    return value;
}

// Name of the module of a coroutine; new reference. NULL without an exception if unknown.
static PyObject *
module_of(pulse_state *state, PyObject *coro)
{
    PyObject *frame = PyObject_GetAttr(coro, state->str_cr_frame);
    PyObject *globals = frame == NULL ? NULL : PyObject_GetAttrString(frame, "f_globals");
    PyObject *module = NULL;
    if (globals != NULL && PyDict_Check(globals)) {
        module = PyDict_GetItemString(globals, "__name__");
        module = module != NULL && PyUnicode_CheckExact(module) ? Py_NewRef(module) : NULL;
    }
    Py_XDECREF(globals);
    Py_XDECREF(frame);
    PyErr_Clear();
    return module;
}

static bool
is_same(PyObject *text, PyObject *other)
{
    return text == other || PyUnicode_Compare(text, other) == 0;
}

// The name of a known coroutine's group, if it is the one of that module and not just one of that name. Steals and returns a
// reference.
static PyObject *
known_name(pulse_state *state, PyObject *known, PyObject *coro, PyObject *name)
{
    PyObject *module = module_of(state, coro);
    if (module != NULL && is_same(module, PyTuple_GET_ITEM(known, 0))) {
        Py_SETREF(name, Py_NewRef(PyTuple_GET_ITEM(known, 1)));
    }
    Py_XDECREF(module);
    return name;
}

// Name of the coroutine that does the work, found through wrappers whose code is the same for every task. New references to
// the name and to that coroutine.
static PyObject *
name_of_work(pulse_state *state, PyObject *coro, PyObject **work)
{
    PyObject *inner = Py_NewRef(coro);
    PyObject *name = PyObject_GetAttr(inner, state->str_qualname);
    for (int i = 0; i < MOST_WRAPPERS && name != NULL; i++) {
        PyObject *variable = Py_XNewRef(PyDict_GetItemWithError(state->wrappers, name));
        if (variable == NULL) {
            break;
        }
        if (PyTuple_CheckExact(variable)) {
            name = known_name(state, variable, inner, name);
            Py_DECREF(variable);
            break;
        }
        PyObject *frame = PyObject_GetAttr(inner, state->str_cr_frame);
        PyObject *variables = frame == NULL ? NULL : PyObject_GetAttrString(frame, "f_locals");
        PyObject *wrapped = variables == NULL ? NULL : value_at(variables, variable);
        PyObject *wrapped_name = wrapped == NULL ? NULL : PyObject_GetAttr(wrapped, state->str_qualname);
        if (variables != NULL && PyDict_CheckExact(variables)) {
            // Before 3.13 this is a copy that the frame keeps. It must not keep alive what the program drops.
            PyDict_Clear(variables);
        }
        Py_XDECREF(variables);
        Py_XDECREF(frame);
        Py_DECREF(variable);
        if (wrapped_name == NULL) {
            // Another version of that library: the wrapper's own name is the best there is.
            PyErr_Clear();
            Py_XDECREF(wrapped);
            break;
        }
        Py_SETREF(inner, wrapped);
        Py_SETREF(name, wrapped_name);
    }
    *work = inner;
    if (name == NULL || !PyUnicode_CheckExact(name)) {
        PyErr_Clear();
        Py_XDECREF(name);
        name = PyUnicode_FromString(Py_TYPE(coro)->tp_name);
    }
    return pulse_text_bounded(name);
}

// File of the code that a coroutine runs; new reference. NULL without an exception if unknown.
static PyObject *
file_of(pulse_state *state, PyObject *coro)
{
    PyObject *code = PyObject_GetAttr(coro, state->str_cr_code), *file = NULL;
    if (code != NULL && PyCode_Check(code)) {
        file = Py_NewRef(((PyCodeObject *)code)->co_filename);
    }
    Py_XDECREF(code);
    PyErr_Clear();
    return file;
}

// "module.name"; NULL with an exception on failure.
static PyObject *
with_module(PyObject *module, PyObject *name)
{
    return pulse_text_bounded(PyUnicode_FromFormat("%U.%U", module, name));
}

// The group of the same name in another module. Both groups show their modules from now on. Steals the reference to
// `group`.
static pulse_group *
in_module(pulse_group_table *table, pulse_state *state, pulse_group *group, PyObject *module)
{
    PyObject *shown = group->name == group->key ? with_module(group->module, group->key) : Py_NewRef(group->name);
    PyObject *key = shown == NULL ? NULL : with_module(module, group->key);
    if (shown != NULL) {
        Py_SETREF(group->name, shown);
    }
    Py_DECREF((PyObject *)group);
    pulse_group *other = key == NULL ? NULL : pulse_groups_find(table, state, key, false);
    Py_XDECREF(key);
    return other;
}

// The group of this name in the coroutine's module. The file is compared first: it is at hand, and the same object for all
// functions of a module. Steals the reference to `group`.
static pulse_group *
of_module(pulse_group_table *table, pulse_state *state, pulse_group *group, PyObject *coro)
{
    PyObject *file = group == table->other ? NULL : file_of(state, coro);
    if (file == NULL || (group->file != NULL && is_same(group->file, file))) {
        Py_XDECREF(file);
        return group;
    }
    PyObject *module = module_of(state, coro);
    bool collides = module != NULL && group->module != NULL && !is_same(group->module, module);
    if (!collides) {
        if (group->module == NULL) {
            group->module = Py_XNewRef(module);
        }
        Py_XSETREF(group->file, Py_NewRef(file));
    }
    else {
        group = in_module(table, state, group, module);
    }
    Py_XDECREF(module);
    Py_DECREF(file);
    return group;
}

pulse_group *
pulse_implicit_group(pulse_group_table *table, pulse_state *state, PyObject *coro)
{
    PyObject *work = NULL, *name = name_of_work(state, coro, &work);
    pulse_group *group = name == NULL ? NULL : pulse_groups_find(table, state, name, false);
    if (group != NULL) {
        group = of_module(table, state, group, work);
    }
    Py_XDECREF(name);
    Py_XDECREF(work);
    return group;
}
