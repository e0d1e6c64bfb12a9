// The differences between the CPython versions that we support (3.11 to 3.14).
//
// A version test elsewhere is a mistake: add a function here whose name says what is meant. Only bytecode/ has version
// tests of its own, because it works with the interpreter's internals.
#ifndef PULSE_COMPAT_H
#define PULSE_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030b0000
#error "asyncio-pulse needs CPython 3.11 or newer"
#endif

#include "base/portable.h"

// The exception set in a thread, if any. It is held by value, so taking it needs no memory.
typedef struct {
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *value;
#else
    PyObject *type, *value, *traceback;
#endif
} pulse_exception;

// Take the exception out of the thread; `pulse_exception_put_back` undoes that.
static inline pulse_exception
pulse_exception_take(void)
{
    pulse_exception taken;
#if PY_VERSION_HEX >= 0x030c0000
    taken.value = PyErr_GetRaisedException();
#else
    PyErr_Fetch(&taken.type, &taken.value, &taken.traceback);
#endif
    return taken;
}

static inline void
pulse_exception_put_back(pulse_exception taken)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(taken.value);
#else
    PyErr_Restore(taken.type, taken.value, taken.traceback);
#endif
}

// Look up an attribute that may be missing. A type with the usual attribute lookup creates no exception for a missing one.
// New reference, or NULL with or without an exception.
static inline PyObject *
pulse_optional_attribute(PyObject *object, PyObject *name)
{
    PyObject *value;
#if PY_VERSION_HEX >= 0x030d0000
    PyObject_GetOptionalAttr(object, name, &value);
#else
    _PyObject_LookupAttr(object, name, &value);
#endif
    return value;
}

// Take the exception, which must be set, out of the thread as an object; new reference.
static inline PyObject *
pulse_exception_take_object(void)
{
    pulse_exception taken = pulse_exception_take();
#if PY_VERSION_HEX < 0x030c0000
    PyErr_NormalizeException(&taken.type, &taken.value, &taken.traceback);
    if (taken.traceback != NULL) {
        PyException_SetTraceback(taken.value, taken.traceback);
    }
    Py_XDECREF(taken.type);
    Py_XDECREF(taken.traceback);
#endif
    return taken.value;
}

// If StopIteration is set, take it, store its value as a new reference, and return true. Otherwise change nothing.
static inline bool
pulse_stop_iteration_take(PyObject **value)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return false;
    }
    PyObject *stop = pulse_exception_take_object();
    *value = Py_NewRef(((PyStopIterationObject *)stop)->value);
    Py_DECREF(stop);
    return true;
}

// The code object of a native coroutine; new reference, or NULL with an exception.
static inline PyObject *
pulse_coroutine_code(PyObject *coro, PyObject *str_cr_code)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyObject_GetAttr(coro, str_cr_code);
#else
    (void)str_cr_code;
    return Py_NewRef((PyObject *)((PyCoroObject *)coro)->cr_code);
#endif
}

// The argument that pulse_current_task needs; new reference, or NULL with an exception.
static inline PyObject *
pulse_current_task_lookup(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *module = PyImport_ImportModule("asyncio");
    PyObject *lookup = module == NULL ? NULL : PyObject_GetAttrString(module, "current_task");
    Py_XDECREF(module);
    return lookup;
#else
    // Before 3.12 asyncio.current_task is Python code. These are the dict and the C function behind it.
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

// The task whose step is running; new reference. None or NULL if there is none. Runs no Python code.
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

// The task whose step a loop is in; new reference. None or NULL if there is none. May be called from any thread.
static inline PyObject *
pulse_current_task_of(PyObject *lookup, PyObject *loop)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyObject_CallOneArg(lookup, loop);
#else
    return Py_XNewRef(PyDict_GetItemWithError(PyTuple_GET_ITEM(lookup, 0), loop));
#endif
}

// How long a thread may keep the GIL while others wait for it. Call it without an exception set. Runs no Python code.
static inline uint64_t
pulse_switch_interval_ns(void)
{
    PyObject *getter = PySys_GetObject("getswitchinterval");
    PyObject *interval = getter == NULL || !PyCFunction_CheckExact(getter) ? NULL : PyObject_CallNoArgs(getter);
    double seconds = interval == NULL ? 0.005 : PyFloat_AsDouble(interval);
    Py_XDECREF(interval);
    PyErr_Clear();
    return seconds > 0 ? (uint64_t)(seconds * 1e9) : 5000000;
}

#if PY_VERSION_HEX >= 0x030c0000
#define PULSE_MODULE_INTERPRETERS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#else
#define PULSE_MODULE_INTERPRETERS
#endif

// The core relies on the GIL. A free-threaded build enables the GIL again when it imports the core.
#if PY_VERSION_HEX >= 0x030d0000
#define PULSE_MODULE_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define PULSE_MODULE_GIL
#endif

#endif
