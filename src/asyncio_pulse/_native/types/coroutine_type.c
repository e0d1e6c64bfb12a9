#include "model/governed.h"

#include <stddef.h>
#include <structmember.h>

#include "bytecode/thrown.h"
#include "model/due.h"
#include "park/park.h"
#include "park/turn_budget.h"
#include "poll/decisions.h"
#include "poll/poll.h"
#include "preempt/preemption.h"
#include "preempt/segment.h"
#include "types/awaiter.h"
#include "watch/watchdog.h"

uint64_t
pulse_governed_budget(const pulse_governed *governed)
{
    if (governed->flags & PULSE_GOVERNED_BUDGET) {
        return pulse_clock_from_ns((uint64_t)((pulse_options *)governed->options)->budget_us * 1000);
    }
    return governed->governor->budget_ticks[governed->priority];
}

static void
refill(pulse_governed *governed)
{
    // Once a poll, on the first use: polls that spend nothing pay nothing.
    uint32_t poll = (uint32_t)pulse_counter_read(&governed->polls);
    if (governed->operations_poll != poll) {
        governed->operations_poll = poll;
        governed->operations_left = governed->governor->operations[governed->priority];
    }
}

uint32_t
pulse_governed_operations_left(pulse_governed *governed)
{
    refill(governed);
    return governed->operations_left;
}

bool
pulse_governed_spend(pulse_governed *governed, pulse_thread *thread, uint64_t cost)
{
    refill(governed);
    if (governed->operations_left <= cost) {
        governed->operations_left = 0;
        return true;
    }
    governed->operations_left -= (uint32_t)cost;
    uint64_t elapsed = pulse_clock_ticks() - atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    return elapsed > pulse_governed_budget(governed);
}

static pulse_governed *
governed_alloc(PyTypeObject *type, PyObject *coro)
{
    pulse_governed *governed = (pulse_governed *)type->tp_alloc(type, 0);
    if (governed != NULL) {
        governed->coro = Py_NewRef(coro);
        governed->priority = PULSE_PRIORITY_NORMAL;
        governed->operations_poll = UINT32_MAX;
        governed->flags = PULSE_GOVERNED_NEW;
        governed->module = Py_NewRef(PyType_GetModule(type));
        governed->task_id = ++pulse_state_of_module(governed->module)->last_task_id;
    }
    return governed;
}

void
pulse_governed_become_task(pulse_governed *governed, pulse_governor *governor)
{
    governed->governor = (pulse_governor *)Py_NewRef(governor);
    governed->flags = PULSE_GOVERNED_NEW;
    governed->counted_alive = true;
    pulse_counter_add(&governor->tasks, 1);
    pulse_counter_add(&governor->alive, 1);
}

PyObject *
pulse_governed_new_task(pulse_governor *governor, PyObject *coro)
{
    pulse_governed *governed = governed_alloc(governor->state->governed_type, coro);
    if (governed != NULL) {
        pulse_governed_become_task(governed, governor);
    }
    return (PyObject *)governed;
}

static PyObject *
governed_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"coro", "options", NULL};
    PyObject *coro, *options = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:GovernedCoroutine", names, &coro, &options)) {
        return NULL;
    }
    pulse_state *state = pulse_state_of_type(type);
    if (!Py_IsNone(options) && !Py_IS_TYPE(options, state->options_type)) {
        PyErr_Format(PyExc_TypeError, "options must be Options or None, got %R", options);
        return NULL;
    }
    if (!PyCoro_CheckExact(coro)) {
        PyObject *verdict = PyObject_CallOneArg(state->is_coroutine, coro);
        int truth = verdict == NULL ? -1 : PyObject_IsTrue(verdict);
        Py_XDECREF(verdict);
        if (truth == 0) {
            PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R", coro);
        }
        if (truth <= 0) {
            return NULL;
        }
    }
    pulse_governed *governed = governed_alloc(type, coro);
    if (governed != NULL) {
        governed->options = Py_IsNone(options) ? NULL : Py_NewRef(options);
        governed->flags |= PULSE_GOVERNED_CALL;
    }
    return (PyObject *)governed;
}

// The coroutine ended, or was dropped: whoever counts the living counts one less. Twice does no harm.
static void
no_longer_alive(pulse_governed *governed)
{
    if (governed->counted_alive) {
        governed->counted_alive = false;
        if (!(governed->flags & PULSE_GOVERNED_CALL)) {
            atomic_fetch_sub_explicit(&governed->governor->alive, 1, memory_order_relaxed);
        }
        if (governed->group != NULL) {
            atomic_fetch_sub_explicit(&governed->group->alive, 1, memory_order_relaxed);
        }
        pulse_turn_count_urgent(governed);
    }
}

