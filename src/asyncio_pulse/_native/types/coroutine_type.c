#include "types/coroutine_type.h"

#include <stddef.h>
#include <structmember.h>

#include "bytecode/throw.h"
#include "model/figures.h"
#include "park/waiting.h"
#include "poll/due.h"
#include "poll/first_poll.h"
#include "poll/last_poll.h"
#include "poll/poll.h"
#include "poll/step.h"
#include "preempt/preemption.h"
#include "preempt/suspension.h"
#include "types/awaiter.h"

PyObject *
pulse_coroutine_type_call(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (count < 1 || count > 2 || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError, "GovernedCoroutine takes a coroutine and Options or None, by position");
        return NULL;
    }
    const pulse_state *state = pulse_state_of_type((PyTypeObject *)type);
    PyObject *options = count == 2 && !Py_IsNone(args[1]) ? args[1] : NULL;
    if (options != NULL && !Py_IS_TYPE(options, state->options_type)) {
        PyErr_Format(PyExc_TypeError, "options must be Options or None, got %R", options);
        return NULL;
    }
    int is_coroutine = pulse_governed_is_coroutine(state, args[0]);
    if (is_coroutine <= 0) {
        if (is_coroutine == 0) {
            PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R", args[0]);
        }
        return NULL;
    }
    pulse_governed *governed = pulse_governed_new((PyTypeObject *)type, args[0]);
    if (governed != NULL) {
        governed->options = Py_XNewRef(options);
        governed->flags |= PULSE_GOVERNED_CALL;
    }
    return (PyObject *)governed;
}

