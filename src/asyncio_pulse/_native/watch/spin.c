// Finds what makes a loop spin. This is done in the loop's own thread: other threads get the GIL between two callbacks,
// when there is nothing to see.
#include "watch/spin.h"

#include "model/governed.h"
#include "watch/capture.h"
#include "watch/turns.h"

// A loop that has not waited for ten times the stall threshold spins.
enum { SPINNING_STALLS = 10 };

// How deep the coroutines are followed that await one another.
enum { MOST_AWAITED = 100 };

static bool
has_not_waited(const pulse_turns *turns)
{
    uint64_t limit = atomic_load(&turns->stall_after_ticks), now = pulse_clock_ticks();
    uint64_t waited = atomic_load(&turns->last_waited);
    return limit < UINT64_MAX / SPINNING_STALLS && now > waited && now - waited > limit * SPINNING_STALLS;
}

bool
pulse_spin_is_seen(pulse_turns *turns)
{
    bool runs = atomic_load(&turns->busy_since) != 0 || atomic_load(&turns->beat_due) != 0;
    return runs && has_not_waited(turns);
}

// Takes over the references to `group` and `task`.
static void
enter(pulse_turns *turns, pulse_governor *governor, PyObject *group, PyObject *task, PyObject *stack)
{
    pulse_worst_entry entry = {
        .group = group,
        .task = pulse_worst_task_name(governor->state, task),
        .stall_class = PULSE_STALL_SPINNING,
        .wall_ticks = pulse_clock_ticks() - atomic_load(&turns->last_waited),
    };
    // Report once for each period.
    atomic_store(&turns->last_waited, pulse_clock_ticks());
    if (entry.group != NULL && entry.task != NULL) {
        pulse_worst_place(&entry, stack);
        pulse_turns_enter_stall(governor, &entry);
    }
    else {
        pulse_worst_entry_clear(&entry);
    }
}

// The callable inside partials and bound methods. Takes over a reference and returns one.
static PyObject *
function_of(PyObject *callback)
{
    static const char *const wrappers[] = {"func", "__func__"};
    for (int i = 0; i < 4; i++) {
        PyObject *inner = NULL;
        for (int j = 0; j < 2 && inner == NULL; j++) {
            inner = PyObject_GetAttrString(callback, wrappers[j]);
            PyErr_Clear();
        }
        if (inner == NULL) {
            break;
        }
        Py_SETREF(callback, inner);
    }
    return callback;
}

// A stack of one frame, for an object with a code object. New reference; NULL without an exception if it has no code
// object.
static PyObject *
stack_of(PyObject *owner, const char *code_name)
{
    PyObject *code = PyObject_GetAttrString(owner, code_name);
    PyObject *stack = NULL;
    if (code != NULL && PyCode_Check(code)) {
        PyCodeObject *known = (PyCodeObject *)code;
        stack = Py_BuildValue("((OOi))", known->co_qualname, known->co_filename, known->co_firstlineno);
    }
    Py_XDECREF(code);
    PyErr_Clear();
    return stack;
}

// The frames of a suspended coroutine and of the coroutines that it awaits, innermost first. Only native ones are asked,
// because others might run Python code. New reference; NULL without an exception if there are none.
static PyObject *
stack_of_suspended(PyObject *coro)
{
    PyObject *each = Py_NewRef(coro), *list = PyList_New(0);
    for (int depth = 0; depth < MOST_AWAITED && list != NULL && each != NULL; depth++) {
        bool is_coro = PyCoro_CheckExact(each);
        if (!is_coro && !PyGen_CheckExact(each)) {
            break;
        }
        PyObject *frame = PyObject_GetAttrString(each, is_coro ? "cr_frame" : "gi_frame");
        bool is_known = frame != NULL && PyFrame_Check(frame);
        PyObject *described = is_known ? pulse_capture_frame((PyFrameObject *)frame) : NULL;
        Py_XDECREF(frame);
        if (described == NULL || PyList_Insert(list, 0, described) < 0) {
            Py_XDECREF(described);
            break;
        }
        Py_DECREF(described);
        Py_SETREF(each, PyObject_GetAttrString(each, is_coro ? "cr_await" : "gi_yieldfrom"));
    }
    PyObject *stack = list == NULL || PyList_GET_SIZE(list) == 0 ? NULL : PyList_AsTuple(list);
    PyErr_Clear();
    Py_XDECREF(list);
    Py_XDECREF(each);
    return stack;
}

