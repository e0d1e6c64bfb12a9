#include "watch/capture.h"

#include <opcode.h>
#include <string.h>

#include "model/governed.h"
#include "watch/turns.h"

enum {
    MOST_FRAMES = 48,
    // Search depth for the first frame of the program's own code.
    MOST_WALKED = 500,
    // While the watchdog holds the GIL, the suspects are checked at most this often, this far apart.
    LOOKS_AT_SUSPECTS = 5,
    LOOK_EVERY_US = 200,
};

static PyThreadState *
python_thread(uint64_t python_id)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    for (PyThreadState *each = PyInterpreterState_ThreadHead(interpreter); each != NULL;
         each = PyThreadState_Next(each)) {
        if (PyThreadState_GetID(each) == python_id) {
            return each;
        }
    }
    return NULL;
}

PyObject *
pulse_capture_frame(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    int line = PyFrame_GetLineNumber(frame);
    // Some instructions have no line.
    PyObject *described =
        Py_BuildValue("(OOi)", code->co_qualname, code->co_filename, line > 0 ? line : code->co_firstlineno);
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

// Whether a frame belongs to the loop itself. The frames beyond it belong to the code that started the loop.
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

// Whether a file is the program's own, neither part of the standard library nor installed. Leaves no exception.
static bool
is_own_file(PyObject *filename)
{
    const char *path = PyUnicode_AsUTF8(filename);
    PyObject *library = PySys_GetObject("_stdlib_dir");
    const char *standard = library != NULL && PyUnicode_Check(library) ? PyUnicode_AsUTF8(library) : NULL;
    // UTF-8 cannot encode every path.
    PyErr_Clear();
    return path != NULL && strncmp(path, "<frozen ", 8) != 0 && strstr(path, "site-packages") == NULL &&
           strstr(path, "dist-packages") == NULL &&
           (standard == NULL || strncmp(path, standard, strlen(standard)) != 0);
}

// Append a frame. A full list takes only the first frame of the program's own code. -1 with an exception on failure.
static int
append_frame(PyObject *list, PyFrameObject *frame, bool *has_own)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool is_own = !*has_own && is_own_file(code->co_filename);
    Py_DECREF(code);
    *has_own = *has_own || is_own;
    if (PyList_GET_SIZE(list) >= MOST_FRAMES && !is_own) {
        return 0;
    }
    PyObject *described = pulse_capture_frame(frame);
    int result = described == NULL ? -1 : PyList_Append(list, described);
    Py_XDECREF(described);
    return result;
}

// Whether a frame stands at the beginning of its function, where a thread gives the GIL away. It has done nothing yet.
static bool
has_just_begun(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *instructions = PyCode_GetCode(code);
    int place = PyFrame_GetLasti(frame);
    bool answer = false;
    if (instructions != NULL && place >= 0 && place + 1 < PyBytes_GET_SIZE(instructions)) {
        const unsigned char *unit = (const unsigned char *)PyBytes_AS_STRING(instructions) + place;
        answer = unit[0] == RESUME && unit[1] == 0;
    }
    PyErr_Clear();
    Py_XDECREF(instructions);
    Py_DECREF(code);
    return answer;
}

// Whether a frame is in a chain of calls, that of its thread or of a greenlet.
static bool
is_linked(PyFrameObject *frame)
{
    PyFrameObject *back = PyFrame_GetBack(frame);
    Py_XDECREF(back);
    return back != NULL;
}

