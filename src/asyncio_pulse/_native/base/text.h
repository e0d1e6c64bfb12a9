// Text that comes from the program and is kept: names of tasks and coroutines, of whatever length.
#ifndef PULSE_TEXT_H
#define PULSE_TEXT_H

#include <Python.h>

// As long as names of explicit groups may be.
enum { PULSE_LONGEST_TEXT = 200 };

// Steals a reference to a string and returns one to a string that is at most so long: the beginning of a longer one, and
// a checksum of the whole, so that what differs stays different. NULL and what is no string stay as they are; NULL with
// an exception on failure.
PyObject *pulse_text_bounded(PyObject *text);

#endif
