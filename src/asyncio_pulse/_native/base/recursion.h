// How deep a thread's calls are nested, version by version.
#ifndef PULSE_RECURSION_H
#define PULSE_RECURSION_H

#include "base/compat.h"

// Recursion is counted down from a limit, which may be changed meanwhile; the depth is what counts. 3.11 counts calls of C
// and of Python code together. From 3.14 on, the addresses of the stack are compared for C code, and these are the thread's.
#if PY_VERSION_HEX >= 0x030c0000
#define PULSE_RECURSION_LEFT(ts) ((ts)->py_recursion_remaining)
#define PULSE_RECURSION_LIMIT(ts) ((ts)->py_recursion_limit)
#else
#define PULSE_RECURSION_LEFT(ts) ((ts)->recursion_remaining)
#define PULSE_RECURSION_LIMIT(ts) ((ts)->recursion_limit)
#endif
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030e0000
#define PULSE_C_RECURSION_LEFT(ts) ((ts)->c_recursion_remaining)
#endif

PULSE_INLINE int
pulse_recursion_depth(const PyThreadState *ts)
{
    return PULSE_RECURSION_LIMIT(ts) - PULSE_RECURSION_LEFT(ts);
}

PULSE_INLINE int
pulse_c_recursion_left(const PyThreadState *ts)
{
#ifdef PULSE_C_RECURSION_LEFT
    return PULSE_C_RECURSION_LEFT(ts);
#else
    (void)ts;
    return 0;
#endif
}

PULSE_INLINE void
pulse_recursion_change(PyThreadState *ts, int deeper, int c_deeper)
{
    PULSE_RECURSION_LEFT(ts) -= deeper;
#ifdef PULSE_C_RECURSION_LEFT
    PULSE_C_RECURSION_LEFT(ts) -= c_deeper;
#else
    (void)c_deeper;
#endif
}

#endif
