// Bounds text of the program that is kept: names of tasks and coroutines, which may have any length.
#ifndef PULSE_TEXT_H
#define PULSE_TEXT_H

#include <Python.h>

// The limit for names of explicit groups, too.
enum { PULSE_LONGEST_TEXT = 200 };

// Steals a reference to a string and returns one to a string of at most PULSE_LONGEST_TEXT characters. A longer string is
// cut and ends in a checksum of the whole, so that different strings stay different. NULL and objects that are not strings
// come back unchanged. NULL with an exception on failure.
PyObject *pulse_text_bounded(PyObject *text);

#endif
