#include "types/checkpoint.h"

#include "model/governed.h"

// The specification's budget of a NORMAL poll.
enum { UNGOVERNED_BUDGET_NS = 2000000 };

typedef struct {
    PyObject_HEAD
    bool yields;
} pulse_awaitable;

PyObject *
pulse_checkpoint_new(pulse_state *state, bool yields)
{
    PyObject *self = state->checkpoint_type->tp_alloc(state->checkpoint_type, 0);
    if (self != NULL) {
        ((pulse_awaitable *)self)->yields = yields;
    }
    return self;
}

static PyObject *
awaitable_next(PyObject *self)
{
    pulse_awaitable *awaitable = (pulse_awaitable *)self;
    if (awaitable->yields) {
        awaitable->yields = false;
        Py_RETURN_NONE;
    }
    return NULL;
}

static PySendResult
awaitable_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **result)
{
    bool yields = ((pulse_awaitable *)self)->yields;
    ((pulse_awaitable *)self)->yields = false;
    *result = Py_NewRef(Py_None);
    return yields ? PYGEN_NEXT : PYGEN_RETURN;
}

static PyObject *
awaitable_await(PyObject *self)
{
    return Py_NewRef(self);
}

static void
awaitable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot awaitable_slots[] = {
    {Py_tp_doc, "What checkpoint() returns: await it."},
    {Py_tp_dealloc, awaitable_dealloc},
    // For `yield from checkpoint().__await__()`.
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaitable_next},
    {Py_am_await, awaitable_await},
    {Py_am_send, awaitable_send},
    {0, NULL},
};

PyType_Spec pulse_checkpoint_spec = {
    .name = "asyncio_pulse._core.Checkpoint",
    .basicsize = sizeof(pulse_awaitable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaitable_slots,
};

PyObject *
pulse_checkpoint_current(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(module), false);
    if (thread == NULL || thread->current == NULL) {
        Py_RETURN_NONE;
    }
    return Py_NewRef((PyObject *)thread->current);
}

// The running task, of any kind, only to be compared; NULL if no task runs. Code that drives its coroutines in another way,
// such as trio, could not handle a bare yield.
static void *
running_task(pulse_state *state)
{
    PyObject *task = pulse_current_task(state->current_task);
    if (task == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(task);
    return Py_IsNone(task) ? NULL : task;
}

// Called where nothing is governed, or everything is off: whether a task has met checkpoints for the time of its budget
// without yielding. The beginning of a poll is not known here. So a poll after an idle time may yield once without need,
// and a poll after that of another task may take twice its time.
static int
spend_ungoverned(pulse_state *state, pulse_thread *thread)
{
    uint64_t now = pulse_clock_ticks();
    if (thread != NULL && thread->clocked_task != NULL &&
        now - thread->clocked_since <= pulse_clock_from_ns(UNGOVERNED_BUDGET_NS)) {
        return 0;
    }
    void *task = running_task(state);
    if (task == NULL) {
        return 0;
    }
    if (thread == NULL) {
        thread = pulse_thread_find(state, true);
        if (thread == NULL) {
            return -1;
        }
    }
    bool spent = thread->clocked_task == task;
    thread->clocked_task = task;
    thread->clocked_since = now;
    return spent;
}

// 1 if the budget of the running poll is used up, 0 if not, -1 with an exception on failure.
static int
spend(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords, const char *name)
{
    Py_ssize_t keyword_count = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    if (count + keyword_count > 1 ||
        (keyword_count == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "cost") != 0)) {
        PyErr_Format(PyExc_TypeError, "%s takes one argument at most, cost", name);
        return -1;
    }
    long long cost = 1;
    if (count + keyword_count == 1) {
        cost = PyLong_AsLongLong(args[0]);
        if (cost == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (cost < 1) {
            PyErr_Format(PyExc_ValueError, "cost must be at least 1 operation, got %lld", cost);
            return -1;
        }
    }
    pulse_state *state = pulse_state_of_module(module);
    pulse_thread *thread = pulse_thread_find(state, false);
    if (thread == NULL || thread->current == NULL) {
        return spend_ungoverned(state, thread);
    }
    return pulse_governed_spend(thread->current, thread, (uint64_t)cost);
}

PyObject *
pulse_checkpoint_budget_spent(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    int spent = spend(module, args, count, keywords, "budget_spent");
    return spent < 0 ? NULL : PyBool_FromLong(spent);
}

PyObject *
pulse_checkpoint(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    int spent = spend(module, args, count, keywords, "checkpoint");
    if (spent < 0) {
        return NULL;
    }
    return pulse_checkpoint_new(pulse_state_of_module(module), spent);
}
