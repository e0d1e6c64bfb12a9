// Whether the running code may be suspended where a signal found it, and whether an exception may be raised there.
//
// These are two questions: where other tasks may run, code need not expect to be cancelled. Needs the GIL; runs no Python
// code.
#ifndef PULSE_SAFE_PLACE_H
#define PULSE_SAFE_PLACE_H

#include "bytecode/frames.h"

typedef enum {
    PULSE_PREEMPT_OFF,
    // Only where the program awaits a coroutine of a library that begins, with no critical section on the way.
    PULSE_PREEMPT_WAITS,
    // Only where an awaited coroutine begins, and not inside a library.
    PULSE_PREEMPT_AWAIT,
    // Anywhere in code that opted in, by the rules.
    PULSE_PREEMPT_ANYWHERE,
} pulse_preempt_mode;

// Why a place is refused.
typedef enum {
    // Safe, too: something that is awaited begins here.
    PULSE_PLACE_AWAIT = -2,
    PULSE_PLACE_SAFE = -1,
    // Rule 0: neither the start of a function nor the end of a loop's body.
    PULSE_RULE_INSTRUCTION,
    // Rule 1: C code called the running code.
    PULSE_RULE_C_CODE,
    // Rule 2: a critical section.
    PULSE_RULE_CRITICAL,
    // Rule 3: a module that did not opt in.
    PULSE_RULE_MODULE,
    // Rule 4: inside no_preempt().
    PULSE_RULE_GUARDED,
    // A trace function, a profiler or a debugger is active.
    PULSE_RULE_TRACED,
    // The running greenlet is not the task's own.
    PULSE_RULE_GREENLET,
    PULSE_RULES,
} pulse_rule;

// A poll under way: its native coroutine, and the object through which the enclosing poll awaits it.
typedef struct {
    PyObject *coroutine;
    PyObject *owner;
} pulse_polled;

// The code that opted in. References are borrowed.
typedef struct {
    pulse_preempt_mode mode;
    // Its top-level package, interned; or NULL.
    PyObject *package;
    // The package is protected, as the middleware's is, or is a library whose task only a policy opted in. The program's code
    // that it runs has opted in, installed libraries have not.
    bool is_for_program;
    // Further packages that opted in: a frozenset, or NULL for all that are not protected.
    PyObject *modules;
    // Packages that are never suspended, whatever opted in: a frozenset.
    PyObject *protected_modules;
    // Parts of a path that mark installed code: a tuple of str.
    PyObject *library_paths;
    // C code may be in between if it only draws values from a generator.
    bool through_iteration;
    // The polls under way, from the innermost to the task's step. They keep their coroutines.
    const pulse_polled *polls;
    int polls_count;
    // The coroutine inside an object of the type of the polls' owners, measured or not. Borrowed; may be NULL.
    PyObject *(*inside)(PyObject *owner);
} pulse_reach;

// Take or release references to all objects of a reach.
void pulse_reach_hold(const pulse_reach *reach);
void pulse_reach_let_go(const pulse_reach *reach);

// Whether a frame runs foreign code: protected, or installed and not named by the program as its own.
bool pulse_reach_is_library(const pulse_reach *reach, const pulse_frame *frame, PyObject *package);

// Judge the place where the calling thread is, or where it will be if `starting` is about to run. `where` receives the frame
// that the verdict is about; its `code` is NULL if there is none.
pulse_rule pulse_safe_to_suspend(const pulse_reach *reach, const pulse_frame *starting, pulse_frame *where);

// Whether a cancellation may be raised at this place: no frame down to the coroutine is cleaning up.
bool pulse_safe_to_cancel(const pulse_reach *reach);

// Whether an exception that is raised at this place now would miss a handler around it.
bool pulse_place_misses_handler(void);

// The name under which a rule is counted.
const char *pulse_rule_name(pulse_rule rule);

#endif
