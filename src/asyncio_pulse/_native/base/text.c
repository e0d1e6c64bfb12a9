#include "base/text.h"

#include "base/portable.h"

// FNV-1a, Fowler, Noll, Vo. Unlike Python's hashes it is the same in every process.
static uint32_t
checksum(PyObject *text)
{
    uint32_t sum = 2166136261u;
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(text); i++) {
        sum = (sum ^ PyUnicode_READ_CHAR(text, i)) * 16777619u;
    }
    return sum;
}

PyObject *
pulse_text_bounded(PyObject *text)
{
    enum { CHECKSUM_LENGTH = 9 };
    if (text == NULL || !PyUnicode_Check(text) || PyUnicode_GET_LENGTH(text) <= PULSE_LONGEST_TEXT) {
        return text;
    }
    PyObject *beginning = PyUnicode_Substring(text, 0, PULSE_LONGEST_TEXT - CHECKSUM_LENGTH);
    PyObject *bounded =
        beginning == NULL ? NULL : PyUnicode_FromFormat("%U~%08x", beginning, (unsigned int)checksum(text));
    Py_XDECREF(beginning);
    Py_DECREF(text);
    return bounded;
}
