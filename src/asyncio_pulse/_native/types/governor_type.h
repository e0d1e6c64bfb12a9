// Governor as Python sees it: how a loop comes under a governor, and what the governor shows.
#ifndef PULSE_GOVERNOR_TYPE_H
#define PULSE_GOVERNOR_TYPE_H

#include "base/compat.h"

extern PyType_Spec pulse_governor_type_spec;

#endif
