// Polls on slices of the thread's own C stack. A poll that must be suspended in the middle of its Python code is copied out,
// and copied back to the same addresses when it goes on. Until that happens, a slice costs a poll some 20 ns.
//
// A set of slices belongs to one thread. Nothing here knows coroutines of ours, tasks or signals. Needs the GIL.
#ifndef PULSE_SLICE_H
#define PULSE_SLICE_H

#include "base/compat.h"

// Polls that are nested deeper have no slice, and cannot be suspended. A slice takes 2 KiB more of the stack.
enum { PULSE_SLICES_NESTED = 16 };

typedef struct pulse_slice pulse_slice;

// The slices of a thread. They are given back by the thread itself, or by a forked child.
typedef struct pulse_slices pulse_slices;

// Whether slices work on this processor: NULL, or the reason why not.
const char *pulse_slice_refusal(void);

// Make the slices of the calling thread. NULL with an exception on failure.
pulse_slices *pulse_slices_new(void);

// None may be running or suspended.
void pulse_slices_free(pulse_slices *slices);

// The slice on which the innermost poll runs, or NULL.
pulse_slice *pulse_slices_running(const pulse_slices *slices);

// The slice of the poll that encloses this one, or NULL.
pulse_slice *pulse_slice_outer(const pulse_slice *slice);

// What pulse_slice_begin was given.
void *pulse_slice_owner(const pulse_slice *slice);

// Whether the poll is a task's step, called by its loop.
bool pulse_slice_is_step(const pulse_slice *slice);

// Run a poll of a native coroutine, as PyIter_Send, for an owner, which is not touched. `is_step` means that the poll is a
// task's step, called by its loop. `exception`, if not NULL, is raised in the coroutine instead of sending the value.
// If the poll was suspended, `*suspended` is its slice, and the outcome is PYGEN_NEXT without a result.
PySendResult pulse_slice_begin(pulse_slices *slices, void *owner, bool is_step, PyObject *coro, PyObject *value,
                               PyObject *exception, PyObject **result, pulse_slice **suspended);

// Go on with a suspended slice. As above.
PySendResult pulse_slice_go_on(pulse_slices *slices, pulse_slice *slice, bool is_step, PyObject **result,
                               pulse_slice **suspended);

// Whether the thread is on its running slice, where it can be suspended as far as the interpreter is concerned.
bool pulse_slice_is_here(const pulse_slices *slices);

// Suspend the running slice. Returns when it goes on: 0, or -1 without an exception if there is no memory to suspend it.
int pulse_slice_suspend(pulse_slices *slices);

#endif
