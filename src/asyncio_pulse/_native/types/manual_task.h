// ManualTask: the polls of a task that another kind of loop drives, as reported by the code that watches that loop.
#ifndef PULSE_MANUAL_TASK_H
#define PULSE_MANUAL_TASK_H

#include "model/state.h"

extern PyType_Spec pulse_manual_task_spec;

#endif