// The next callback that the loop will call. New reference, or NULL.
static PyObject *
next_callback(pulse_governor *governor)
{
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    PyObject *ready = loop == NULL ? NULL : PyObject_GetAttrString(loop, "_ready");
    PyObject *handle = ready == NULL ? NULL : PySequence_GetItem(ready, 0);
    PyObject *callback = handle == NULL ? NULL : PyObject_GetAttrString(handle, "_callback");
    Py_XDECREF(handle);
    Py_XDECREF(ready);
    Py_XDECREF(loop);
    PyErr_Clear();
    return callback;
}

static void
name_spin(pulse_turns *turns, pulse_governor *governor)
{
    PyObject *callback = next_callback(governor);
    if (callback == NULL) {
        return;
    }
    // A step of a task is a callback whose __self__ is the task.
    PyObject *task = PyObject_GetAttrString(callback, "__self__");
    PyObject *coro = task == NULL ? NULL : PyObject_CallMethod(task, "get_coro", NULL);
    PyErr_Clear();
    pulse_state *state = governor->state;
    if (coro != NULL && Py_IS_TYPE(coro, state->governed_type)) {
        pulse_governed *governed = (pulse_governed *)coro;
        PyObject *stack = stack_of_suspended(governed->coro);
        if (stack == NULL) {
            stack = stack_of(coro, "cr_code");
        }
        if (stack != NULL) {
            PyObject *group = governed->group == NULL ? state->str_empty : governed->group->name;
            enter(turns, governor, Py_NewRef(group), Py_NewRef(task), stack);
        }
        Py_XDECREF(stack);
    }
    else {
        callback = function_of(callback);
        PyObject *stack = stack_of(callback, "__code__");
        if (stack != NULL) {
            enter(turns, governor, PyUnicode_FromString("(callbacks)"), NULL, stack);
        }
        Py_XDECREF(stack);
    }
    PyErr_Clear();
    Py_XDECREF(coro);
    Py_XDECREF(task);
    Py_DECREF(callback);
}

void
pulse_spin_name(pulse_turns *turns)
{
    atomic_store(&turns->asked, false);
    // The turn that just ended may have been one long stall, which is no spinning.
    if (!has_not_waited(turns)) {
        return;
    }
    // Reading attributes of the program's objects may run code that stops the watching of the loop.
    PyObject *held = Py_NewRef((PyObject *)turns->governor);
    name_spin(turns, (pulse_governor *)held);
    Py_DECREF(held);
}

// Runs in the main thread at its next bytecode boundary. For a loop written in C, that is inside a callback.
static int
name_spin_here(void *argument)
{
    pulse_turns *turns = argument;
    pulse_thread *thread = atomic_load(&turns->thread);
    pulse_governor *governor = turns->governor;
    if (governor == NULL || thread == NULL || !atomic_exchange(&turns->asked, false) || !pulse_spin_is_seen(turns)) {
        return 0;
    }
    pulse_exception taken = pulse_exception_take();
    pulse_worst_entry entry;
    Py_INCREF((PyObject *)governor);
    if (pulse_capture_stall(governor, PULSE_STALL_SPINNING, false, &entry) < 0) {
        pulse_state_contain_error(governor->state);
    }
    else {
        entry.wall_ticks = pulse_clock_ticks() - atomic_load(&turns->last_waited);
        // Not reported to the decisions: the program is in the middle of its code, and may hold the lock of a log handler.
        pulse_worst_enter(&governor->stalls, &entry);
        atomic_store(&turns->last_waited, pulse_clock_ticks());
    }
    Py_DECREF((PyObject *)governor);
    pulse_exception_put_back(taken);
    return 0;
}

void
pulse_spin_ask(pulse_turns *turns)
{
    if (atomic_exchange(&turns->asked, true)) {
        return;
    }
    // A loop whose selector we see checks `asked` itself.
    if (atomic_load(&turns->beat_due) != 0 && Py_AddPendingCall(name_spin_here, turns) < 0) {
        atomic_store(&turns->asked, false);
    }
}