static int
governed_traverse(PyObject *self, visitproc visit, void *arg)
{
    pulse_governed *governed = (pulse_governed *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(governed->module);
    if (!pulse_suspension_is_now(governed)) {
        // Otherwise it seems to run, so that its own finalizer would fail. It is kept until the one of this object, which
        // unwinds it, has been called.
        Py_VISIT(governed->coro);
    }
    Py_VISIT(governed->group_token);
    Py_VISIT(governed->account);
    return pulse_waiting_traverse(governed, visit, arg);
}

static int
governed_clear(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    pulse_governed_no_longer_alive(governed);
    pulse_waiting_forget(governed);
    // Code that still holds this object finds a coroutine that does nothing, never a NULL.
    PyObject *coro = governed->coro;
    governed->coro = Py_NewRef(Py_None);
    governed->flags |= PULSE_GOVERNED_TRANSPARENT;
    Py_XDECREF(coro);
    Py_CLEAR(governed->group_token);
    governed->flags &= ~(uint32_t)PULSE_GOVERNED_TIERED;
    Py_CLEAR(governed->account);
    return 0;
}

// A coroutine that is dropped in the middle of its code ends like one that is closed.
static void
governed_finalize(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    if (pulse_suspension_is_now(governed)) {
        pulse_exception raised = pulse_exception_take();
        if (pulse_suspension_unwind(governed) < 0) {
            PyErr_WriteUnraisable(governed->coro);
        }
        pulse_exception_put_back(raised);
        if (pulse_suspension_is_now(governed)) {
            // Its frames are in use on a stack that this thread cannot unwind. They must never be freed.
            Py_INCREF(self);
        }
    }
}

static void
governed_dealloc(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (pulse_suspension_is_now(governed) && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    // Before anything that may run code of the program, because a report of due polls would take a reference to this
    // object.
    if (governed->flags & PULSE_GOVERNED_DUE) {
        pulse_due_forget(governed);
    }
    pulse_suspension_free(governed);
    if (governed->weak_references != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    pulse_governed_no_longer_alive(governed);
    pulse_waiting_free(governed);
    Py_CLEAR(governed->coro);
    Py_CLEAR(governed->group_token);
    Py_CLEAR(governed->governor);
    Py_CLEAR(governed->group);
    Py_CLEAR(governed->options);
    Py_CLEAR(governed->account);
    PyObject *module = governed->module;
    type->tp_free(self);
    Py_DECREF(module);
    Py_DECREF(type);
}

static PULSE_NOINLINE PySendResult
send_special(pulse_governed *governed, PyObject *value, PyObject **result)
{
    return pulse_step_resume(governed, (pulse_delivery){.value = Py_NewRef(value)}, result);
}

// PyIter_Send without the extra call: nearly every governed object has am_send.
PULSE_INLINE PySendResult
send_to(PyObject *coro, PyObject *value, PyObject **result)
{
    const PyAsyncMethods *methods = Py_TYPE(coro)->tp_as_async;
    if (PULSE_LIKELY(methods != NULL && methods->am_send != NULL)) {
        return methods->am_send(coro, value, result);
    }
    return PyIter_Send(coro, value, result);
}

static PySendResult
governed_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    pulse_governed *governed = (pulse_governed *)self;
    pulse_governor *governor = governed->governor;
    if (PULSE_UNLIKELY(governed->flags) || PULSE_UNLIKELY(governor->flags) || PULSE_UNLIKELY(governed->group->tiered)) {
        return send_special(governed, value, result);
    }
    pulse_thread *thread = pulse_governor_thread(governor);
    if (PULSE_UNLIKELY(thread == NULL)) {
        pulse_state_contain_error(governor->state);
        return PyIter_Send(governed->coro, value, result);
    }
    pulse_poll poll;
    pulse_poll_begin(&poll, thread, governed);
    PySendResult outcome;
    if (thread->slices != NULL && PyCoro_CheckExact(governed->coro)) {
        pulse_slice *suspended;
        outcome = pulse_slice_begin(thread->slices, governed, true, governed->coro, value, NULL, result, &suspended);
        if (PULSE_UNLIKELY(pulse_preemption_is_asked())) {
            pulse_preemption_end_step();
        }
        if (PULSE_UNLIKELY(suspended != NULL)) {
            pulse_suspension_keep(governed, suspended);
            return pulse_step_suspended(governed, &poll, result);
        }
    }
    else {
        outcome = send_to(governed->coro, value, result);
    }
    bool bare_yield = outcome == PYGEN_NEXT && Py_IsNone(*result);
    pulse_poll_end(&poll, governed, governor->alarm_ticks[governed->priority], true, true, bare_yield);
    if (PULSE_UNLIKELY(outcome != PYGEN_NEXT) && poll.outer != governed) {
        pulse_last_poll_finish(governed);
    }
    return outcome;
}

// The outcome in the form of a coroutine's `send`: a value, or NULL with StopIteration or another exception.
static PyObject *
outcome_to_object(PySendResult outcome, PyObject *result)
{
    if (outcome != PYGEN_RETURN) {
        return result;
    }
    if (Py_IsNone(result)) {
        Py_DECREF(result);
        PyErr_SetNone(PyExc_StopIteration);
        return NULL;
    }
    // An instance, because a bare tuple or exception would be taken for the arguments of StopIteration.
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyObject *
governed_send(PyObject *self, PyObject *value)
{
    PyObject *result = NULL;
    PySendResult outcome = governed_am_send(self, value, &result);
    return outcome_to_object(outcome, result);
}

static PyObject *
governed_next(PyObject *self)
{
    return governed_send(self, Py_None);
}

static PyObject *
governed_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pulse_governed *governed = (pulse_governed *)self;
    if (count < 1 || count > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", count);
        return NULL;
    }
    PyObject *exception = pulse_throw_exception(args, count), *result = NULL;
    if (exception == NULL) {
        return NULL;
    }
    PySendResult outcome = pulse_step_resume(governed, (pulse_delivery){.exception = exception}, &result);
    return outcome_to_object(outcome, result);
}

static PyObject *
governed_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governed *governed = (pulse_governed *)self;
    pulse_state *state = pulse_state_of_module(governed->module);
    pulse_waiting_forget(governed);
    PyObject *result =
        pulse_suspension_unwind(governed) < 0 ? NULL : PyObject_CallMethodNoArgs(governed->coro, state->str_close);
    pulse_last_poll_finish(governed);
    return result;
}

static PyObject *
governed_await(PyObject *self)
{
    return Py_NewRef(self);
}

static PyObject *
governed_python_await(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pulse_awaiter_new(pulse_state_of_module(((pulse_governed *)self)->module), self);
}

// Attributes that a coroutine has beyond those of this type are read from the wrapped one: the gi_ names of generator-based
// coroutines, and those of other compilers.
static PyObject *
governed_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(((pulse_governed *)self)->coro, name);
    }
    return value;
}

