#include "preempt/suspension.h"

#include "bytecode/throw.h"

// Those that are suspended. Only coroutines of the main interpreter ever are, so this belongs to the process.
static pulse_suspension *first_suspended;

static void
enlist(pulse_suspension *suspension)
{
    suspension->next = first_suspended;
    suspension->previous = &first_suspended;
    if (first_suspended != NULL) {
        first_suspended->previous = &suspension->next;
    }
    first_suspended = suspension;
}

static void
delist(pulse_suspension *suspension)
{
    if (suspension->previous != NULL) {
        *suspension->previous = suspension->next;
        if (suspension->next != NULL) {
            suspension->next->previous = suspension->previous;
        }
        suspension->previous = NULL;
    }
}

static const pulse_governed *
step_of(const pulse_slice *slice)
{
    while (!pulse_slice_is_step(slice)) {
        slice = pulse_slice_outer(slice);
    }
    return pulse_slice_owner(slice);
}

int
pulse_suspension_suspend(pulse_governed *governed, pulse_slices *slices, bool opted_in)
{
    pulse_suspension *suspension = governed->suspension;
    if (suspension == NULL) {
        suspension = governed->suspension = PyMem_RawCalloc(1, sizeof *suspension);
        if (suspension == NULL) {
            return -1;
        }
        suspension->governed = governed;
        governed->flags |= PULSE_GOVERNED_LEFT;
    }
    suspension->slices = slices;
    suspension->step = step_of(pulse_slices_running(slices));
    suspension->opted_in = opted_in;
    return pulse_slice_suspend(slices);
}