// The frames of a thread, from the innermost one to `outermost`, or to the last one before the loop's own if `outermost` is
// NULL. In a greenlet of another library (SQLAlchemy) the frames end earlier. `outermost` then stands for the missing ones.
// Frames that have just begun are left out if the GIL came late, because the thread kept the GIL before. `outermost` is
// left out whenever it has just begun: the poll did nothing yet, and the time passed elsewhere (a machine that froze).
static PyObject *
describe_stack(PyThreadState *python, PyObject *outermost, bool gil_was_kept)
{
    PyObject *list = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(python);
    bool failed = list == NULL, has_own = false, is_whole = outermost == NULL;
    for (int depth = 0; frame != NULL && !failed && depth < MOST_WALKED; depth++) {
        if (outermost == NULL && runs_the_loop(frame)) {
            break;
        }
        bool is_first = gil_was_kept || (PyObject *)frame == outermost;
        bool is_late = is_first && PyList_GET_SIZE(list) == 0 && has_just_begun(frame);
        failed = !is_late && append_frame(list, frame, &has_own) < 0;
        is_whole = is_whole || (PyObject *)frame == outermost;
        if (failed || (is_whole && outermost != NULL) || (has_own && PyList_GET_SIZE(list) >= MOST_FRAMES)) {
            is_whole = true;
            break;
        }
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    if (!is_whole && !is_linked((PyFrameObject *)outermost)) {
        // These frames are not above the coroutine's, which is about to be entered, or was just left.
        Py_XDECREF(frame);
        Py_XDECREF(list);
        return failed ? NULL : PyTuple_New(0);
    }
    if (!failed && !is_whole && PyList_GET_SIZE(list) > 0) {
        PyObject *described = pulse_capture_frame((PyFrameObject *)outermost);
        failed = described == NULL || PyList_Append(list, described) < 0;
        Py_XDECREF(described);
    }
    Py_XDECREF(frame);
    PyObject *stack = failed ? NULL : PyList_AsTuple(list);
    Py_XDECREF(list);
    return stack;
}

// Whether a coroutine executes. At the beginning and at the end of its poll it does not, and the thread runs other code.
// Coroutines of other types are not asked.
static bool
is_executing(PyObject *coro)
{
    const char *name = PyCoro_CheckExact(coro) ? "cr_running" : PyGen_CheckExact(coro) ? "gi_running" : NULL;
    PyObject *running = name == NULL ? Py_NewRef(Py_True) : PyObject_GetAttrString(coro, name);
    bool answer = running == Py_True;
    Py_XDECREF(running);
    PyErr_Clear();
    return answer;
}

PyObject *
pulse_capture_poll(pulse_state *state, pulse_thread *thread, bool gil_was_kept)
{
    if (thread->current == NULL || !is_executing(thread->current->coro)) {
        return NULL;
    }
    // Hold the coroutine, and look for the thread afterwards: `cr_frame` of a foreign coroutine may run Python code.
    PyObject *coro = Py_NewRef(thread->current->coro);
    PyObject *outermost = PyObject_GetAttr(coro, state->str_cr_frame);
    Py_DECREF(coro);
    if (outermost == NULL) {
        // Not every coroutine has a frame. Without one, the stack extends to the loop.
        PyErr_Clear();
    }
    else if (!PyFrame_Check(outermost)) {
        Py_CLEAR(outermost);
    }
    PyThreadState *python = python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed));
    PyObject *stack = python == NULL ? NULL : describe_stack(python, outermost, gil_was_kept);
    Py_XDECREF(outermost);
    if (stack != NULL && PyTuple_GET_SIZE(stack) == 0) {
        Py_CLEAR(stack);
    }
    return stack;
}

// Ask the loop itself. The collector would run finalisers of the program on this thread, so it is off, except during a
// method written in Python.
static bool
ask_loop(PyObject *loop, PyObject *name)
{
    int collects = PyGC_Disable();
    PyObject *method = PyObject_GetAttr(loop, name);
    bool is_python = method != NULL && PyMethod_Check(method) && PyFunction_Check(PyMethod_GET_FUNCTION(method));
    if (is_python && collects) {
        PyGC_Enable();
    }
    PyObject *running = method == NULL ? NULL : PyObject_CallNoArgs(method);
    if (!is_python && collects) {
        PyGC_Enable();
    }
    bool answer = running != NULL && PyObject_IsTrue(running) == 1;
    Py_XDECREF(running);
    Py_XDECREF(method);
    return answer;
}

// asyncio's own loops have an attribute for this. Their is_running is Python code, and the GIL may change hands in it.
static bool
loop_is_running(pulse_state *state, PyObject *loop)
{
    PyObject *runner = pulse_optional_attribute(loop, state->str_thread_id);
    PyErr_Clear();
    bool answer = runner != NULL ? !Py_IsNone(runner) : ask_loop(loop, state->str_is_running);
    Py_XDECREF(runner);
    return answer;
}

bool
pulse_capture_is_running(pulse_governor *governor)
{
    pulse_thread *thread = atomic_load(&governor->turns->thread);
    // A forked child has the loops of all threads of its parent, but only one of these threads.
    if (thread == NULL || python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed)) == NULL) {
        return false;
    }
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    bool answer = loop != NULL && !Py_IsNone(loop) && loop_is_running(governor->state, loop);
    Py_XDECREF(loop);
    PyErr_Clear();
    return answer;
}

// The stack of the code that runs in the loop's thread. If there is no Python frame, the stack says so.
static PyObject *
stack_of_loop(pulse_governor *governor, pulse_thread *thread, bool gil_was_kept)
{
    PyObject *stack = pulse_capture_poll(governor->state, thread, gil_was_kept);
    PyThreadState *python = python_thread(atomic_load_explicit(&thread->python_id, memory_order_relaxed));
    if (stack == NULL && !PyErr_Occurred() && thread->current != NULL) {
        // The coroutine is about to be entered, or was just left. What runs is not its code.
        stack = PyTuple_New(0);
    }
    if (stack == NULL && !PyErr_Occurred() && python != NULL) {
        stack = describe_stack(python, NULL, gil_was_kept);
    }
    if (stack != NULL && PyTuple_GET_SIZE(stack) == 0) {
        Py_SETREF(stack, Py_BuildValue("((ssi))", "(event loop)", "", 0));
    }
    return stack;
}

