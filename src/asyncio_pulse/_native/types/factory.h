// The task factory of a governed loop.
#ifndef PULSE_FACTORY_H
#define PULSE_FACTORY_H

#include "model/governor.h"

extern PyType_Spec pulse_factory_spec;

// A new factory. `earlier` (borrowed, may be NULL) makes the tasks; without it, asyncio.Task does.
PyObject *pulse_factory_new(pulse_governor *governor, PyObject *earlier);

#endif