static int
governed_traverse(PyObject *self, visitproc visit, void *arg)
{
    pulse_governed *governed = (pulse_governed *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(governed->module);
    Py_VISIT(governed->coro);
    Py_VISIT(governed->group_token);
    Py_VISIT(governed->standing);
    return pulse_park_traverse(governed, visit, arg);
}

static int
governed_clear(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    no_longer_alive(governed);
    pulse_park_forget(governed);
    // Whoever still holds this object finds a coroutine that does nothing, never a NULL.
    PyObject *coro = governed->coro;
    governed->coro = Py_NewRef(Py_None);
    governed->flags |= PULSE_GOVERNED_TRANSPARENT;
    Py_XDECREF(coro);
    Py_CLEAR(governed->group_token);
    governed->flags &= ~(uint32_t)PULSE_GOVERNED_TIERED;
    Py_CLEAR(governed->standing);
    return 0;
}

// Dropped in the middle of its code: as one that is closed.
static void
governed_finalize(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    if (governed->segment != NULL) {
        pulse_exception raised = pulse_exception_take();
        if (pulse_segment_unwind(governed) < 0) {
            PyErr_WriteUnraisable(governed->coro);
        }
        pulse_exception_put_back(raised);
    }
}

static void
governed_dealloc(PyObject *self)
{
    pulse_governed *governed = (pulse_governed *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (governed->segment != NULL && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    // Before anything that may run code of the program: whoever tells what is due holds it.
    if (governed->flags & PULSE_GOVERNED_DUE) {
        pulse_due_forget(governed);
    }
    pulse_segment_drop(governed);
    if (governed->weak_references != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    no_longer_alive(governed);
    pulse_park_free(governed);
    Py_CLEAR(governed->coro);
    Py_CLEAR(governed->group_token);
    Py_CLEAR(governed->governor);
    Py_CLEAR(governed->group);
    Py_CLEAR(governed->options);
    Py_CLEAR(governed->standing);
    PyObject *module = governed->module;
    type->tp_free(self);
    Py_DECREF(module);
    Py_DECREF(type);
}

// End of the group that was set in the context. A token cannot be used in another context than its own; a coroutine that
// was driven in several of them has none of its own to restore.
static void
restore_group(pulse_governed *governed)
{
    if (governed->group_token != NULL) {
        pulse_exception raised = pulse_exception_take();
        if (PyContextVar_Reset(governed->governor->state->group_variable, governed->group_token) < 0) {
            PyErr_Clear();
        }
        pulse_exception_put_back(raised);
        Py_CLEAR(governed->group_token);
    }
}

void
pulse_governed_finish(pulse_governed *governed)
{
    no_longer_alive(governed);
    restore_group(governed);
    if (governed->flags & PULSE_GOVERNED_DUE) {
        pulse_due_keep(governed);
    }
}

static PULSE_NOINLINE PySendResult
send_special(pulse_governed *governed, PyObject *value, PyObject **result)
{
    return pulse_governed_resume(governed, (pulse_delivery){.value = Py_NewRef(value)}, result);
}

// PyIter_Send without the call: nearly everything that is governed has am_send.
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
    PySendResult outcome = send_to(governed->coro, value, result);
    bool bare_yield = outcome == PYGEN_NEXT && Py_IsNone(*result);
    pulse_poll_end(&poll, governed, governor->alarm_ticks[governed->priority], true, true, bare_yield);
    if (PULSE_UNLIKELY(outcome != PYGEN_NEXT) && poll.outer != governed) {
        pulse_governed_finish(governed);
    }
    return outcome;
}

// As the `send` of a coroutine tells it: a value, or NULL with StopIteration or another exception.
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
    // An instance, because a bare tuple or exception as value would be taken for the arguments of StopIteration.
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
    PyObject *exception = pulse_thrown_exception(args, count), *result = NULL;
    if (exception == NULL) {
        return NULL;
    }
    PySendResult outcome = pulse_governed_resume(governed, (pulse_delivery){.exception = exception}, &result);
    return outcome_to_object(outcome, result);
}

static PyObject *
governed_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governed *governed = (pulse_governed *)self;
    pulse_state *state = pulse_state_of_module(governed->module);
    pulse_park_forget(governed);
    PyObject *result =
        pulse_segment_unwind(governed) < 0 ? NULL : PyObject_CallMethodNoArgs(governed->coro, state->str_close);
    pulse_governed_finish(governed);
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

// What a coroutine has beyond this type (the gi_ names of generator-based ones, those of other compilers) is the wrapped
// one's own.
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

static PyMethodDef governed_methods[] = {
    {"send", governed_send, METH_O, "Resume the coroutine with a value; see coroutine.send."},
    {"throw", (PyCFunction)(void (*)(void))governed_throw, METH_FASTCALL,
     "Raise an exception in the coroutine; see coroutine.throw."},
    {"close", governed_close, METH_NOARGS, "Raise GeneratorExit in the coroutine; see coroutine.close."},
    {"__await__", governed_python_await, METH_NOARGS | METH_COEXIST, "An iterator that drives the coroutine."},
    {"update", pulse_governed_update, METH_O, "Change options; what the new ones leave out stays."},
    {"stand", pulse_governed_stand, METH_O, "Put a Standing in force, or None for none."},
    {"account_snapshot", pulse_governed_account, METH_NOARGS, "Its own counters, times in ns."},
    {NULL},
};

static PyMemberDef governed_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(pulse_governed, weak_references), READONLY, NULL},
    {NULL},
};

static PyType_Slot governed_slots[] = {
    {Py_tp_doc, "A coroutine whose every poll is measured."},
    {Py_tp_new, governed_new},
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
    {Py_tp_getset, pulse_governed_getset},
    {0, NULL},
};

PyType_Spec pulse_governed_spec = {
    .name = "asyncio_pulse._core.GovernedCoroutine",
    .basicsize = sizeof(pulse_governed),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = governed_slots,
};
