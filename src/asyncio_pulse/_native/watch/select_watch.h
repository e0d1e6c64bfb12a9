// Watches a loop through the object that it waits with.
#ifndef PULSE_SELECT_WATCH_H
#define PULSE_SELECT_WATCH_H

#include "model/governor.h"

// Return a new object that replaces the selector's select method, or the epoll object beneath it, and notes when the loop
// waits.
PyObject *pulse_select_watch_select(pulse_governor *governor, PyObject *selector);
PyObject *pulse_select_watch_epoll(pulse_governor *governor, PyObject *epoll);

extern PyType_Spec pulse_select_watch_spec;

#endif
