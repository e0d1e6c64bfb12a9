// Every difference between the CPython versions that we support (3.11 to 3.14) and between C compilers.
//
// A version test anywhere else is a mistake: add a function here whose name says what is meant.
#ifndef PULSE_COMPAT_H
#define PULSE_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030b0000
#error "asyncio-pulse needs CPython 3.11 or newer"
#endif

#include "portable.h"

// Take the current exception out of the thread, or NULL; `pulse_raise_again` puts it back and consumes it.
static inline PyObject *
pulse_exception_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    // One tuple carries the three unnormalised parts, so that what is put back is exactly what was taken.
    PyObject *parts = PyTuple_New(3);
    if (parts == NULL) {
        // Out of memory: the original exception matters more than this one.
        PyErr_Restore(type, value, traceback);
        return NULL;
    }
    PyTuple_SET_ITEM(parts, 0, type);
    PyTuple_SET_ITEM(parts, 1, value != NULL ? value : Py_NewRef(Py_None));
    PyTuple_SET_ITEM(parts, 2, traceback != NULL ? traceback : Py_NewRef(Py_None));
    return parts;
#endif
}

static inline void
pulse_exception_put_back(PyObject *taken)
{
    if (taken == NULL) {
        return;
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(taken);
#else
    PyObject *type = Py_NewRef(PyTuple_GET_ITEM(taken, 0));
    PyObject *value = Py_NewRef(PyTuple_GET_ITEM(taken, 1));
    PyObject *traceback = Py_NewRef(PyTuple_GET_ITEM(taken, 2));
    Py_DECREF(taken);
    if (Py_IsNone(value)) {
        Py_CLEAR(value);
    }
    if (Py_IsNone(traceback)) {
        Py_CLEAR(traceback);
    }
    PyErr_Restore(type, value, traceback);
#endif
}

// What pulse_current_task needs: new reference.
static inline PyObject *
pulse_current_task_lookup(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *module = PyImport_ImportModule("asyncio");
    PyObject *lookup = module == NULL ? NULL : PyObject_GetAttrString(module, "current_task");
    Py_XDECREF(module);
    return lookup;
#else
    // asyncio.current_task is Python code there; these are the dict and the C function behind it.
    PyObject *module = PyImport_ImportModule("_asyncio");
    PyObject *tasks = module == NULL ? NULL : PyObject_GetAttrString(module, "_current_tasks");
    PyObject *running = tasks == NULL ? NULL : PyObject_GetAttrString(module, "_get_running_loop");
    PyObject *lookup = running == NULL ? NULL : PyTuple_Pack(2, tasks, running);
    Py_XDECREF(running);
    Py_XDECREF(tasks);
    Py_XDECREF(module);
    return lookup;
#endif
}

// The task whose step is running, without running Python code; new reference, None or NULL when there is none.
static inline PyObject *
pulse_current_task(PyObject *lookup)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyObject_CallNoArgs(lookup);
#else
    PyObject *loop = PyObject_CallNoArgs(PyTuple_GET_ITEM(lookup, 1));
    if (loop == NULL) {
        return NULL;
    }
    PyObject *task = Py_XNewRef(PyDict_GetItemWithError(PyTuple_GET_ITEM(lookup, 0), loop));
    Py_DECREF(loop);
    return task;
#endif
}

// The task whose step a loop is in, asked from any thread; new reference, None or NULL when there is none.
static inline PyObject *
pulse_current_task_of(PyObject *lookup, PyObject *loop)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyObject_CallOneArg(lookup, loop);
#else
    return Py_XNewRef(PyDict_GetItemWithError(PyTuple_GET_ITEM(lookup, 0), loop));
#endif
}

#if PY_VERSION_HEX >= 0x030c0000
#define PULSE_MODULE_INTERPRETERS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#else
#define PULSE_MODULE_INTERPRETERS
#endif

// The core counts on the GIL: a free-threaded build switches it on again when it imports us.
#if PY_VERSION_HEX >= 0x030d0000
#define PULSE_MODULE_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define PULSE_MODULE_GIL
#endif

#endif
