#include "preempt/segment.h"

#include <greenlet/greenlet.h>

#include "bytecode/throw.h"

enum {
    SAID_NOTHING,
    SAID_STEPPED,
    SAID_LEFT,
};

// Segments in the middle of their code. Only those of the main thread of the main interpreter ever are, which is why this
// belongs to the process and not to a module.
static pulse_segment *first_preempted;

static PyObject *no_arguments;

static PyGreenlet *
greenlet_of(const pulse_segment *segment)
{
    return (PyGreenlet *)segment->greenlet;
}

int
pulse_segment_init(void)
{
    if (_PyGreenlet_API == NULL) {
        PyObject *module = PyImport_ImportModule("greenlet");
        if (module == NULL) {
            return -1;
        }
        Py_DECREF(module);
        PyGreenlet_Import();
    }
    if (_PyGreenlet_API != NULL && no_arguments == NULL) {
        no_arguments = PyTuple_New(0);
    }
    return _PyGreenlet_API == NULL || no_arguments == NULL ? -1 : 0;
}

static void
enlist(pulse_segment *segment)
{
    segment->preempted = true;
    segment->next_preempted = first_preempted;
    segment->previous_preempted = &first_preempted;
    if (first_preempted != NULL) {
        first_preempted->previous_preempted = &segment->next_preempted;
    }
    first_preempted = segment;
}

static void
delist(pulse_segment *segment)
{
    if (segment->preempted) {
        segment->preempted = false;
        *segment->previous_preempted = segment->next_preempted;
        if (segment->next_preempted != NULL) {
            segment->next_preempted->previous_preempted = segment->previous_preempted;
        }
    }
}

static PySendResult
throw_into(PyObject *coro, PyObject *exception, PyObject **result)
{
    *result = PyObject_CallMethod(coro, "throw", "O", exception);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    return pulse_stop_iteration_take(result) ? PYGEN_RETURN : PYGEN_ERROR;
}

// One step of the coroutine, inside the greenlet. The wrapper owns the coroutine, and alone does so while it is suspended.
static void
step(pulse_segment *segment)
{
    PyObject *value = segment->value, *exception = segment->exception, *coro = segment->governed->coro;
    segment->value = segment->exception = segment->result = NULL;
    if (exception != NULL) {
        segment->outcome = throw_into(coro, exception, &segment->result);
    }
    else {
        segment->outcome = PyIter_Send(coro, value, &segment->result);
    }
    Py_XDECREF(value);
    Py_XDECREF(exception);
    if (segment->outcome == PYGEN_ERROR) {
        segment->raised = pulse_exception_take();
    }
    segment->said = SAID_STEPPED;
}

