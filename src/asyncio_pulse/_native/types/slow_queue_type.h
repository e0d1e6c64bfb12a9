// SlowQueue as Python sees it.
#ifndef PULSE_SLOW_QUEUE_TYPE_H
#define PULSE_SLOW_QUEUE_TYPE_H

#include "base/compat.h"

extern PyType_Spec pulse_slow_queue_type_spec;

#endif
