#include "bytecode/throw.h"

#include <string.h>

PyObject *
pulse_throw_exception(PyObject *const *args, Py_ssize_t count)
{
    PyObject *value = count > 1 && !Py_IsNone(args[1]) ? args[1] : NULL;
    PyObject *exception = NULL;
    if (PyExceptionInstance_Check(args[0]) || (value != NULL && PyExceptionInstance_Check(value))) {
        exception = Py_NewRef(PyExceptionInstance_Check(args[0]) ? args[0] : value);
    }
    else if (PyExceptionClass_Check(args[0])) {
        exception = value == NULL ? PyObject_CallNoArgs(args[0]) : PyObject_CallOneArg(args[0], value);
    }
    else {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(args[0])->tp_name);
    }
    if (exception != NULL && count > 2 && !Py_IsNone(args[2]) && PyException_SetTraceback(exception, args[2]) < 0) {
        Py_CLEAR(exception);
    }
    return exception;
}

bool
pulse_throw_is_repeated(PyObject *exception)
{
    static const char *const prefixes[] = {"Cancelled via cancel scope ", "Cancelled by cancel scope "};
    if (!PyExceptionInstance_Check(exception)) {
        return false;
    }
    PyObject *arguments = ((PyBaseExceptionObject *)exception)->args;
    if (PyTuple_GET_SIZE(arguments) == 0 || !PyUnicode_Check(PyTuple_GET_ITEM(arguments, 0))) {
        return false;
    }
    const char *message = PyUnicode_AsUTF8(PyTuple_GET_ITEM(arguments, 0));
    if (message == NULL) {
        PyErr_Clear();
        return false;
    }
    return strncmp(message, prefixes[0], strlen(prefixes[0])) == 0 ||
           strncmp(message, prefixes[1], strlen(prefixes[1])) == 0;
}
