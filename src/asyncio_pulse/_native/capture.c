#include "capture.h"

#include <string.h>

#include "governed.h"

enum { MOST_FRAMES = 48 };

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
    int line = PyFrame_GetLineNumber(frame);
    // Some instructions belong to no line.
    PyObject *described = Py_BuildValue("(OOi)", code->co_qualname, code->co_filename, line > 0 ? line : code->co_firstlineno);
    Py_DECREF(code);
    return described;
}

static bool
ends_with(PyObject *text, const char *tail)
{
    const char *bytes = PyUnicode_AsUTF8(text);
    if (bytes == NULL) {
        PyErr_Clear();
        return false;
    }
    size_t length = strlen(bytes), tail_length = strlen(tail);
    return length >= tail_length && strcmp(bytes + length - tail_length, tail) == 0;
}

static const struct {
    const char *file;
    const char *function;
} loop_frames[] = {
    {"asyncio/events.py", "_run"},
    {"asyncio/base_events.py", "_run_once"},
    {"asyncio/base_events.py", "run_forever"},
    {"asyncio/base_events.py", "run_until_complete"},
    {"asyncio/runners.py", "run"},
    {"uvloop/__init__.py", "run"},
};

// Whether a frame runs the loop, rather than in it: beyond it stands whoever started the loop.
static bool
runs_the_loop(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool answer = false;
    for (size_t i = 0; i < sizeof loop_frames / sizeof *loop_frames && !answer; i++) {
        answer = PyUnicode_CompareWithASCIIString(code->co_name, loop_frames[i].function) == 0 &&
                 ends_with(code->co_filename, loop_frames[i].file);
    }
    Py_DECREF(code);
    return answer;
}

// The frames of a thread, from the innermost one to `outermost`; where that is NULL, to the one before the loop's own.
static PyObject *
describe_stack(PyThreadState *python, PyObject *outermost)
{
    PyObject *list = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(python);
    bool done = list == NULL;
    while (frame != NULL && !done) {
        if (outermost == NULL && runs_the_loop(frame)) {
            break;
        }
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

PyObject *
pulse_capture_poll(pulse_state *state, pulse_thread *thread)
{
    PyThreadState *python = python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed));
    if (python == NULL || thread->current == NULL) {
        return NULL;
    }
    PyObject *outermost = PyObject_GetAttr(thread->current->coro, state->str_cr_frame);
    if (outermost == NULL) {
        // Not every coroutine has a frame; then the stack reaches to the loop.
        PyErr_Clear();
    }
    PyObject *stack = describe_stack(python, outermost);
    Py_XDECREF(outermost);
    if (stack != NULL && PyTuple_GET_SIZE(stack) == 0) {
        Py_CLEAR(stack);
    }
    return stack;
}

bool
pulse_capture_is_running(pulse_governor *governor)
{
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    bool answer = false;
    if (loop != NULL && !Py_IsNone(loop)) {
        PyObject *running = PyObject_CallMethodNoArgs(loop, governor->state->str_is_running);
        answer = running != NULL && PyObject_IsTrue(running) == 1;
        Py_XDECREF(running);
    }
    Py_XDECREF(loop);
    PyErr_Clear();
    return answer;
}

// A stack for whatever runs in the loop's thread; where there is no Python frame, one that says so.
static PyObject *
stack_of_loop(pulse_governor *governor)
{
    pulse_thread *thread = atomic_load(&governor->turns->thread);
    PyObject *stack = pulse_capture_poll(governor->state, thread);
    PyThreadState *python = python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed));
    if (stack == NULL && !PyErr_Occurred() && python != NULL) {
        stack = describe_stack(python, NULL);
    }
    if (stack != NULL && PyTuple_GET_SIZE(stack) == 0) {
        Py_SETREF(stack, Py_BuildValue("((ssi))", "(event loop)", "", 0));
    }
    return stack;
}

// "worker-1 in crunch (jobs.py:12)": the thread that had the GIL.
static PyObject *
describe_culprit(uint64_t os_thread)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    PyThreadState *python = PyInterpreterState_ThreadHead(interpreter);
    while (python != NULL && python->native_thread_id != os_thread) {
        python = PyThreadState_Next(python);
    }
    PyFrameObject *frame = python == NULL ? NULL : PyThreadState_GetFrame(python);
    if (frame == NULL) {
        return PyUnicode_FromFormat("thread %llu", (unsigned long long)os_thread);
    }
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *active = threading == NULL ? NULL : PyObject_GetAttrString(threading, "_active");
    PyObject *identity = PyLong_FromUnsignedLong(python->thread_id);
    PyObject *thread = active == NULL || identity == NULL ? NULL : PyObject_GetItem(active, identity);
    PyObject *name = thread == NULL ? NULL : PyObject_GetAttrString(thread, "_name");
    PyErr_Clear();
    PyObject *place = describe_frame(frame);
    PyObject *text = NULL;
    if (place != NULL) {
        text = PyUnicode_FromFormat("%V in %U (%U:%S)", name, "a thread", PyTuple_GET_ITEM(place, 0),
                                    PyTuple_GET_ITEM(place, 1), PyTuple_GET_ITEM(place, 2));
    }
    Py_XDECREF(place);
    Py_XDECREF(name);
    Py_XDECREF(thread);
    Py_XDECREF(identity);
    Py_XDECREF(active);
    Py_XDECREF(threading);
    Py_DECREF(frame);
    return text;
}

int
pulse_capture_stall(pulse_governor *governor, const pulse_diagnosis *diagnosis, pulse_worst_entry *entry)
{
    PyObject *stack = stack_of_loop(governor);
    if (stack == NULL) {
        return -1;
    }
    pulse_governed *polled = atomic_load(&governor->turns->thread)->current;
    PyObject *loop = PyObject_CallNoArgs(governor->loop_reference);
    PyObject *task = loop == NULL ? NULL : pulse_current_task_of(governor->state->current_task, loop);
    Py_XDECREF(loop);
    *entry = (pulse_worst_entry){
        .group = polled != NULL ? Py_NewRef(polled->group->name) : PyUnicode_FromString("(callbacks)"),
        .task = pulse_worst_task_name(governor->state, task),
        .stall_class = diagnosis->stall_class,
    };
    pulse_worst_place(entry, stack);
    Py_DECREF(stack);
    if (diagnosis->culprit != 0) {
        entry->culprit = describe_culprit(diagnosis->culprit);
    }
    if (PyErr_Occurred()) {
        pulse_worst_entry_clear(entry);
        return -1;
    }
    return 0;
}