// Give way to the greenlet that resumed the segment. -1 with an exception if the segment must not go on.
static int
give_way(pulse_segment *segment)
{
    PyGreenlet *parent = PyGreenlet_GET_PARENT(greenlet_of(segment));
    PyObject *got = parent == NULL ? NULL : PyGreenlet_Switch(parent, no_arguments, NULL);
    Py_XDECREF(parent);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

// What runs in the greenlet, as long as the coroutine does.
static PyObject *
body(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_segment *segment = (pulse_segment *)self;
    for (;;) {
        step(segment);
        if (segment->outcome != PYGEN_NEXT) {
            Py_RETURN_NONE;
        }
        if (give_way(segment) < 0) {
            return NULL;
        }
    }
}

static PyMethodDef body_definition = {"armed_segment", body, METH_NOARGS, NULL};

// Share the Context object instead of copying it, so that all that share it see what the coroutine sets.
static int
share_context(PyObject *greenlet)
{
    PyGreenlet *current = PyGreenlet_GetCurrent();
    PyObject *context = current == NULL ? NULL : PyObject_GetAttrString((PyObject *)current, "gr_context");
    Py_XDECREF(current);
    int result = context == NULL ? -1 : PyObject_SetAttrString(greenlet, "gr_context", context);
    Py_XDECREF(context);
    return result;
}

int
pulse_segment_arm(pulse_governed *governed)
{
    PyTypeObject *type = pulse_state_of_module(governed->module)->segment_type;
    pulse_segment *segment = (pulse_segment *)type->tp_alloc(type, 0);
    if (segment == NULL) {
        return -1;
    }
    PyObject *run = PyCFunction_New(&body_definition, (PyObject *)segment);
    segment->greenlet = run == NULL ? NULL : (PyObject *)PyGreenlet_New(run, NULL);
    Py_XDECREF(run);
    int result = segment->greenlet == NULL ? -1 : share_context(segment->greenlet);
    if (result < 0 || governed->segment != NULL) {
        // It failed, or Python code that ran in here has armed it meanwhile. The greenlet refers back to the segment.
        Py_CLEAR(segment->greenlet);
        Py_DECREF(segment);
        return result;
    }
    segment->governed = governed;
    governed->segment = segment;
    return 0;
}

// The segment gives way to the greenlet that resumes it now.
static int
set_parent(pulse_segment *segment)
{
    PyGreenlet *current = PyGreenlet_GetCurrent();
    PyGreenlet *parent = PyGreenlet_GET_PARENT(greenlet_of(segment));
    int result = current == parent ? 0 : PyGreenlet_SetParent(greenlet_of(segment), current);
    Py_XDECREF(parent);
    Py_XDECREF(current);
    return result;
}

// Another library's greenlet, started inside the segment, gave `got` to the greenlet from which the segment was resumed. It
// was meant for code inside the segment, which waits for it.
static PyObject *
forward(pulse_segment *segment, PyObject *got)
{
    if (got == NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        got = PyGreenlet_Throw(greenlet_of(segment), type, value, traceback);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return got;
    }
    PyObject *arguments = PyTuple_Pack(1, got);
    Py_DECREF(got);
    got = arguments == NULL ? NULL : PyGreenlet_Switch(greenlet_of(segment), arguments, NULL);
    Py_XDECREF(arguments);
    return got;
}

// Resume the greenlet until it states why it gave way. -1 with an exception if it ended without a reason.
static int
resume(pulse_segment *segment)
{
    if (set_parent(segment) < 0) {
        return -1;
    }
    segment->said = SAID_NOTHING;
    segment->resumed = true;
    PyObject *got = PyGreenlet_Switch(greenlet_of(segment), no_arguments, NULL);
    while (segment->said == SAID_NOTHING && PyGreenlet_ACTIVE(greenlet_of(segment))) {
        got = forward(segment, got);
    }
    segment->resumed = false;
    if (segment->said == SAID_NOTHING) {
        Py_XDECREF(got);
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_RuntimeError, "the greenlet of a governed coroutine was killed by somebody else");
        }
        return -1;
    }
    Py_XDECREF(got);
    return 0;
}

int
pulse_segment_raise_cancellation(pulse_segment *segment)
{
    PyObject *cancellation = segment->cancellation;
    segment->cancellation = NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(cancellation), cancellation);
    Py_DECREF(cancellation);
    return -1;
}

// How often the running task was asked to cancel, without requests that were taken back; 0 if that is not known.
static long
count_requests(pulse_governed *governed)
{
    pulse_exception raised = pulse_exception_take();
    PyObject *task = pulse_current_task(pulse_state_of_module(governed->module)->current_task);
    PyObject *count = task == NULL || Py_IsNone(task) ? NULL : PyObject_CallMethod(task, "cancelling", NULL);
    long requests = count == NULL ? 0 : PyLong_AsLong(count);
    Py_XDECREF(count);
    Py_XDECREF(task);
    PyErr_Clear();
    pulse_exception_put_back(raised);
    return requests;
}

