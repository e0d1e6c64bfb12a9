#include "preempt/slice.h"

#include "preempt/slice_state.h"
#include "preempt/stack.h"

enum {
    // Polls that are nested this deep have floors of their own.
    FLOORS = 8,
    // Between the caller's frame and the floor. The caller needs less for calls while it prepares and ends a slice.
    GAP = 1024,
    // A floor serves callers up to this far above it.
    REACH = 256 * 1024,
    // Spare slices that are kept. More were needed only while more were suspended at the same time.
    MOST_SPARE = 64,
};

struct pulse_slice {
    // First, because the assembly knows it.
    pulse_stack stack;
    // The enclosing one; among spare ones, the next.
    pulse_slice *outer;
    pulse_slices *slices;
    void *owner;
    bool is_step;
    // The request. Borrowed, unless the slice was ever suspended in this poll.
    PyObject *coro, *value, *exception;
    bool owns_request;
    // The answer.
    PySendResult outcome;
    PyObject *result;
    bool is_suspended;
    pulse_slice_state state;
    // Its bytes, while it is suspended.
    char *bytes;
    size_t size;
    size_t room;
};

struct pulse_slices {
    PyThreadState *thread_state;
    pulse_slice *running;
    pulse_slice *spare;
    int spares;
    int depth;
    char *floors[FLOORS];
};

const char *
pulse_slice_refusal(void)
{
#ifdef Py_GIL_DISABLED
    return "this is a free-threaded build of Python";
#endif
    if (!PULSE_STACK_SUPPORTED) {
        return "the stack cannot be switched on this kind of processor or system";
    }
    return pulse_stack_is_shadowed() ? "the processor checks return addresses (shadow stack)" : NULL;
}

#if PULSE_STACK_SUPPORTED

pulse_slices *
pulse_slices_new(void)
{
    pulse_slices *slices = pulse_entry_frame_init() < 0 ? NULL : PyMem_RawCalloc(1, sizeof *slices);
    if (slices != NULL) {
        slices->thread_state = PyThreadState_Get();
    }
    else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return slices;
}

static void
slice_free(pulse_slice *slice)
{
    pulse_slice_state_free(&slice->state);
    PyMem_RawFree(slice->bytes);
    PyMem_RawFree(slice);
}

void
pulse_slices_free(pulse_slices *slices)
{
    while (slices->spare != NULL) {
        pulse_slice *slice = slices->spare;
        slices->spare = slice->outer;
        slice_free(slice);
    }
    PyMem_RawFree(slices);
}

