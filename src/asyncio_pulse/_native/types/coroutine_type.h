// GovernedCoroutine as Python sees it: what drives a coroutine, and its attributes, most of which are those of the wrapped
// one.
#ifndef PULSE_COROUTINE_TYPE_H
#define PULSE_COROUTINE_TYPE_H

#include "base/compat.h"

extern PyType_Spec pulse_coroutine_type_spec;

// GovernedCoroutine(coro, options=None): a governed call, made once for each request. It is the type's `tp_vectorcall`, which
// a specification can set only from 3.14 on.
PyObject *pulse_coroutine_type_call(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *keywords);

#endif