static PyObject *
governed_repr(PyObject *self)
{
    PyObject *name = PyObject_GetAttr(self, pulse_state_of_module(((pulse_governed *)self)->module)->str_qualname);
    if (name == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<governed coroutine object %S at %p>", name, self);
    Py_DECREF(name);
    return text;
}

static PyObject *
wrapped_attribute(PyObject *self, void *name)
{
    return PyObject_GetAttrString(((pulse_governed *)self)->coro, name);
}

// While a coroutine is suspended in the middle of its code, its frame says that it runs, but it does not.
static bool
is_left(PyObject *self)
{
    return pulse_suspension_is_now((pulse_governed *)self);
}

static PyObject *
get_running(PyObject *self, void *name)
{
    return is_left(self) ? Py_NewRef(Py_False) : wrapped_attribute(self, name);
}

static PyObject *
get_suspended(PyObject *self, void *name)
{
    return is_left(self) ? Py_NewRef(Py_True) : wrapped_attribute(self, name);
}

// For a coroutine without any name asyncio shows the type, which must not be ours.
static PyObject *
wrapped_qualname(PyObject *self, void *name)
{
    PyObject *coro = ((pulse_governed *)self)->coro;
    PyObject *value = wrapped_attribute(self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        if (PyObject_HasAttrString(coro, "__name__")) {
            return wrapped_attribute(self, name);
        }
        PyObject *type_name = PyType_GetName(Py_TYPE(coro));
        value = type_name == NULL ? NULL : PyUnicode_FromFormat("<%U without __name__>", type_name);
        Py_XDECREF(type_name);
    }
    return value;
}

static int
set_wrapped_attribute(PyObject *self, PyObject *value, void *name)
{
    return PyObject_SetAttrString(((pulse_governed *)self)->coro, name, value);
}

static PyObject *
object_or_none(PyObject *object)
{
    return Py_NewRef(object != NULL ? object : Py_None);
}

static PyObject *
get_governor(PyObject *self, void *Py_UNUSED(closure))
{
    return object_or_none((PyObject *)((pulse_governed *)self)->governor);
}

static PyObject *
get_group(PyObject *self, void *Py_UNUSED(closure))
{
    return object_or_none((PyObject *)((pulse_governed *)self)->group);
}

static PyObject *
get_options(PyObject *self, void *Py_UNUSED(closure))
{
    return object_or_none(((pulse_governed *)self)->options);
}

static PyObject *
get_task_id(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((pulse_governed *)self)->task_id);
}

static PyObject *
get_priority(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((pulse_governed *)self)->priority);
}

static PyObject *
get_tier(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(pulse_governed_tier((pulse_governed *)self));
}

static PyObject *
get_account(PyObject *self, void *Py_UNUSED(closure))
{
    return object_or_none(((pulse_governed *)self)->account);
}

static PyObject *
get_operations_left(PyObject *self, void *Py_UNUSED(closure))
{
    pulse_governed *governed = (pulse_governed *)self;
    return PyLong_FromUnsignedLong(governed->governor == NULL ? 0 : pulse_governed_operations_left(governed));
}

static PyObject *
get_budget(PyObject *self, void *Py_UNUSED(closure))
{
    pulse_governed *governed = (pulse_governed *)self;
    if (governed->governor == NULL) {
        Py_RETURN_NONE;
    }
    uint64_t cpu_us = (pulse_clock_to_ns(pulse_governed_budget(governed)) + 500) / 1000;
    return Py_BuildValue("(KI)", (unsigned long long)cpu_us, governed->governor->operations[governed->priority]);
}

