// How a loop is watched through what it waits with.
#ifndef PULSE_SELECT_WATCH_H
#define PULSE_SELECT_WATCH_H

#include "model/governor.h"

// Watch a loop by what it waits with: a new object to put in the place of the selector's select method, or of the epoll
// object beneath it.
PyObject *pulse_select_watch_select(pulse_governor *governor, PyObject *selector);
PyObject *pulse_select_watch_epoll(pulse_governor *governor, PyObject *epoll);

extern PyType_Spec pulse_select_watch_spec;

#endif
