#include "model/group_report.h"

#include <stdlib.h>

#include "model/figures.h"
#include "model/governor.h"
#include "model/account.h"

// `numbers` has room for ten, and for two per bucket. Returns how many were written.
static size_t
write_numbers(const pulse_group *group, uint64_t *numbers)
{
    uint64_t *next = numbers + 10, polls = 0;
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        uint64_t count = pulse_counter_read(&group->histogram.counts[i]);
        if (count != 0) {
            polls += count;
            *next++ = pulse_figures_bound_ns(i);
            *next++ = count;
        }
    }
    uint64_t wall = pulse_counter_read(&group->totals.wall_ticks);
    uint64_t off_cpu = pulse_counter_read(&group->totals.off_cpu_ticks);
    numbers[0] = polls;
    numbers[1] = pulse_clock_to_ns(wall);
    // The writer is not stopped, so the second counter may be ahead of the first.
    numbers[2] = pulse_clock_to_ns(wall > off_cpu ? wall - off_cpu : 0);
    numbers[3] = pulse_clock_to_ns(pulse_counter_read(&group->totals.gc_ticks));
    numbers[4] = pulse_counter_read(&group->totals.violations);
    numbers[5] = pulse_counter_read(&group->totals.slow_polls);
    numbers[6] = pulse_counter_read(&group->totals.forced_yields);
    numbers[7] = pulse_clock_to_ns(pulse_counter_read(&group->max_ticks));
    numbers[8] = pulse_counter_read(&group->tasks);
    numbers[9] = pulse_counter_read(&group->alive);
    return (size_t)(next - numbers);
}

static PyObject *
record_of(PyObject *group)
{
    uint64_t numbers[10 + 2 * PULSE_HISTOGRAM_BUCKETS];
    size_t count = write_numbers((const pulse_group *)group, numbers);
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)numbers, (Py_ssize_t)(count * sizeof *numbers));
    PyObject *account = ((const pulse_group *)group)->account;
    PyObject *record = bytes == NULL ? NULL : PyTuple_Pack(3, group, account != NULL ? account : Py_None, bytes);
    Py_XDECREF(bytes);
    return record;
}

static int
by_wall_time(const void *left, const void *right)
{
    const pulse_group *a = *(pulse_group *const *)left, *b = *(pulse_group *const *)right;
    uint64_t first = pulse_counter_read(&a->totals.wall_ticks), second = pulse_counter_read(&b->totals.wall_ticks);
    return first != second ? (first < second) - (first > second) : PyUnicode_Compare(a->name, b->name);
}

// A new list of all groups, with `(other)` if it had any task.
static PyObject *
all_groups(pulse_group_table *table)
{
    PyObject *groups = PyDict_Values(table->named_explicit), *implicit = PyDict_Values(table->named_implicit);
    bool has_other = pulse_counter_read(&table->other->tasks) != 0;
    if (groups == NULL || implicit == NULL || PyList_SetSlice(groups, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, implicit) < 0 ||
        (has_other && PyList_Append(groups, (PyObject *)table->other) < 0)) {
        Py_CLEAR(groups);
    }
    Py_XDECREF(implicit);
    return groups;
}

PyObject *
pulse_group_report_of(pulse_group_table *table)
{
    PyObject *groups = all_groups(table);
    if (groups == NULL) {
        return NULL;
    }
    // No other code has this list, and comparing runs no Python code. An empty list has no items to point at.
    if (PyList_GET_SIZE(groups) > 0) {
        qsort(PySequence_Fast_ITEMS(groups), (size_t)PyList_GET_SIZE(groups), sizeof(PyObject *), by_wall_time);
    }
    PyObject *records = PyList_New(PyList_GET_SIZE(groups));
    for (Py_ssize_t i = 0; records != NULL && i < PyList_GET_SIZE(groups); i++) {
        PyObject *record = record_of(PyList_GET_ITEM(groups, i));
        if (record == NULL) {
            Py_CLEAR(records);
        }
        else {
            PyList_SET_ITEM(records, i, record);
        }
    }
    Py_DECREF(groups);
    return records;
}