// The coroutine receives the cancellation later. Its cause may be over at that time, such as a timeout whose block the
// coroutine has left. Without preemption the coroutine would never have received it.
static void
keep_cancellation(pulse_segment *segment, PyObject *exception)
{
    bool is_repeated = pulse_throw_is_repeated(exception);
    if (segment->cancellation != NULL && !segment->is_repeated && is_repeated) {
        return;
    }
    if (segment->cancellation == NULL) {
        segment->requests = count_requests(segment->governed);
    }
    segment->is_repeated = is_repeated;
    Py_XSETREF(segment->cancellation, Py_NewRef(exception));
}

void
pulse_segment_put_off(pulse_segment *segment)
{
    if (segment->is_repeated) {
        Py_CLEAR(segment->cancellation);
    }
}

bool
pulse_segment_is_cancelled(pulse_segment *segment)
{
    if (segment->cancellation != NULL && segment->governed != NULL &&
        count_requests(segment->governed) < segment->requests) {
        Py_CLEAR(segment->cancellation);
    }
    return segment->cancellation != NULL;
}

// The coroutine stopped at an await while a cancellation waits. Do what a task does in the case of its own `_must_cancel`.
static PySendResult
settle_cancellation(pulse_segment *segment, PySendResult outcome, PyObject **result)
{
    if (outcome == PYGEN_ERROR || (outcome == PYGEN_RETURN && !segment->opted_in)) {
        Py_CLEAR(segment->cancellation);
    }
    else if (outcome == PYGEN_RETURN) {
        PyObject *lost = *result;
        *result = NULL;
        pulse_segment_raise_cancellation(segment);
        pulse_exception raised = pulse_exception_take();
        Py_DECREF(lost);
        pulse_exception_put_back(raised);
        return PYGEN_ERROR;
    }
    else if (!Py_IsNone(*result)) {
        PyObject *cancellation = Py_NewRef(segment->cancellation);
        PyObject *arguments = PyObject_GetAttrString(cancellation, "args");
        Py_DECREF(cancellation);
        bool has_message = arguments != NULL && PyTuple_Check(arguments) && PyTuple_GET_SIZE(arguments) > 0;
        PyObject *message = has_message ? PyTuple_GET_ITEM(arguments, 0) : Py_None;
        PyObject *done = arguments == NULL ? NULL : PyObject_CallMethod(*result, "cancel", "(O)", message);
        if (done != NULL && PyObject_IsTrue(done) == 1) {
            Py_CLEAR(segment->cancellation);
        }
        Py_XDECREF(done);
        Py_XDECREF(arguments);
        // The awaited object cannot be cancelled, so the cancellation is raised when the coroutine goes on.
        PyErr_Clear();
    }
    return outcome;
}

PySendResult
pulse_segment_step(pulse_governed *governed, PyObject *value, PyObject *exception, PyObject **result)
{
    pulse_segment *segment = governed->segment;
    *result = NULL;
    if (segment->resumed) {
        // The coroutine itself raises that it is running.
        return exception == NULL ? PyIter_Send(governed->coro, value, result)
                                 : throw_into(governed->coro, exception, result);
    }
    // The wrapped code may drop the wrapper.
    Py_INCREF(segment);
    bool cancels = exception != NULL &&
                   PyErr_GivenExceptionMatches(exception, pulse_state_of_module(governed->module)->cancelled_error);
    if (segment->preempted && cancels) {
        keep_cancellation(segment, exception);
    }
    else if (exception != NULL) {
        Py_XSETREF(segment->exception, Py_NewRef(exception));
    }
    else if (!segment->preempted && pulse_segment_is_cancelled(segment)) {
        segment->exception = segment->cancellation;
        segment->cancellation = NULL;
    }
    Py_XSETREF(segment->value, segment->preempted ? NULL : Py_NewRef(value));
    PySendResult outcome = PYGEN_ERROR;
    if (resume(segment) == 0) {
        if (segment->said == SAID_LEFT) {
            outcome = PYGEN_NEXT;
        }
        else {
            outcome = segment->outcome;
            *result = segment->result;
            segment->result = NULL;
            if (outcome == PYGEN_ERROR) {
                pulse_exception_put_back(segment->raised);
            }
            if (pulse_segment_is_cancelled(segment)) {
                outcome = settle_cancellation(segment, outcome, result);
            }
        }
    }
    Py_DECREF(segment);
    return outcome;
}

