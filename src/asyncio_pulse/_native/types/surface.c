// The attributes of a governed coroutine: those of a coroutine, which are the wrapped one's, and its account.
#include "model/group_report.h"
#include "poll/decisions.h"
#include "preempt/segment.h"

static PyObject *
wrapped_attribute(PyObject *self, void *name)
{
    return PyObject_GetAttrString(((pulse_governed *)self)->coro, name);
}

// In the middle of its code: its frame says that it runs, and it does not.
static bool
is_left(PyObject *self)
{
    const pulse_segment *segment = ((pulse_governed *)self)->segment;
    return segment != NULL && segment->preempted;
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

// asyncio tells the type of a coroutine that has no name at all; it must not be ours.
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
    return PyLong_FromUnsignedLong(pulse_tiers_effective((pulse_governed *)self));
}

static PyObject *
get_standing(PyObject *self, void *Py_UNUSED(closure))
{
    return object_or_none(((pulse_governed *)self)->standing);
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

PyGetSetDef pulse_governed_getset[] = {
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
    {"standing", get_standing, NULL, "Its Standing, or None.", NULL},
    {"budget", get_budget, NULL, "CPU microseconds and operations of one poll, or None before it is governed.", NULL},
    {"operations_left", get_operations_left, NULL, "Operations left to the running poll.", NULL},
    {NULL},
};

PyObject *
pulse_governed_account(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governed *governed = (pulse_governed *)self;
    PyObject *dict = PyDict_New();
    if (dict != NULL && (pulse_account_to_dict(&governed->account, dict) < 0 ||
                         pulse_dict_set_number(dict, "polls", pulse_counter_read(&governed->polls)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}
