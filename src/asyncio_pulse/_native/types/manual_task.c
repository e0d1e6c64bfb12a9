#include "types/manual_task.h"

#include "poll/first_poll.h"
#include "poll/hooks.h"
#include "poll/last_poll.h"
#include "poll/poll.h"

typedef struct {
    PyObject_HEAD
    pulse_governed *governed;
    // Its thread is NULL if the poll is not measured.
    pulse_poll poll;
    bool polling;
} pulse_manual_task;

static PyObject *
manual_task_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"governor", "options", NULL};
    pulse_state *state = pulse_state_of_type(type);
    PyObject *governor, *options;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!:ManualTask", names, state->governor_type, &governor,
                                     state->options_type, &options)) {
        return NULL;
    }
    pulse_manual_task *task = (pulse_manual_task *)type->tp_alloc(type, 0);
    if (task == NULL) {
        return NULL;
    }
    // The polled task has no coroutine that we know. None stands for the coroutine and is never driven.
    task->governed = (pulse_governed *)pulse_governed_new_task((pulse_governor *)governor, Py_None);
    if (task->governed == NULL) {
        Py_CLEAR(task);
        return NULL;
    }
    task->governed->options = Py_NewRef(options);
    task->governed->flags |= PULSE_GOVERNED_MANUAL;
    pulse_first_poll_begin(task->governed);
    if (task->governed->flags & PULSE_GOVERNED_TRANSPARENT) {
        // Not measured, and so not counted.
        pulse_last_poll_finish(task->governed);
        pulse_counter_add(&task->governed->governor->tasks, (uint64_t)-1);
    }
    return (PyObject *)task;
}

static void
manual_task_dealloc(PyObject *self)
{
    pulse_manual_task *task = (pulse_manual_task *)self;
    PyTypeObject *type = Py_TYPE(self);
    pulse_thread *thread = task->polling ? task->poll.thread : NULL;
    if (thread != NULL && thread->current == task->governed) {
        // Dropped in the middle of a poll: the slot must not point at this task any longer.
        pulse_poll_end_special(&task->poll, task->governed, PULSE_POLL_FAILED, false);
    }
    else if (thread != NULL && thread->tangles == task->poll.tangles) {
        // Polls nested in this one remember it, and would lead back to it.
        pulse_poll_untangle(thread);
    }
    Py_XDECREF(task->governed);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool
is_measured(const pulse_manual_task *task)
{
    return !(task->governed->flags & PULSE_GOVERNED_TRANSPARENT) &&
           !(task->governed->governor->flags & PULSE_GOVERNOR_UNMEASURED);
}

static PyObject *
manual_task_begin(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_manual_task *task = (pulse_manual_task *)self;
    if (task->polling) {
        PyErr_SetString(PyExc_RuntimeError, "before_poll was called twice for a task without after_poll in between");
        return NULL;
    }
    pulse_thread *thread = NULL;
    if (is_measured(task)) {
        thread = pulse_governor_thread(task->governed->governor);
        if (thread == NULL) {
            return NULL;
        }
    }
    // Hooks run in here. A hook that begins the same task again is refused, and so is one that ends it.
    task->polling = true;
    task->poll.thread = thread;
    if (thread != NULL) {
        pulse_poll_begin_special(&task->poll, thread, task->governed);
    }
    Py_RETURN_NONE;
}

static PyObject *
manual_task_end(PyObject *self, PyObject *args)
{
    pulse_manual_task *task = (pulse_manual_task *)self;
    int result;
    unsigned long long duration_ns;
    if (!PyArg_ParseTuple(args, "iK:end", &result, &duration_ns)) {
        return NULL;
    }
    if (!task->polling) {
        PyErr_SetString(PyExc_RuntimeError, "after_poll was called for a task without before_poll");
        return NULL;
    }
    if (task->poll.thread == NULL || task->poll.thread->tangles != task->poll.tangles) {
        // Not measured, or given up together with a poll that enclosed it.
        task->polling = false;
        Py_RETURN_NONE;
    }
    if (task->poll.thread->current != task->governed) {
        PyErr_SetString(PyExc_RuntimeError, "after_poll was called for a task that is not the one being polled here");
        return NULL;
    }
    task->polling = false;
    // The caller's clock decides how long the poll was.
    task->poll.begun = task->poll.cpu_sampled_at = pulse_clock_ticks() - pulse_clock_from_ns(duration_ns);
    task->poll.cpu_sampled_ns = PULSE_ALL_ON_CPU;
    pulse_poll_end_special(&task->poll, task->governed, (pulse_poll_result)result, false);
    Py_RETURN_NONE;
}

static PyObject *
manual_task_yielded(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_manual_task *task = (pulse_manual_task *)self;
    if (is_measured(task)) {
        pulse_counter_add(&task->governed->governor->voluntary_yields, 1);
        pulse_hooks_tell(task->governed, "on_yield");
    }
    Py_RETURN_NONE;
}

static PyObject *
manual_task_complete(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_manual_task *task = (pulse_manual_task *)self;
    pulse_last_poll_finish(task->governed);
    if (is_measured(task)) {
        pulse_hooks_tell(task->governed, "on_completion");
    }
    Py_RETURN_NONE;
}

static PyMethodDef manual_task_methods[] = {
    {"begin", manual_task_begin, METH_NOARGS, "A poll begins, in this thread."},
    {"end", manual_task_end, METH_VARARGS, "It ends: end(result, duration in ns)."},
    {"yielded", manual_task_yielded, METH_NOARGS, "The poll ended because the task gave way."},
    {"complete", manual_task_complete, METH_NOARGS, "The task is done."},
    {NULL},
};

static PyType_Slot manual_task_slots[] = {
    {Py_tp_doc, "A task that another kind of loop drives."},
    {Py_tp_new, manual_task_new},
    {Py_tp_dealloc, manual_task_dealloc},
    {Py_tp_methods, manual_task_methods},
    {0, NULL},
};

PyType_Spec pulse_manual_task_spec = {
    .name = "asyncio_pulse._core.ManualTask",
    .basicsize = sizeof(pulse_manual_task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = manual_task_slots,
};
