// Governor as Python sees it: how a loop is put under it, and what it shows.
#ifndef PULSE_GOVERNOR_TYPE_H
#define PULSE_GOVERNOR_TYPE_H

#include "base/compat.h"

extern PyType_Spec pulse_governor_type_spec;

#endif
