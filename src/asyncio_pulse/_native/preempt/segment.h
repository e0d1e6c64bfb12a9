// Armed segments: a coroutine whose polls run in their own greenlet can be suspended in the middle of its Python code.
//
// A segment only borrows its coroutine, so that a dropped task is collected. It ends with the coroutine. It may be resumed
// only in the thread in which it was armed. Needs the GIL; Python code runs in here.
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
    // How often the task had been asked to cancel at that time. A smaller number later means that the request was taken
    // back.
    long requests;
    // The code that cancelled the task asks again every turn.
    bool is_repeated;
    // If a cancellation waits when the coroutine returns, only code that opted in is ended by it. Otherwise the result
    // would be lost, such as an item that the code took from a queue.
    bool opted_in;
    // What its last step came to.
    PySendResult outcome;
    PyObject *result;
    pulse_exception raised;
    // Why the greenlet gave way; no reason if another library's greenlet gave way.
    uint8_t said;
    // It was resumed and has not given way yet.
    bool resumed;
    // It was suspended in the middle of its code, not at an await.
    bool preempted;
    // Links of the list of segments suspended in the middle of their code.
    struct pulse_segment *next_preempted;
    struct pulse_segment **previous_preempted;
    // First part of the name of the module that opted in, interned; or NULL.
    PyObject *package;
    // Holds the coroutine when its greenlet can only be ended by its own thread.
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

// Whether a cancellation waits that was not taken back.
bool pulse_segment_is_cancelled(pulse_segment *segment);

// The cancellation cannot be raised where the segment goes on. Forget it, if the code that cancelled the task asks again.
void pulse_segment_put_off(pulse_segment *segment);

// Raise the cancellation that waits. Returns -1, for the caller to pass on.
int pulse_segment_raise_cancellation(pulse_segment *segment);

// The coroutine is closed or dropped: raise GeneratorExit in it, if it is suspended in the middle of its code. -1 with an
// exception if the coroutine ignores GeneratorExit or raises another exception.
int pulse_segment_unwind(pulse_governed *governed);

// The wrapper is deallocated: end its greenlet. A coroutine in the middle of its code was unwound before.
void pulse_segment_drop(pulse_governed *governed);

// Unwind all coroutines that are suspended in the middle of their code, before the interpreter ends.
void pulse_segment_unwind_all(void);

#endif
