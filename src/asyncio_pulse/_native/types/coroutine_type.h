// GovernedCoroutine as Python sees it: what drives a coroutine, and its attributes, most of which are those of the wrapped
// one.
#ifndef PULSE_COROUTINE_TYPE_H
#define PULSE_COROUTINE_TYPE_H

#include "base/compat.h"

extern PyType_Spec pulse_coroutine_type_spec;

#endif
