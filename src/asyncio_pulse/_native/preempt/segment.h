// Armed segments: a coroutine whose polls run in a greenlet of their own can be left in the middle of its Python code.
//
// A segment holds its coroutine only borrowed, so that a task that is dropped is collected; it ends with the coroutine. It
// may be resumed only in the thread in which it was armed. Needs the GIL; Python code runs in here.
#ifndef PULSE_SEGMENT_H
#define PULSE_SEGMENT_H

#include "model/governed.h"

typedef struct pulse_segment {
    PyObject_HEAD
    PyObject *greenlet;
    // NULL once it is gone.
    pulse_governed *governed;
    // What the coroutine gets next: a value, or an exception.
    PyObject *value;
    PyObject *exception;
    // A cancellation that waits for a place where it may be raised.
    PyObject *cancellation;
    // How often the task was asked to cancel by then: fewer, and it was taken back.
    long requests;
    // Whoever asked asks again every turn.
    bool is_repeated;
    // Only code that opted in is ended by one that waits when it returns; else what it returned would be lost, such as an
    // item that it took from a queue.
    bool opted_in;
    // What its last step came to.
    PySendResult outcome;
    PyObject *result;
    pulse_exception raised;
    // Why the greenlet gave way; nothing if another library's greenlet did.
    uint8_t said;
    // Somebody resumed it and has not been given way to.
    bool resumed;
    // It stands in the middle of its code, rather than at an await.
    bool preempted;
    // Is in the list of those that are.
    struct pulse_segment *next_preempted;
    struct pulse_segment **previous_preempted;
    // First part of the name of the module that opted in, interned; or NULL.
    PyObject *package;
    // Keeps the coroutine when its greenlet can only be left to its own thread.
    PyObject *kept;
} pulse_segment;

extern PyType_Spec pulse_segment_spec;

// Find greenlet; -1 with an exception if it is missing or too old.
int pulse_segment_init(void);

// Run the coroutine's polls in a greenlet from now on. -1 with an exception on failure.
int pulse_segment_arm(pulse_governed *governed);

// One step of an armed coroutine. `value` is what it is sent; `exception`, if not NULL, is raised in it instead.
// `result` is as that of PyIter_Send.
PySendResult pulse_segment_step(pulse_governed *governed, PyObject *value, PyObject *exception, PyObject **result);

// Whether the running greenlet is the segment's own.
bool pulse_segment_is_running(const pulse_segment *segment);

// Leave the running segment in the middle of its code. Returns when it is resumed: 0, or -1 with the exception that is to
// be raised there.
int pulse_segment_leave(pulse_segment *segment);

// Whether a cancellation waits that still holds.
bool pulse_segment_is_cancelled(pulse_segment *segment);

// It cannot be raised where the segment goes on: forget it, if whoever asked asks again.
void pulse_segment_put_off(pulse_segment *segment);

// Raise the cancellation that waits: returns -1, for the caller to pass on.
int pulse_segment_raise_cancellation(pulse_segment *segment);

// The coroutine is closed or dropped: raise GeneratorExit where it stands, if that is in the middle of its code. -1 with
// an exception if it ignores that, or raises another one.
int pulse_segment_unwind(pulse_governed *governed);

// The wrapper goes: end its greenlet. What stands in the middle of its code was unwound before.
void pulse_segment_drop(pulse_governed *governed);

// Unwind all that stand in the middle of their code, before the interpreter ends.
void pulse_segment_unwind_all(void);

#endif
