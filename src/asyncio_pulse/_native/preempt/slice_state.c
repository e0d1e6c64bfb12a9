#include "preempt/slice_state.h"

int
pulse_slice_state_init(pulse_slice_state *state)
{
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    // As the interpreter makes the root of a data stack, the first word of which it never uses.
    _PyStackChunk *root = arena.alloc(arena.ctx, PULSE_DATA_CHUNK);
    if (root == NULL) {
        return -1;
    }
    root->previous = NULL;
    root->size = PULSE_DATA_CHUNK;
    root->top = 0;
    state->root = root;
    pulse_entry_frame_make(&state->entry);
#if PY_VERSION_HEX < 0x030d0000
    state->cframe.current_frame = &state->entry;
#endif
    return 0;
}

void
pulse_slice_state_free(pulse_slice_state *state)
{
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    arena.free(arena.ctx, state->root, PULSE_DATA_CHUNK);
    PyMem_RawFree(state->links);
}

static void
link_frames(pulse_slice_state *state)
{
    for (int i = 0; i < state->links_used; i++) {
        state->links[i].frame->previous = state->links[i].previous;
    }
}

static bool
note_link(pulse_slice_state *state, pulse_frame_layout *frame)
{
    enum { MORE = 8 };
    if (state->links_used == state->links_room) {
        void *links = PyMem_RawRealloc(state->links, (size_t)(state->links_room + MORE) * sizeof *state->links);
        if (links == NULL) {
            return false;
        }
        state->links = links;
        state->links_room += MORE;
    }
    state->links[state->links_used].frame = frame;
    state->links[state->links_used++].previous = frame->previous;
    return true;
}

static int
lead_frames_past(pulse_slice_state *state, PyThreadState *ts, const char *lowest, const char *floor)
{
    state->links_used = 0;
    pulse_frame_layout *frame = PULSE_CURRENT_FRAME(ts);
    while (frame != &state->entry) {
        pulse_frame_layout *next = frame->previous;
        while ((const char *)next >= lowest && (const char *)next < floor) {
            next = next->previous;
        }
        if (next != frame->previous) {
            if (!note_link(state, frame)) {
                link_frames(state);
                return -1;
            }
            frame->previous = next;
        }
        frame = next;
    }
    return 0;
}

int
pulse_slice_state_suspend(pulse_slice_state *state, PyThreadState *ts, const char *lowest, const char *floor)
{
    if (lead_frames_past(state, ts, lowest, floor) < 0) {
        return -1;
    }
#if PY_VERSION_HEX < 0x030d0000
    state->innermost_cframe = ts->cframe;
#if PY_VERSION_HEX < 0x030c0000
    state->cframe.use_tracing = ts->cframe->use_tracing;
#endif
#endif
    state->innermost = PULSE_CURRENT_FRAME(ts);
    state->innermost_exceptions = ts->exc_info;
    state->data = pulse_data_stack_of(ts);
    state->depth = pulse_recursion_depth(ts) - state->depth;
    state->c_depth -= pulse_c_recursion_left(ts);
    pulse_recursion_change(ts, -state->depth, -state->c_depth);
    return 0;
}

void
pulse_slice_state_resume(pulse_slice_state *state, PyThreadState *ts)
{
    link_frames(state);
#if PY_VERSION_HEX < 0x030d0000
    ts->cframe = state->innermost_cframe;
#if PY_VERSION_HEX < 0x030c0000
    ts->cframe->use_tracing = state->cframe.use_tracing;
#endif
#else
    ts->current_frame = state->innermost;
#endif
    ts->exc_info = state->innermost_exceptions;
    pulse_data_stack_use(ts, state->data);
    int deeper = state->depth, c_deeper = state->c_depth;
    state->depth = pulse_recursion_depth(ts);
    state->c_depth = pulse_c_recursion_left(ts);
    pulse_recursion_change(ts, deeper, c_deeper);
}

void
pulse_slice_state_unlink(pulse_slice_state *state)
{
    state->entry.previous = NULL;
    state->exceptions.previous_item = NULL;
}

bool
pulse_slice_state_is_here(const pulse_slice_state *state, const PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030e0000
    // A trace of the JIT compiler keeps the frame elsewhere.
    if (ts->current_executor != NULL) {
        return false;
    }
#endif
    // Each greenlet has a data stack of its own, so another root means another greenlet.
    const _PyStackChunk *root = ts->datastack_chunk;
    while (root != NULL && root->previous != NULL) {
        root = root->previous;
    }
    return root == state->root && ts->tracing == 0;
}
