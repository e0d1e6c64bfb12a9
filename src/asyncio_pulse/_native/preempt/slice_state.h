// What of CPython's thread state belongs to a slice of the stack, version by version. Only slice.c uses it.
//
// The rule: nothing in a slice points to what belongs to the caller. The interpreter keeps three things of its caller in C
// variables of the slice: a frame, an entry of the stack of exceptions being handled and, before 3.13, a `_PyCFrame`. Each
// slice therefore has its own three, in the heap, which are linked to the present caller's at each resumption.
//
// Not part of a slice, because a place with C code in between is refused, and so they are as at the beginning of the poll:
// the exception that is set, the context, the counters of PyGILState and of nested deallocations, and whether a trace or a
// monitoring function runs. The task in asyncio's own fields is entered and left by the task itself.
#ifndef PULSE_SLICE_STATE_H
#define PULSE_SLICE_STATE_H

#include "base/recursion.h"
#include "bytecode/entry_frame.h"

enum { PULSE_DATA_CHUNK = 16 * 1024 };

// The place in the thread's data stack, where frames of called functions live. Each slice has a stack of its own: frames
// of suspended functions stay where they are.
typedef struct {
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
} pulse_data_stack;

// What the caller has, kept on its own C stack until the slice is left.
typedef struct {
    pulse_frame_layout *frame;
    _PyErr_StackItem *exceptions;
    pulse_data_stack data;
#if PY_VERSION_HEX < 0x030d0000
    _PyCFrame *cframe;
#endif
} pulse_caller_state;

typedef struct {
    // What the code in the slice sees as its caller's.
    pulse_frame_layout entry;
    _PyErr_StackItem exceptions;
#if PY_VERSION_HEX < 0x030d0000
    _PyCFrame cframe;
#endif
    // Root of its data stack.
    _PyStackChunk *root;
    // The thread's depth of recursion where the poll began. While suspended, the depths are relative to that.
    int depth;
    int c_depth;
    // The rest is valid while the slice is suspended.
    pulse_frame_layout *innermost;
    _PyErr_StackItem *innermost_exceptions;
    pulse_data_stack data;
#if PY_VERSION_HEX < 0x030d0000
    _PyCFrame *innermost_cframe;
#endif
    // Frames that are linked through a mark in the slice. Others may look at these frames while the marks are not there.
    struct {
        pulse_frame_layout *frame, *previous;
    } *links;
    int links_used;
    int links_room;
} pulse_slice_state;

PULSE_INLINE pulse_data_stack
pulse_data_stack_of(const PyThreadState *ts)
{
    return (pulse_data_stack){ts->datastack_chunk, ts->datastack_top, ts->datastack_limit};
}

PULSE_INLINE void
pulse_data_stack_use(PyThreadState *ts, pulse_data_stack data)
{
    ts->datastack_chunk = data.chunk;
    ts->datastack_top = data.top;
    ts->datastack_limit = data.limit;
}

// Keep what the caller has, and link the slice's own to it.
PULSE_INLINE pulse_caller_state
pulse_slice_state_link(pulse_slice_state *state, PyThreadState *ts)
{
    pulse_caller_state caller = {
        .frame = PULSE_CURRENT_FRAME(ts),
        .exceptions = ts->exc_info,
        .data = pulse_data_stack_of(ts),
    };
    state->entry.previous = caller.frame;
    state->exceptions.previous_item = caller.exceptions;
#if PY_VERSION_HEX < 0x030d0000
    caller.cframe = ts->cframe;
    state->cframe.previous = caller.cframe;
#if PY_VERSION_HEX < 0x030c0000
    state->cframe.use_tracing = caller.cframe->use_tracing;
#endif
#endif
    return caller;
}

// A poll begins.
PULSE_INLINE void
pulse_slice_state_begin(pulse_slice_state *state, PyThreadState *ts)
{
    state->depth = pulse_recursion_depth(ts);
    state->c_depth = pulse_c_recursion_left(ts);
#if PY_VERSION_HEX < 0x030d0000
    ts->cframe = &state->cframe;
#else
    ts->current_frame = &state->entry;
#endif
    ts->exc_info = &state->exceptions;
    _PyStackChunk *root = state->root;
    pulse_data_stack_use(ts, (pulse_data_stack){root, &root->data[1], (PyObject **)((char *)root + PULSE_DATA_CHUNK)});
}

// The poll has ended, or was suspended: the thread's state is again what it was when the caller called.
PULSE_INLINE void
pulse_slice_state_return(const pulse_slice_state *state, PyThreadState *ts, const pulse_caller_state *caller)
{
#if PY_VERSION_HEX < 0x030d0000
    ts->cframe = caller->cframe;
#if PY_VERSION_HEX < 0x030c0000
    // A trace function may have been set or removed by the poll.
    caller->cframe->use_tracing = state->cframe.use_tracing;
#endif
#else
    ts->current_frame = caller->frame;
#endif
    (void)state;
    ts->exc_info = caller->exceptions;
    pulse_data_stack_use(ts, caller->data);
}

// Whether a poll may begin on a slice. In asyncio's debug mode 3.11 notes where coroutines are created, and would note our
// frame.
PULSE_INLINE bool
pulse_slice_state_may_begin(const PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030c0000
    return ts->coroutine_origin_tracking_depth == 0;
#else
    (void)ts;
    return true;
#endif
}

// 0, or -1 without an exception if there is no memory.
int pulse_slice_state_init(pulse_slice_state *state);
void pulse_slice_state_free(pulse_slice_state *state);

// The slice between these addresses is to be suspended: keep its state, and lead its frames past what lies in it. -1 if there
// is no memory; nothing has changed then.
int pulse_slice_state_suspend(pulse_slice_state *state, PyThreadState *ts, const char *lowest, const char *floor);

// Its bytes are in place again: make its state the thread's.
void pulse_slice_state_resume(pulse_slice_state *state, PyThreadState *ts);

// Nobody calls a suspended slice.
void pulse_slice_state_unlink(pulse_slice_state *state);

// Whether the thread is on this slice, in the same greenlet as at its beginning, and neither traces nor monitors now.
bool pulse_slice_state_is_here(const pulse_slice_state *state, const PyThreadState *ts);

#endif
