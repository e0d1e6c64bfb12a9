#include "model/options.h"

#include <stddef.h>

static int
optional_number(PyObject *value, const char *name, long long highest, long long *out)
{
    *out = PULSE_UNSET;
    if (Py_IsNone(value)) {
        return 0;
    }
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (number < 0 || number > highest) {
        PyErr_Format(PyExc_ValueError, "%s must be 0 to %lld or None, got %lld", name, highest, number);
        return -1;
    }
    *out = number;
    return 0;
}

static pulse_options *
options_new_empty(PyTypeObject *type)
{
    pulse_options *options = (pulse_options *)type->tp_alloc(type, 0);
    if (options != NULL) {
        options->budget_us = options->priority = options->max_tier = options->preemptible = PULSE_UNSET;
    }
    return options;
}

static PyObject *
options_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"priority", "group", "budget_us", "preemptible", "max_tier", "code", NULL};
    PyObject *priority = Py_None, *group = Py_None, *budget_us = Py_None;
    PyObject *preemptible = Py_None, *max_tier = Py_None, *code = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOOOO:Options", names, &priority, &group, &budget_us,
                                     &preemptible, &max_tier, &code)) {
        return NULL;
    }
    if (!Py_IsNone(group) && !PyUnicode_CheckExact(group)) {
        PyErr_Format(PyExc_TypeError, "group must be a str or None, got %R", group);
        return NULL;
    }
    if (!Py_IsNone(code) && !PyCode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "code must be a code object or None, got %R", code);
        return NULL;
    }
    long long priority_number, budget_number, tier_number;
    if (optional_number(priority, "priority", PULSE_PRIORITIES - 1, &priority_number) < 0 ||
        optional_number(budget_us, "budget_us", INT64_MAX / 1000, &budget_number) < 0 ||
        optional_number(max_tier, "max_tier", 3, &tier_number) < 0) {
        return NULL;
    }
    int truth = Py_IsNone(preemptible) ? PULSE_UNSET : PyObject_IsTrue(preemptible);
    if (truth < 0 && !Py_IsNone(preemptible)) {
        return NULL;
    }
    pulse_options *options = options_new_empty(type);
    if (options == NULL) {
        return NULL;
    }
    options->priority = (int8_t)priority_number;
    options->budget_us = budget_number;
    options->max_tier = (int8_t)tier_number;
    options->preemptible = (int8_t)truth;
    options->group = Py_IsNone(group) ? NULL : Py_NewRef(group);
    options->code = Py_IsNone(code) ? NULL : Py_NewRef(code);
    return (PyObject *)options;
}

PyObject *
pulse_options_merge(pulse_state *state, PyObject *upper_object, PyObject *lower_object)
{
    if (upper_object == NULL || lower_object == NULL) {
        PyObject *only = upper_object != NULL ? upper_object : lower_object;
        return Py_XNewRef(only);
    }
    pulse_options *upper = (pulse_options *)upper_object, *lower = (pulse_options *)lower_object;
    pulse_options *merged = options_new_empty(state->options_type);
    if (merged == NULL) {
        return NULL;
    }
    merged->priority = upper->priority != PULSE_UNSET ? upper->priority : lower->priority;
    merged->budget_us = upper->budget_us != PULSE_UNSET ? upper->budget_us : lower->budget_us;
    merged->max_tier = upper->max_tier != PULSE_UNSET ? upper->max_tier : lower->max_tier;
    merged->preemptible = upper->preemptible != PULSE_UNSET ? upper->preemptible : lower->preemptible;
    merged->group = Py_XNewRef(upper->group != NULL ? upper->group : lower->group);
    merged->code = Py_XNewRef(upper->code != NULL ? upper->code : lower->code);
    return (PyObject *)merged;
}

static void
options_dealloc(PyObject *self)
{
    pulse_options *options = (pulse_options *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(options->group);
    Py_XDECREF(options->code);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
number_or_none(int64_t number)
{
    return number == PULSE_UNSET ? Py_NewRef(Py_None) : PyLong_FromLongLong(number);
}

static PyObject *
get_priority(PyObject *self, void *Py_UNUSED(closure))
{
    return number_or_none(((pulse_options *)self)->priority);
}

static PyObject *
get_group(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *group = ((pulse_options *)self)->group;
    return Py_NewRef(group != NULL ? group : Py_None);
}

static PyObject *
get_budget_us(PyObject *self, void *Py_UNUSED(closure))
{
    return number_or_none(((pulse_options *)self)->budget_us);
}

static PyObject *
get_preemptible(PyObject *self, void *Py_UNUSED(closure))
{
    int8_t preemptible = ((pulse_options *)self)->preemptible;
    return preemptible == PULSE_UNSET ? Py_NewRef(Py_None) : PyBool_FromLong(preemptible);
}

static PyObject *
get_max_tier(PyObject *self, void *Py_UNUSED(closure))
{
    return number_or_none(((pulse_options *)self)->max_tier);
}

static PyGetSetDef options_getset[] = {
    {"priority", get_priority, NULL, "0 (critical) to 3 (low), or None.", NULL},
    {"group", get_group, NULL, "Name of the explicit group, or None.", NULL},
    {"budget_us", get_budget_us, NULL, "CPU microseconds a poll, or None.", NULL},
    {"preemptible", get_preemptible, NULL, "Whether the code may be suspended anywhere, or None.", NULL},
    {"max_tier", get_max_tier, NULL, "Highest tier, 0 to 3, or None.", NULL},
    {NULL},
};

static PyType_Slot options_slots[] = {
    {Py_tp_doc, "What a caller asked for one task or call; immutable."},
    {Py_tp_new, options_new},
    {Py_tp_dealloc, options_dealloc},
    {Py_tp_getset, options_getset},
    {0, NULL},
};

// Not tracked by the collector: it holds a name and a code object, which cannot lead back to it.
PyType_Spec pulse_options_spec = {
    .name = "asyncio_pulse._core.Options",
    .basicsize = sizeof(pulse_options),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = options_slots,
};