typedef struct {
    PyObject_HEAD
    pulse_group_table table;
} pulse_group_totals;

static PyObject *
totals_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"max_groups", NULL};
    Py_ssize_t max_groups;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n:GroupTotals", names, &max_groups)) {
        return NULL;
    }
    if (max_groups < 1) {
        PyErr_Format(PyExc_ValueError, "max_groups must be at least 1, got %zd", max_groups);
        return NULL;
    }
    pulse_group_totals *totals = (pulse_group_totals *)type->tp_alloc(type, 0);
    if (totals != NULL && pulse_groups_init(&totals->table, pulse_state_of_type(type)) < 0) {
        Py_CLEAR(totals);
    }
    if (totals != NULL) {
        totals->table.max_groups = max_groups;
    }
    return (PyObject *)totals;
}

static void
totals_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    pulse_groups_clear(&((pulse_group_totals *)self)->table);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
add_group(pulse_group_table *into, pulse_state *state, pulse_group *group, bool with_alive)
{
    pulse_group *total = pulse_groups_find(into, state, group->name, group->is_explicit);
    if (total == NULL) {
        return -1;
    }
    pulse_group_fold(total, group);
    if (with_alive) {
        pulse_counter_add(&total->alive, pulse_counter_read(&group->alive));
    }
    // The highest tier among the groups added up stands for all of them.
    const pulse_account *known = (const pulse_account *)total->account;
    const pulse_account *other = (const pulse_account *)group->account;
    if (total != into->other && other != NULL && (known == NULL || other->tier > known->tier)) {
        Py_XSETREF(total->account, Py_NewRef(group->account));
    }
    Py_DECREF((PyObject *)total);
    return 0;
}

static int
add_table(pulse_group_table *into, pulse_state *state, pulse_group_table *table, bool with_alive)
{
    PyObject *groups = all_groups(table);
    int result = groups == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(groups); i++) {
        pulse_group *group = (pulse_group *)PyList_GET_ITEM(groups, i);
        if (group == table->other) {
            pulse_group_fold(into->other, group);
            if (with_alive) {
                pulse_counter_add(&into->other->alive, pulse_counter_read(&group->alive));
            }
        }
        else {
            result = add_group(into, state, group, with_alive);
        }
    }
    Py_XDECREF(groups);
    return result;
}

static PyObject *
totals_add(PyObject *self, PyObject *args)
{
    pulse_group_table *table = &((pulse_group_totals *)self)->table;
    pulse_state *state = pulse_state_of_type(Py_TYPE(self));
    PyObject *other;
    int with_alive;
    if (!PyArg_ParseTuple(args, "Op:add", &other, &with_alive)) {
        return NULL;
    }
    pulse_group_table *added;
    if (Py_IS_TYPE(other, Py_TYPE(self))) {
        added = &((pulse_group_totals *)other)->table;
    }
    else if (Py_IS_TYPE(other, state->governor_type)) {
        added = &((pulse_governor *)other)->groups;
    }
    else {
        PyErr_Format(PyExc_TypeError, "a Governor or GroupTotals was expected, got %R", other);
        return NULL;
    }
    if (add_table(table, state, added, with_alive) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
totals_groups(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pulse_group_report_of(&((pulse_group_totals *)self)->table);
}

static PyMethodDef totals_methods[] = {
    {"add", totals_add, METH_VARARGS,
     "Add the groups of a Governor or of other totals: add(those, with the tasks that are alive)."},
    {"groups", totals_groups, METH_NOARGS, "As those of a Governor."},
    {NULL},
};

static PyType_Slot totals_slots[] = {
    {Py_tp_doc, "The groups of several governors, added up by name. Bounded as those of one are."},
    {Py_tp_new, totals_new},
    {Py_tp_dealloc, totals_dealloc},
    {Py_tp_methods, totals_methods},
    {0, NULL},
};

PyType_Spec pulse_group_report_totals_spec = {
    .name = "asyncio_pulse._core.GroupTotals",
    .basicsize = sizeof(pulse_group_totals),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = totals_slots,
};
