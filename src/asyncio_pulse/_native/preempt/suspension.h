// What is known of a coroutine that was suspended in the middle of its code: its slice of the stack, and what is raised in
// it when it goes on.
//
// A cancellation that arrives meanwhile may have to wait for a place where it may be raised, in a later poll if need be.
// The record belongs to its coroutine and lasts as long. A suspended coroutine goes on only in the thread where it was
// suspended. Needs the GIL; Python code runs in here.
#ifndef PULSE_SUSPENSION_H
#define PULSE_SUSPENSION_H

#include "model/governed.h"
#include "preempt/slice.h"

typedef struct pulse_suspension {
    // NULL unless the coroutine is suspended in its middle.
    pulse_slice *slice;
    // Whose slice it is.
    pulse_slices *slices;
    pulse_governed *governed;
    // The task's coroutine whose step this was; borrowed. It waits as long as the coroutine is suspended in its middle.
    const pulse_governed *step;
    // Raised at the place where it was suspended, when it goes on.
    PyObject *exception;
    // A cancellation that waits for a place where it may be raised.
    PyObject *cancellation;
    // How often the task had been asked to cancel at that time. A smaller number later means that the request was taken
    // back.
    long requests;
    // The code that cancelled the task asks again every turn.
    bool is_repeated;
    // If a cancellation waits when the coroutine returns, only code that opted in is ended by it. Otherwise the result
    // would be lost, such as an item that the code took from a queue.
    bool opted_in;
    // It is being closed or dropped, and is suspended no more.
    bool is_closing;
    // Links of the list of suspended coroutines.
    struct pulse_suspension *next;
    struct pulse_suspension **previous;
} pulse_suspension;

// Whether the coroutine is suspended in the middle of its code.
static inline bool
pulse_suspension_is_now(const pulse_governed *governed)
{
    return governed->suspension != NULL && governed->suspension->slice != NULL;
}

// One poll of the coroutine, on a slice. `exception`, if not NULL, is raised in the coroutine instead of sending the value.
// `is_step` means that it is a task's step, called by its loop. Returns as PyIter_Send. `*suspended` means that the
// coroutine was suspended in the middle of its code; the outcome is then
// that of a bare yield.
PySendResult pulse_suspension_poll(pulse_governed *governed, pulse_slices *slices, bool is_step, PyObject *value,
                                   PyObject *exception, PyObject **result, bool *suspended);

// The same for a poll that was begun with pulse_slice_begin: keep its slice, because it was suspended.
void pulse_suspension_keep(pulse_governed *governed, pulse_slice *slice);

// Suspend the coroutine, whose poll is the innermost one of the slices, in the middle of its code. Returns when it goes on:
// 0, or -1 if there is no memory to suspend it, with or without an exception. Whoever waits must look at `exception` and
// `cancellation` of the record afterwards; the coroutine may be gone if it is closing.
int pulse_suspension_suspend(pulse_governed *governed, pulse_slices *slices, bool opted_in);

// Whether a cancellation waits that was not taken back.
bool pulse_suspension_is_cancelled(pulse_suspension *suspension);

// The cancellation cannot be raised where the coroutine goes on. Forget it, if the code that cancelled the task asks again.
void pulse_suspension_put_off(pulse_suspension *suspension);

// Raise an exception of the record, which is taken out of it. Returns -1, for the caller to pass on.
int pulse_suspension_raise(PyObject **exception);

// The coroutine is closed or dropped: raise GeneratorExit in it, if it is suspended in the middle of its code. -1 with an
// exception if the coroutine ignores GeneratorExit or raises another exception.
int pulse_suspension_unwind(pulse_governed *governed);

// The coroutine is deallocated.
void pulse_suspension_free(pulse_governed *governed);

// The coroutines that stand in the middle of their code, as a new list. NULL with an exception on failure.
PyObject *pulse_suspension_list(void);

// Unwind all coroutines that are suspended in this thread, before the interpreter ends.
void pulse_suspension_unwind_all(void);

#endif