bool
pulse_segment_is_running(const pulse_segment *segment)
{
    PyGreenlet *current = PyGreenlet_GetCurrent();
    Py_XDECREF(current);
    return current == greenlet_of(segment);
}

int
pulse_segment_leave(pulse_segment *segment)
{
    segment->said = SAID_LEFT;
    enlist(segment);
    int result = give_way(segment);
    delist(segment);
    if (result < 0) {
        return -1;
    }
    if (segment->exception != NULL) {
        PyObject *exception = segment->exception;
        segment->exception = NULL;
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
        return -1;
    }
    return 0;
}

static int
is_end_of_coroutine(void)
{
    return PyErr_ExceptionMatches(PyExc_GeneratorExit) || PyErr_ExceptionMatches(PyExc_StopIteration);
}

int
pulse_segment_unwind(pulse_governed *governed)
{
    pulse_segment *segment = governed->segment;
    if (segment == NULL || !segment->preempted) {
        return 0;
    }
    Py_CLEAR(segment->cancellation);
    PyObject *exit = PyObject_CallNoArgs(PyExc_GeneratorExit), *result = NULL;
    if (exit == NULL) {
        return -1;
    }
    PySendResult outcome = pulse_segment_step(governed, Py_None, exit, &result);
    Py_DECREF(exit);
    if (segment->preempted && outcome == PYGEN_ERROR) {
        // The greenlet belongs to another thread and is killed there. Until then its frames need the coroutine.
        Py_XSETREF(segment->kept, Py_NewRef(governed->coro));
        return -1;
    }
    if (outcome == PYGEN_ERROR && is_end_of_coroutine()) {
        PyErr_Clear();
        return 0;
    }
    if (outcome == PYGEN_NEXT) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
        outcome = PYGEN_ERROR;
    }
    Py_XDECREF(result);
    return outcome == PYGEN_ERROR ? -1 : 0;
}

void
pulse_segment_unwind_all(void)
{
    while (first_preempted != NULL) {
        pulse_segment *each = (pulse_segment *)Py_NewRef((PyObject *)first_preempted);
        pulse_governed *governed = each->governed;
        Py_XINCREF(governed);
        if (governed != NULL && pulse_segment_unwind(governed) < 0) {
            PyErr_WriteUnraisable(governed->coro);
        }
        // Nothing more can be done about a coroutine that ignores it.
        delist(each);
        Py_XDECREF(governed);
        Py_DECREF(each);
    }
}

void
pulse_segment_drop(pulse_governed *governed)
{
    pulse_segment *segment = governed->segment;
    if (segment != NULL) {
        governed->segment = NULL;
        segment->governed = NULL;
        // This kills a greenlet that waits at an await. The greenlet refers back to the segment.
        Py_CLEAR(segment->greenlet);
        Py_DECREF(segment);
    }
}

static void
segment_dealloc(PyObject *self)
{
    pulse_segment *segment = (pulse_segment *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(segment->greenlet);
    Py_CLEAR(segment->value);
    Py_CLEAR(segment->exception);
    Py_CLEAR(segment->cancellation);
    Py_CLEAR(segment->result);
    Py_CLEAR(segment->package);
    Py_CLEAR(segment->kept);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot segment_slots[] = {
    {Py_tp_doc, "The greenlet of a coroutine that may be suspended in the middle of its code."},
    {Py_tp_dealloc, segment_dealloc},
    {0, NULL},
};

// Not tracked by the collector: it leads only to its greenlet, which is ended with the coroutine.
PyType_Spec pulse_segment_spec = {
    .name = "asyncio_pulse._core.Segment",
    .basicsize = sizeof(pulse_segment),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = segment_slots,
};
