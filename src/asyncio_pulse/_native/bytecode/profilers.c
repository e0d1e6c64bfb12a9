// Whether a profiler or debugger follows calls and returns. It follows them on one stack, so no coroutine may be suspended
// between a call and its return.
#include "bytecode/profilers.h"

#if PY_VERSION_HEX >= 0x030c0000
// sys.monitoring has a number for each kind of tool. Coverage, 1, is left out: it looks at lines, on whatever stack they
// run.
enum { DEBUGGER = 0, PROFILER = 2 };

static bool
is_in_use(PyObject *monitoring, int tool_id)
{
    PyObject *name = PyObject_CallMethod(monitoring, "get_tool", "i", tool_id);
    if (name == NULL) {
        PyErr_Clear();
        return false;
    }
    bool is_used = !Py_IsNone(name);
    Py_DECREF(name);
    return is_used;
}
#endif

bool
pulse_profilers_follow(void)
{
    if (PyThreadState_Get()->c_profilefunc != NULL) {
        return true;
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *monitoring = PySys_GetObject("monitoring");
    return monitoring != NULL && (is_in_use(monitoring, PROFILER) || is_in_use(monitoring, DEBUGGER));
#else
    return false;
#endif
}
