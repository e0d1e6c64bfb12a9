#include "thrown.h"

PyObject *
pulse_thrown_exception(PyObject *const *args, Py_ssize_t count)
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
