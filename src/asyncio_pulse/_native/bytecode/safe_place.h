// Whether the running code may be suspended where a signal found it, and whether an exception may be raised there.
//
// Needs the GIL; runs no Python code. "Suspend" and "raise" are two questions: a place where others may run is not one
// where code expects to be cancelled.
#ifndef PULSE_SAFE_PLACE_H
#define PULSE_SAFE_PLACE_H

#include "bytecode/frames.h"

typedef enum {
    PULSE_PREEMPT_OFF,
    // Only where a coroutine that is awaited begins, but not inside a library.
    PULSE_PREEMPT_AWAIT,
    // Anywhere in code that opted in, by the rules.
    PULSE_PREEMPT_ANYWHERE,
} pulse_preempt_mode;

// Why a place is refused.
typedef enum {
    PULSE_PLACE_SAFE = -1,
    // Rule 0: not at the start of a function nor at the end of a loop's body.
    PULSE_RULE_INSTRUCTION,
    // Rule 1: C code called what runs.
    PULSE_RULE_C_CODE,
    // Rule 2: a critical section.
    PULSE_RULE_CRITICAL,
    // Rule 3: a module that did not opt in.
    PULSE_RULE_MODULE,
    // Rule 4: inside no_preempt().
    PULSE_RULE_GUARDED,
    // A trace function, a profiler or a debugger is active.
    PULSE_RULE_TRACED,
    // Another greenlet than the task's own runs.
    PULSE_RULE_GREENLET,
    PULSE_RULES,
} pulse_rule;

// What opted in. References are borrowed.
typedef struct {
    pulse_preempt_mode mode;
    // Its own top-level package, interned; or NULL.
    PyObject *package;
    // That is never left, as the middleware's: what it runs is the program's, which opted in, but no installed library.
    bool is_for_program;
    // Further packages: a frozenset, or NULL for all that are not protected.
    PyObject *modules;
    // Never, whatever was opted in: a frozenset.
    PyObject *protected_modules;
    // What the path of installed code has in it: a tuple of str.
    PyObject *library_paths;
    // C code that only draws values from a generator may be in between.
    bool through_iteration;
    // The coroutine at the bottom, a native one.
    PyObject *coroutine;
} pulse_reach;

// References to all objects in it.
void pulse_reach_hold(const pulse_reach *reach);
void pulse_reach_let_go(const pulse_reach *reach);

// Judge the place where the calling thread is. `where` gets the frame that the verdict is about, if its `code` is not NULL.
pulse_rule pulse_safe_to_suspend(const pulse_reach *reach, pulse_frame *where);

// Whether a cancellation may be raised there: nothing beneath is cleaning up.
bool pulse_safe_to_cancel(const pulse_reach *reach);

// Its name, as it is counted under.
const char *pulse_rule_name(pulse_rule rule);

#endif