// The Python thread with the number `os_thread` of the operating system, if it is in Python code; otherwise NULL. `*frame`
// is a new reference.
static PyThreadState *
find_suspect(uint64_t os_thread, PyFrameObject **frame)
{
    PyThreadState *python = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (python != NULL && python->native_thread_id != os_thread) {
        python = PyThreadState_Next(python);
    }
    *frame = python == NULL ? NULL : PyThreadState_GetFrame(python);
    return *frame == NULL ? NULL : python;
}

// "worker-1 in crunch (jobs.py:12)".
static PyObject *
describe_culprit(PyThreadState *python, PyFrameObject *frame)
{
    // Look up without an import, because the program may have an import hook.
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *threading = modules == NULL ? NULL : Py_XNewRef(PyDict_GetItemString(modules, "threading"));
    PyObject *active = threading == NULL ? NULL : PyObject_GetAttrString(threading, "_active");
    PyObject *identity = PyLong_FromUnsignedLong(python->thread_id);
    PyObject *thread = active == NULL || identity == NULL ? NULL : PyObject_GetItem(active, identity);
    PyObject *name = thread == NULL ? NULL : PyObject_GetAttrString(thread, "_name");
    PyErr_Clear();
    PyObject *place = pulse_capture_frame(frame);
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
    return text;
}

// Find the threads that stand still while we have the GIL. They may need a moment to come to rest, all of them at the same
// time. A thread that computes without the GIL does not come to rest.
static void
find_still(const uint64_t *os_threads, int count, bool *is_still)
{
    for (int look = 0, moving = count; look < LOOKS_AT_SUSPECTS && moving > 0; look++) {
        if (look > 0) {
            pulse_os_thread_pause_us(LOOK_EVERY_US);
        }
        for (int i = 0; i < count; i++) {
            if (!is_still[i] && pulse_os_thread_sleeps(os_threads[i])) {
                is_still[i] = true;
                moving--;
            }
        }
    }
}

int
pulse_capture_culprit(const uint64_t *suspects, int count, pulse_worst_entry *entry)
{
    int found = 0;
    PyObject *first = NULL;
    bool is_still[PULSE_MOST_SUSPECTS] = {false};
    find_still(suspects, count, is_still);
    for (int i = 0; i < count; i++) {
        PyFrameObject *frame;
        PyThreadState *python = find_suspect(suspects[i], &frame);
        if (python != NULL && is_still[i] && found++ == 0) {
            first = describe_culprit(python, frame);
        }
        Py_XDECREF(frame);
    }
    if (found == 0) {
        first = PyUnicode_FromString("another thread, not known which");
    }
    else if (found > 1 && first != NULL) {
        Py_SETREF(first, PyUnicode_FromFormat("one of %d threads, such as %U", found, first));
    }
    entry->culprit = first;
    return first == NULL ? -1 : 0;
}

int
pulse_capture_nothing(pulse_worst_entry *entry)
{
    PyObject *stack = Py_BuildValue("((ssi))", "(event loop)", "", 0);
    if (stack == NULL) {
        return -1;
    }
    *entry = (pulse_worst_entry){
        .group = PyUnicode_FromString("(callbacks)"),
        .task = PyUnicode_FromString(""),
        .wall_ticks = entry->wall_ticks,
    };
    pulse_worst_place(entry, stack);
    Py_DECREF(stack);
    return PyErr_Occurred() ? -1 : 0;
}

int
pulse_capture_stall(pulse_governor *governor, pulse_stall_class stall_class, bool gil_was_kept,
                    pulse_worst_entry *entry)
{
    // Read once, because Python code may stop the watching of the loop.
    pulse_thread *thread = atomic_load(&governor->turns->thread);
    PyObject *stack = stack_of_loop(governor, thread, gil_was_kept);
    if (stack == NULL) {
        return -1;
    }
    bool is_own = stall_class == PULSE_STALL_ON_CPU || stall_class == PULSE_STALL_BLOCKED ||
                  stall_class == PULSE_STALL_PROCESSOR || stall_class == PULSE_STALL_UNKNOWN;
    pulse_governed *polled = thread->current;
    PyObject *group = polled != NULL ? Py_NewRef(polled->group->name) : PyUnicode_FromString("(callbacks)");
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    PyObject *task = loop == NULL ? NULL : pulse_current_task_of(governor->state->current_task, loop);
    Py_XDECREF(loop);
    *entry = (pulse_worst_entry){
        .group = group,
        .task = pulse_worst_task_name(governor->state, task),
        .stall_class = is_own && pulse_samples_is_importing(stack) ? PULSE_STALL_IMPORTING : stall_class,
    };
    pulse_worst_place(entry, stack);
    Py_DECREF(stack);
    if (PyErr_Occurred()) {
        pulse_worst_entry_clear(entry);
        return -1;
    }
    return 0;
}