static PyGetSetDef governed_getset[] = {
    {"__name__", wrapped_attribute, set_wrapped_attribute, "Name of the coroutine.", "__name__"},
    {"__qualname__", wrapped_qualname, set_wrapped_attribute, "Qualified name of the coroutine.", "__qualname__"},
    {"cr_await", wrapped_attribute, NULL, "Object being awaited, or None.", "cr_await"},
    {"cr_code", wrapped_attribute, NULL, "Code object of the coroutine.", "cr_code"},
    {"cr_frame", wrapped_attribute, NULL, "Frame of the coroutine, or None once it ended.", "cr_frame"},
    {"cr_origin", wrapped_attribute, NULL, "Where the coroutine was created, in debug mode.", "cr_origin"},
    {"cr_running", get_running, NULL, "Whether the coroutine is running.", "cr_running"},
    {"cr_suspended", get_suspended, NULL, "Whether the coroutine is suspended.", "cr_suspended"},
    {"governor", get_governor, NULL, "Who governs it, or None before its first poll outside a task.", NULL},
    {"group", get_group, NULL, "Its group, or None before its first poll.", NULL},
    {"options", get_options, NULL, "What was asked for it, or None.", NULL},
    {"task_id", get_task_id, NULL, "Number that names it to hooks.", NULL},
    {"priority", get_priority, NULL, "0 (critical) to 3 (low).", NULL},
    {"tier", get_tier, NULL, "The tier in force: 0 (monitor) to 3 (isolate).", NULL},
    {"account", get_account, NULL, "Its Account, or None.", NULL},
    {"budget", get_budget, NULL, "CPU microseconds and operations of one poll, or None before it is governed.", NULL},
    {"operations_left", get_operations_left, NULL, "Operations left to the running poll.", NULL},
    {NULL},
};

static PyObject *
governed_counters(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governed *governed = (pulse_governed *)self;
    PyObject *dict = PyDict_New();
    if (dict != NULL && (pulse_figures_set_totals(&governed->totals, dict) < 0 ||
                         pulse_figures_set_number(dict, "polls", pulse_counter_read(&governed->polls)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
governed_set_account(PyObject *self, PyObject *account)
{
    pulse_governed *governed = (pulse_governed *)self;
    if (pulse_account_check(pulse_state_of_module(governed->module), account) < 0) {
        return NULL;
    }
    PyObject *earlier = governed->account;
    governed->account = Py_IsNone(account) ? NULL : Py_NewRef(account);
    if (pulse_account_tier(governed->account) > 0) {
        governed->flags |= PULSE_GOVERNED_TIERED;
    }
    else {
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_TIERED;
    }
    Py_XDECREF(earlier);
    Py_RETURN_NONE;
}

static PyMethodDef governed_methods[] = {
    {"send", governed_send, METH_O, "Resume the coroutine with a value; see coroutine.send."},
    {"throw", (PyCFunction)(void (*)(void))governed_throw, METH_FASTCALL,
     "Raise an exception in the coroutine; see coroutine.throw."},
    {"close", governed_close, METH_NOARGS, "Raise GeneratorExit in the coroutine; see coroutine.close."},
    {"__await__", governed_python_await, METH_NOARGS | METH_COEXIST, "An iterator that drives the coroutine."},
    {"update", pulse_first_poll_update, METH_O, "Change options; what the new ones leave out stays."},
    {"set_account", governed_set_account, METH_O, "Put an Account in force, or None for none."},
    {"counters", governed_counters, METH_NOARGS, "Its own counters, times in ns."},
    {NULL},
};

static PyMemberDef governed_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pulse_governed, weak_references), READONLY, NULL},
    {NULL},
};

static PyType_Slot governed_slots[] = {
    {Py_tp_doc, "A coroutine whose every poll is measured."},
    {Py_tp_dealloc, governed_dealloc},
    {Py_tp_finalize, governed_finalize},
    {Py_tp_traverse, governed_traverse},
    {Py_tp_clear, governed_clear},
    {Py_tp_repr, governed_repr},
    {Py_tp_getattro, governed_getattro},
    {Py_tp_iternext, governed_next},
    {Py_am_await, governed_await},
    {Py_am_send, governed_am_send},
    {Py_tp_methods, governed_methods},
    {Py_tp_members, governed_members},
    {Py_tp_getset, governed_getset},
    {0, NULL},
};

PyType_Spec pulse_coroutine_type_spec = {
    .name = "asyncio_pulse._core.GovernedCoroutine",
    .basicsize = sizeof(pulse_governed),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = governed_slots,
};