int
pulse_suspension_raise(PyObject **exception)
{
    PyObject *raised = *exception;
    *exception = NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_DECREF(raised);
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
keep_cancellation(pulse_suspension *suspension, PyObject *exception)
{
    bool is_repeated = pulse_throw_is_repeated(exception);
    if (suspension->cancellation != NULL && !suspension->is_repeated && is_repeated) {
        return;
    }
    if (suspension->cancellation == NULL) {
        suspension->requests = count_requests(suspension->governed);
    }
    suspension->is_repeated = is_repeated;
    Py_XSETREF(suspension->cancellation, Py_NewRef(exception));
}

void
pulse_suspension_put_off(pulse_suspension *suspension)
{
    if (suspension->is_repeated) {
        Py_CLEAR(suspension->cancellation);
    }
}

bool
pulse_suspension_is_cancelled(pulse_suspension *suspension)
{
    if (suspension->cancellation != NULL && count_requests(suspension->governed) < suspension->requests) {
        Py_CLEAR(suspension->cancellation);
    }
    return suspension->cancellation != NULL;
}

// The coroutine stopped at an await while a cancellation waits. Do what a task does in the case of its own `_must_cancel`.
static PySendResult
settle_cancellation(pulse_suspension *suspension, PySendResult outcome, PyObject **result)
{
    if (outcome == PYGEN_ERROR || (outcome == PYGEN_RETURN && !suspension->opted_in)) {
        pulse_exception raised = pulse_exception_take();
        Py_CLEAR(suspension->cancellation);
        pulse_exception_put_back(raised);
    }
    else if (outcome == PYGEN_RETURN) {
        PyObject *lost = *result;
        *result = NULL;
        pulse_suspension_raise(&suspension->cancellation);
        pulse_exception raised = pulse_exception_take();
        Py_DECREF(lost);
        pulse_exception_put_back(raised);
        return PYGEN_ERROR;
    }
    else if (!Py_IsNone(*result)) {
        PyObject *cancellation = Py_NewRef(suspension->cancellation);
        PyObject *arguments = PyObject_GetAttrString(cancellation, "args");
        Py_DECREF(cancellation);
        bool has_message = arguments != NULL && PyTuple_Check(arguments) && PyTuple_GET_SIZE(arguments) > 0;
        PyObject *message = has_message ? PyTuple_GET_ITEM(arguments, 0) : Py_None;
        PyObject *done = arguments == NULL ? NULL : PyObject_CallMethod(*result, "cancel", "(O)", message);
        if (done != NULL && PyObject_IsTrue(done) == 1) {
            Py_CLEAR(suspension->cancellation);
        }
        Py_XDECREF(done);
        Py_XDECREF(arguments);
        // The awaited object cannot be cancelled, so the cancellation is raised when the coroutine goes on.
        PyErr_Clear();
    }
    return outcome;
}

static bool
is_cancellation(pulse_governed *governed, PyObject *exception)
{
    return exception != NULL &&
           PyErr_GivenExceptionMatches(exception, pulse_state_of_module(governed->module)->cancelled_error);
}

// Go on in the middle. It gets no value, because it did not ask for one.
static PySendResult
go_on(pulse_governed *governed, pulse_slices *slices, bool is_step, PyObject *exception, PyObject **result,
      pulse_slice **suspended)
{
    pulse_suspension *suspension = governed->suspension;
    pulse_slice *slice = suspension->slice;
    // The caller enlists it again if it is suspended again, or stays suspended.
    delist(suspension);
    if (slices != suspension->slices) {
        PyErr_SetString(PyExc_RuntimeError, "this coroutine was suspended on the stack of another thread");
        *suspended = slice;
        return PYGEN_ERROR;
    }
    if (is_cancellation(governed, exception) && !suspension->is_closing) {
        keep_cancellation(suspension, exception);
    }
    else if (exception != NULL) {
        Py_XSETREF(suspension->exception, Py_NewRef(exception));
    }
    suspension->slice = NULL;
    return pulse_slice_go_on(slices, slice, is_step, result, suspended);
}

// The call that a task awaits, if it was suspended in the middle of its code.
static pulse_suspension *
awaited_in_middle(const pulse_governed *step, const pulse_slices *slices)
{
    pulse_suspension *each = first_suspended;
    while (each != NULL && (each->step != step || each->slices != slices)) {
        each = each->next;
    }
    return each;
}

// Begin a poll at an await. A cancellation that waits goes before the value.
//
// A cancellation for a call in its middle is left with the call, and what awaits the call is sent on. `throw` would not link
// the frames in between, so no place of the whole step would do, neither for a suspension nor for the cancellation.
static PySendResult
begin(pulse_governed *governed, pulse_slices *slices, bool is_step, PyObject *value, PyObject *exception,
      PyObject **result, pulse_slice **suspended)
{
    pulse_suspension *call = is_cancellation(governed, exception) ? awaited_in_middle(governed, slices) : NULL;
    if (call != NULL) {
        keep_cancellation(call, exception);
        return pulse_slice_begin(slices, governed, is_step, governed->coro, Py_None, NULL, result, suspended);
    }
    pulse_suspension *suspension = governed->suspension;
    if (PULSE_LIKELY(suspension == NULL || exception != NULL || !pulse_suspension_is_cancelled(suspension))) {
        return pulse_slice_begin(slices, governed, is_step, governed->coro, value, exception, result, suspended);
    }
    PyObject *cancellation = suspension->cancellation;
    suspension->cancellation = NULL;
    PySendResult outcome =
        pulse_slice_begin(slices, governed, is_step, governed->coro, value, cancellation, result, suspended);
    pulse_exception raised = pulse_exception_take();
    Py_DECREF(cancellation);
    pulse_exception_put_back(raised);
    return outcome;
}

void
pulse_suspension_keep(pulse_governed *governed, pulse_slice *slice)
{
    governed->suspension->slice = slice;
    enlist(governed->suspension);
}

PySendResult
pulse_suspension_poll(pulse_governed *governed, pulse_slices *slices, bool is_step, PyObject *value,
                      PyObject *exception, PyObject **result, bool *suspended)
{
    pulse_slice *slice;
    *result = NULL;
    PySendResult outcome = pulse_suspension_is_now(governed)
                               ? go_on(governed, slices, is_step, exception, result, &slice)
                               : begin(governed, slices, is_step, value, exception, result, &slice);
    pulse_suspension *suspension = governed->suspension;
    *suspended = slice != NULL && outcome == PYGEN_NEXT;
    if (PULSE_LIKELY(suspension == NULL)) {
        return outcome;
    }
    if (slice != NULL) {
        pulse_suspension_keep(governed, slice);
        *result = outcome == PYGEN_NEXT ? Py_NewRef(Py_None) : NULL;
        return outcome;
    }
    if (suspension->cancellation != NULL && pulse_suspension_is_cancelled(suspension)) {
        outcome = settle_cancellation(suspension, outcome, result);
    }
    if (suspension->cancellation == NULL) {
        pulse_suspension_free(governed);
    }
    return outcome;
}

static bool
is_end_of_coroutine(void)
{
    return PyErr_ExceptionMatches(PyExc_GeneratorExit) || PyErr_ExceptionMatches(PyExc_StopIteration);
}

int
pulse_suspension_unwind(pulse_governed *governed)
{
    if (!pulse_suspension_is_now(governed)) {
        return 0;
    }
    pulse_suspension *suspension = governed->suspension;
    Py_CLEAR(suspension->cancellation);
    PyObject *exit = PyObject_CallNoArgs(PyExc_GeneratorExit), *result = NULL;
    if (exit == NULL) {
        return -1;
    }
    bool suspended;
    suspension->is_closing = true;
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(governed->module), false);
    PySendResult outcome = pulse_suspension_poll(governed, thread == NULL ? NULL : thread->slices, false, Py_None, exit,
                                                 &result, &suspended);
    if (governed->suspension != NULL) {
        governed->suspension->is_closing = false;
    }
    Py_DECREF(exit);
    if (outcome == PYGEN_ERROR && is_end_of_coroutine() && !pulse_suspension_is_now(governed)) {
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

PyObject *
pulse_suspension_list(void)
{
    PyObject *list = PyList_New(0);
    for (const pulse_suspension *each = first_suspended; list != NULL && each != NULL; each = each->next) {
        if (PyList_Append(list, (PyObject *)each->governed) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

// A child that another thread forked has copies of what is suspended in a thread that does not exist there.
static bool
is_of_this_thread(const pulse_suspension *suspension)
{
    const pulse_thread *thread = pulse_thread_find(pulse_state_of_module(suspension->governed->module), false);
    return thread != NULL && thread->slices == suspension->slices;
}

void
pulse_suspension_unwind_all(void)
{
    for (pulse_suspension *each = first_suspended; each != NULL; each = first_suspended) {
        pulse_governed *governed = (pulse_governed *)Py_NewRef((PyObject *)each->governed);
        if (is_of_this_thread(each) && pulse_suspension_unwind(governed) < 0) {
            PyErr_WriteUnraisable(governed->coro);
        }
        // Nothing more can be done about a coroutine that ignores it, or that belongs to another thread.
        if (governed->suspension != NULL) {
            delist(governed->suspension);
        }
        Py_DECREF(governed);
    }
}

void
pulse_suspension_free(pulse_governed *governed)
{
    pulse_suspension *suspension = governed->suspension;
    if (suspension != NULL) {
        governed->suspension = NULL;
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_LEFT;
        delist(suspension);
        Py_CLEAR(suspension->exception);
        Py_CLEAR(suspension->cancellation);
        PyMem_RawFree(suspension);
    }
}
