#include "watchdog.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "governed.h"

enum { MOST_FRAMES = 48 };

typedef struct pulse_watchdog {
    pulse_state *state;
    uint64_t interval_us;
    // Held by whoever started the thread; letting it go ends the wait.
    PyThread_type_lock stop;
    // Held by the thread while it lives.
    PyThread_type_lock alive;
} pulse_watchdog;

static PyThreadState *
python_thread(uint64_t python_id)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    for (PyThreadState *each = PyInterpreterState_ThreadHead(interpreter); each != NULL; each = PyThreadState_Next(each)) {
        if (PyThreadState_GetID(each) == python_id) {
            return each;
        }
    }
    return NULL;
}

static PyObject *
describe_frame(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *described = Py_BuildValue("(OOi)", code->co_qualname, code->co_filename, PyFrame_GetLineNumber(frame));
    Py_DECREF(code);
    return described;
}

// The frames of a thread from the innermost one to that of the coroutine polled, as a new tuple.
static PyObject *
describe_stack(PyThreadState *python, PyObject *outermost)
{
    PyObject *list = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(python);
    bool done = list == NULL;
    while (frame != NULL && !done) {
        PyObject *described = describe_frame(frame);
        done = described == NULL || PyList_Append(list, described) < 0 || (PyObject *)frame == outermost ||
               PyList_GET_SIZE(list) >= MOST_FRAMES;
        Py_XDECREF(described);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    PyObject *stack = list == NULL || PyErr_Occurred() ? NULL : PyList_AsTuple(list);
    Py_XDECREF(list);
    return stack;
}

static bool
is_overdue(pulse_thread *thread)
{
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    if (started == 0 || started == atomic_load_explicit(&thread->sample_poll, memory_order_relaxed)) {
        return false;
    }
    uint64_t now = pulse_clock_ticks();
    return now > started && now - started > atomic_load_explicit(&thread->sample_after_ticks, memory_order_relaxed);
}

// With the GIL: the poll cannot end while we look.
static void
take_sample(pulse_state *state, pulse_thread *thread)
{
    PyThreadState *python = python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed));
    if (python == NULL || thread->current == NULL || !is_overdue(thread)) {
        return;
    }
    PyObject *outermost = PyObject_GetAttr(thread->current->coro, state->str_cr_frame);
    PyErr_Clear();
    PyObject *stack = describe_stack(python, outermost);
    Py_XDECREF(outermost);
    if (stack == NULL || PyTuple_GET_SIZE(stack) == 0) {
        PyErr_Clear();
        Py_XDECREF(stack);
        return;
    }
    Py_XSETREF(thread->sample, stack);
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    atomic_store_explicit(&thread->sample_poll, started, memory_order_relaxed);
}

static void
look(pulse_watchdog *watchdog)
{
    pulse_thread *thread = atomic_load_explicit(&watchdog->state->threads, memory_order_acquire);
    for (; thread != NULL; thread = thread->next) {
        if (is_overdue(thread)) {
            PyGILState_STATE gil = PyGILState_Ensure();
            take_sample(watchdog->state, thread);
            PyGILState_Release(gil);
        }
    }
}

static void
watchdog_main(void *argument)
{
    pulse_watchdog *watchdog = argument;
#ifdef __linux__
    prctl(PR_SET_NAME, "pulse-watchdog");
#endif
    while (PyThread_acquire_lock_timed(watchdog->stop, (PY_TIMEOUT_T)watchdog->interval_us, 0) == PY_LOCK_FAILURE) {
        look(watchdog);
    }
    PyThread_release_lock(watchdog->alive);
}

static void
watchdog_free(pulse_watchdog *watchdog)
{
    if (watchdog->stop != NULL) {
        PyThread_free_lock(watchdog->stop);
    }
    if (watchdog->alive != NULL) {
        PyThread_free_lock(watchdog->alive);
    }
    PyMem_RawFree(watchdog);
}

int
pulse_watchdog_start(pulse_state *state, uint64_t interval_us)
{
    if (state->watchdog != NULL) {
        return 0;
    }
    // PyGILState_Ensure, which the thread needs, knows the main interpreter only.
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "the sampler runs in the main interpreter only");
        return -1;
    }
    pulse_watchdog *watchdog = PyMem_RawCalloc(1, sizeof *watchdog);
    if (watchdog == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    watchdog->state = state;
    watchdog->interval_us = interval_us;
    watchdog->stop = PyThread_allocate_lock();
    watchdog->alive = PyThread_allocate_lock();
    if (watchdog->stop == NULL || watchdog->alive == NULL) {
        watchdog_free(watchdog);
        PyErr_NoMemory();
        return -1;
    }
    PyThread_acquire_lock(watchdog->stop, WAIT_LOCK);
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    if (PyThread_start_new_thread(watchdog_main, watchdog) == PYTHREAD_INVALID_THREAD_ID) {
        PyThread_release_lock(watchdog->stop);
        PyThread_release_lock(watchdog->alive);
        watchdog_free(watchdog);
        PyErr_SetString(PyExc_RuntimeError, "the sampler's thread cannot be started");
        return -1;
    }
    state->watchdog = watchdog;
    return 0;
}

void
pulse_watchdog_stop(pulse_state *state)
{
    pulse_watchdog *watchdog = state->watchdog;
    if (watchdog == NULL) {
        return;
    }
    state->watchdog = NULL;
    PyThread_release_lock(watchdog->stop);
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(watchdog->alive, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(watchdog->alive);
    watchdog_free(watchdog);
}

bool
pulse_watchdog_after_fork(pulse_state *state)
{
    bool was_running = state->watchdog != NULL;
    // Its locks were copied in whatever state they were: they are left alone, a few bytes for each fork.
    state->watchdog = NULL;
    return was_running;
}