static pulse_slice *
slice_new(pulse_slices *slices)
{
    pulse_slice *slice = PyMem_RawCalloc(1, sizeof *slice);
    if (slice != NULL && pulse_slice_state_init(&slice->state) < 0) {
        PyMem_RawFree(slice);
        slice = NULL;
    }
    if (slice == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    slice->slices = slices;
    return slice;
}

static PULSE_NOINLINE void
drop_request(pulse_slice *slice)
{
    slice->owns_request = false;
    Py_CLEAR(slice->value);
    Py_CLEAR(slice->exception);
}

static inline void
give_back(pulse_slices *slices, pulse_slice *slice)
{
    if (PULSE_UNLIKELY(slice->owns_request)) {
        pulse_exception raised = pulse_exception_take();
        drop_request(slice);
        pulse_exception_put_back(raised);
    }
    if (PULSE_UNLIKELY(slices->spares >= MOST_SPARE)) {
        slice_free(slice);
        return;
    }
    slice->outer = slices->spare;
    slices->spare = slice;
    slices->spares++;
}

pulse_slice *
pulse_slices_running(const pulse_slices *slices)
{
    return slices->running;
}

pulse_slice *
pulse_slice_outer(const pulse_slice *slice)
{
    return slice->outer;
}

void *
pulse_slice_owner(const pulse_slice *slice)
{
    return slice->owner;
}

bool
pulse_slice_is_step(const pulse_slice *slice)
{
    return slice->is_step;
}

PULSE_IN_SLICE static PySendResult
throw_into(PyObject *coro, PyObject *exception, PyObject **result)
{
    *result = PyObject_CallMethod(coro, "throw", "O", exception);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    return pulse_stop_iteration_take(result) ? PYGEN_RETURN : PYGEN_ERROR;
}

// The only function of ours whose frame is copied out and back, apart from the one that suspends.
PULSE_IN_SLICE static void
poll(pulse_stack *stack)
{
    pulse_slice *slice = (pulse_slice *)stack;
    PyObject *result = NULL;
    slice->outcome = PULSE_LIKELY(slice->exception == NULL) ? PyIter_Send(slice->coro, slice->value, &result)
                                                            : throw_into(slice->coro, slice->exception, &result);
    slice->result = result;
}

// The address at which a poll begins. It is the same for all polls that are called from about here, so that a suspended
// poll finds its place free when it goes on.
static inline char *
floor_below(pulse_slices *slices, const char *here)
{
    char **floor = &slices->floors[slices->depth < FLOORS ? slices->depth : FLOORS - 1];
    if (PULSE_UNLIKELY((size_t)(here - *floor) - GAP > REACH)) {
        *floor = (char *)(((uintptr_t)here - 2 * GAP) & ~(uintptr_t)63);
    }
    return *floor;
}

static inline void
enter(pulse_slices *slices, pulse_slice *slice)
{
    slice->outer = slices->running;
    slices->running = slice;
    slices->depth++;
}

// What the poll came to. Polls do not end in order if other greenlets switched in their middle. Then it is not known which
// poll runs, until the next one begins.
static inline PySendResult
leave(pulse_slices *slices, pulse_slice *slice, const pulse_caller_state *caller, PyObject **result,
      pulse_slice **suspended)
{
    slices->depth--;
    slices->running = PULSE_LIKELY(slices->running == slice) ? slice->outer : NULL;
    pulse_slice_state_return(&slice->state, slices->thread_state, caller);
    if (PULSE_UNLIKELY(slice->is_suspended)) {
        pulse_slice_state_unlink(&slice->state);
        *suspended = slice;
        *result = NULL;
        return slice->outcome;
    }
    PySendResult outcome = slice->outcome;
    *suspended = NULL;
    *result = slice->result;
    give_back(slices, slice);
    return outcome;
}

PySendResult
pulse_slice_begin(pulse_slices *slices, void *owner, bool is_step, PyObject *coro, PyObject *value, PyObject *exception,
                  PyObject **result, pulse_slice **suspended)
{
    PyThreadState *ts = slices->thread_state;
    if (PULSE_UNLIKELY(!pulse_slice_state_may_begin(ts) || slices->depth >= PULSE_SLICES_NESTED)) {
        *suspended = NULL;
        return exception == NULL ? PyIter_Send(coro, value, result) : throw_into(coro, exception, result);
    }
    pulse_slice *slice = slices->spare;
    if (PULSE_LIKELY(slice != NULL)) {
        slices->spare = slice->outer;
        slices->spares--;
    }
    else if ((slice = slice_new(slices)) == NULL) {
        *result = NULL;
        *suspended = NULL;
        return PYGEN_ERROR;
    }
    pulse_caller_state caller = pulse_slice_state_link(&slice->state, ts);
    pulse_slice_state_begin(&slice->state, ts);
    slice->owner = owner;
    slice->is_step = is_step;
    slice->coro = coro;
    slice->value = value;
    slice->exception = exception;
    slice->stack.floor = floor_below(slices, PULSE_STACK_HERE());
    enter(slices, slice);
    pulse_stack_enter(&slice->stack, slice->stack.floor, poll);
    return leave(slices, slice, &caller, result, suspended);
}

// On the stack below the slice, whose place it fills. Returns only if there is no memory.
static void
go_on(pulse_stack *stack)
{
    pulse_slice *slice = (pulse_slice *)stack;
    if (PULSE_UNLIKELY(stack->base < stack->floor)) {
        if (!pulse_stack_put_aside(stack)) {
            slice->outcome = PYGEN_ERROR;
            return;
        }
        // Frames of the caller lie in that part. Until it is back, nobody may see them: to the code of the slice it looks
        // as if nobody had called it.
        slice->state.entry.previous = NULL;
    }
    pulse_stack_copy(stack->lowest, slice->bytes, slice->size);
    slice->is_suspended = false;
    pulse_slice_state_resume(&slice->state, slice->slices->thread_state);
    PULSE_LEAVES_STACK();
    pulse_stack_continue(stack);
}

PySendResult
pulse_slice_go_on(pulse_slices *slices, pulse_slice *slice, bool is_step, PyObject **result, pulse_slice **suspended)
{
    slice->is_step = is_step;
    const char *here = PULSE_STACK_HERE();
    const char *low = here < slice->stack.lowest ? here : slice->stack.lowest;
    pulse_caller_state caller = pulse_slice_state_link(&slice->state, slices->thread_state);
    enter(slices, slice);
    pulse_stack_enter(&slice->stack, (char *)(((uintptr_t)low - 4 * GAP) & ~(uintptr_t)63), go_on);
    PySendResult outcome = leave(slices, slice, &caller, result, suspended);
    if (PULSE_UNLIKELY(outcome == PYGEN_ERROR && *suspended != NULL)) {
        PyErr_NoMemory();
    }
    return outcome;
}

bool
pulse_slice_is_here(const pulse_slices *slices)
{
    return slices->running != NULL && PyThreadState_Get() == slices->thread_state &&
           pulse_slice_state_is_here(&slices->running->state, slices->thread_state);
}

static bool
make_room(pulse_slice *slice)
{
    if (slice->size > slice->room) {
        char *bytes = PyMem_RawRealloc(slice->bytes, slice->size);
        if (bytes == NULL) {
            return false;
        }
        slice->bytes = bytes;
        slice->room = slice->size;
    }
    return true;
}

// On the stack below the slice. 0 to leave it.
static int
save(pulse_stack *stack)
{
    pulse_slice *slice = (pulse_slice *)stack;
    slice->size = (size_t)(stack->floor - stack->lowest);
    if (!make_room(slice) ||
        pulse_slice_state_suspend(&slice->state, slice->slices->thread_state, stack->lowest, stack->floor) < 0) {
        return -1;
    }
    pulse_stack_copy(slice->bytes, stack->lowest, slice->size);
    if (!slice->owns_request) {
        // The code of the slice may still need what it was sent. What was raised in it has been delivered.
        Py_XINCREF(slice->value);
        slice->exception = NULL;
        slice->owns_request = true;
    }
    slice->outcome = PYGEN_NEXT;
    slice->is_suspended = true;
    PULSE_LEAVES_STACK();
    return 0;
}

PULSE_IN_SLICE int
pulse_slice_suspend(pulse_slices *slices)
{
    return pulse_stack_capture(&slices->running->stack, save);
}

#else

pulse_slices *
pulse_slices_new(void)
{
    PyErr_SetString(PyExc_RuntimeError, pulse_slice_refusal());
    return NULL;
}

void
pulse_slices_free(pulse_slices *slices)
{
    (void)slices;
}

pulse_slice *
pulse_slices_running(const pulse_slices *slices)
{
    (void)slices;
    return NULL;
}

pulse_slice *
pulse_slice_outer(const pulse_slice *slice)
{
    (void)slice;
    return NULL;
}

void *
pulse_slice_owner(const pulse_slice *slice)
{
    (void)slice;
    return NULL;
}

bool
pulse_slice_is_step(const pulse_slice *slice)
{
    (void)slice;
    return false;
}

PySendResult
pulse_slice_begin(pulse_slices *slices, void *owner, bool is_step, PyObject *coro, PyObject *value, PyObject *exception,
                  PyObject **result, pulse_slice **suspended)
{
    (void)slices, (void)owner, (void)is_step, (void)exception;
    *suspended = NULL;
    return PyIter_Send(coro, value, result);
}

PySendResult
pulse_slice_go_on(pulse_slices *slices, pulse_slice *slice, bool is_step, PyObject **result, pulse_slice **suspended)
{
    (void)slices, (void)slice, (void)is_step, (void)result, (void)suspended;
    return PYGEN_ERROR;
}

bool
pulse_slice_is_here(const pulse_slices *slices)
{
    (void)slices;
    return false;
}

int
pulse_slice_suspend(pulse_slices *slices)
{
    (void)slices;
    return -1;
}

#endif
