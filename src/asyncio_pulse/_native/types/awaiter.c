#include "types/awaiter.h"

typedef struct {
    PyObject_HEAD
    PyObject *target;
} pulse_awaiter;

PyObject *
pulse_awaiter_new(pulse_state *state, PyObject *target)
{
    pulse_awaiter *awaiter = (pulse_awaiter *)state->awaiter_type->tp_alloc(state->awaiter_type, 0);
    if (awaiter != NULL) {
        awaiter->target = Py_NewRef(target);
    }
    return (PyObject *)awaiter;
}

static int
awaiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((pulse_awaiter *)self)->target);
    return 0;
}

static void
awaiter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(((pulse_awaiter *)self)->target);
    type->tp_free(self);
    Py_DECREF(type);
}

static PySendResult
awaiter_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    return PyIter_Send(((pulse_awaiter *)self)->target, value, result);
}

static PyObject *
awaiter_next(PyObject *self)
{
    PyObject *target = ((pulse_awaiter *)self)->target;
    return Py_TYPE(target)->tp_iternext(target);
}

// send, throw, close and all further attributes are the target's.
static PyObject *
awaiter_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(((pulse_awaiter *)self)->target, name);
    }
    return value;
}

static PyType_Slot awaiter_slots[] = {
    {Py_tp_doc, "An iterator that drives a governed coroutine."},
    {Py_tp_dealloc, awaiter_dealloc},
    {Py_tp_traverse, awaiter_traverse},
    {Py_tp_getattro, awaiter_getattro},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaiter_next},
    {Py_am_send, awaiter_am_send},
    {0, NULL},
};

PyType_Spec pulse_awaiter_spec = {
    .name = "asyncio_pulse._core.Awaiter",
    .basicsize = sizeof(pulse_awaiter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaiter_slots,
};
