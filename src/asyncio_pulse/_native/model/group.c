#include "model/group.h"

#include <stdlib.h>

#include "base/clock.h"
#include "bytecode/safe_place.h"
#include "model/options.h"
#include "model/account.h"

static pulse_group *
group_new(pulse_state *state, PyObject *name, bool is_explicit)
{
    pulse_group *group = (pulse_group *)state->group_type->tp_alloc(state->group_type, 0);
    if (group != NULL) {
        group->name = Py_NewRef(name);
        group->key = Py_NewRef(name);
        group->is_explicit = is_explicit;
        group->priority = group->preempt = group->max_tier = PULSE_UNSET;
    }
    return group;
}

static void
group_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((pulse_group *)self)->name);
    Py_XDECREF(((pulse_group *)self)->key);
    Py_XDECREF(((pulse_group *)self)->file);
    Py_XDECREF(((pulse_group *)self)->module);
    Py_XDECREF(((pulse_group *)self)->account);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
get_name(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((pulse_group *)self)->name);
}

static PyObject *
get_explicit(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((pulse_group *)self)->is_explicit);
}

static PyObject *
get_account(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *account = ((pulse_group *)self)->account;
    return Py_NewRef(account != NULL ? account : Py_None);
}

// Set a number from 0 to 3, or PULSE_UNSET for None.
static PyObject *
set_number(PyObject *value, const char *what, int8_t *number)
{
    long given = Py_IsNone(value) ? PULSE_UNSET : PyLong_AsLong(value);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (given < PULSE_UNSET || given > 3) {
        PyErr_Format(PyExc_ValueError, "a %s is 0 to 3, got %ld", what, given);
        return NULL;
    }
    *number = (int8_t)given;
    Py_RETURN_NONE;
}

static PyObject *
group_set_priority(PyObject *self, PyObject *priority)
{
    return set_number(priority, "priority", &((pulse_group *)self)->priority);
}

static PyObject *
group_set_max_tier(PyObject *self, PyObject *tier)
{
    return set_number(tier, "tier", &((pulse_group *)self)->max_tier);
}

static PyObject *
group_set_account(PyObject *self, PyObject *account)
{
    pulse_group *group = (pulse_group *)self;
    if (pulse_account_check(pulse_state_of_type(Py_TYPE(self)), account) < 0) {
        return NULL;
    }
    PyObject *earlier = group->account;
    group->account = Py_IsNone(account) ? NULL : Py_NewRef(account);
    group->tiered = pulse_account_tier(group->account) > 0 || group->preempt != PULSE_UNSET;
    Py_XDECREF(earlier);
    Py_RETURN_NONE;
}

static PyObject *
group_set_preempt(PyObject *self, PyObject *argument)
{
    long mode = Py_IsNone(argument) ? PULSE_UNSET : PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (mode < PULSE_UNSET || mode > PULSE_PREEMPT_ANYWHERE) {
        PyErr_Format(PyExc_ValueError, "a mode of preemption is 0 to 3 or None, got %ld", mode);
        return NULL;
    }
    pulse_group *group = (pulse_group *)self;
    group->preempt = (int8_t)mode;
    const pulse_account *account = (const pulse_account *)group->account;
    group->tiered = mode != PULSE_UNSET || (account != NULL && account->tier > 0);
    Py_RETURN_NONE;
}

static PyMethodDef group_methods[] = {
    {"set_priority", group_set_priority, METH_O,
     "Priority of its tasks that have none of their own, from their first poll."},
    {"set_max_tier", group_set_max_tier, METH_O,
     "The highest tier that its tasks may come to; None where nothing says so."},
    {"set_preempt", group_set_preempt, METH_O,
     "How far its tasks may be preempted, 0 to 3; None for what holds for all."},
    {"set_account", group_set_account, METH_O, "Put an Account in force, or None for none."},
    {NULL},
};

static PyGetSetDef group_getset[] = {
    {"name", get_name, NULL, "The name that its tasks share.", NULL},
    {"explicit", get_explicit, NULL, "Whether somebody chose the name, rather than the coroutine's own.", NULL},
    {"account", get_account, NULL, "Its Account, or None.", NULL},
    {NULL},
};

static PyType_Slot group_slots[] = {
    {Py_tp_doc, "Counters of one group of one governor."},
    {Py_tp_dealloc, group_dealloc},
    {Py_tp_methods, group_methods},
    {Py_tp_getset, group_getset},
    {0, NULL},
};

PyType_Spec pulse_group_spec = {
    .name = "asyncio_pulse._core.Group",
    .basicsize = sizeof(pulse_group),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = group_slots,
};

int
pulse_groups_init(pulse_group_table *table, pulse_state *state)
{
    table->max_groups = INT32_MAX;
    table->named_explicit = PyDict_New();
    table->named_implicit = PyDict_New();
    PyObject *name = PyUnicode_FromString("(other)");
    table->other = name == NULL ? NULL : group_new(state, name, false);
    Py_XDECREF(name);
    return table->named_explicit != NULL && table->named_implicit != NULL && table->other != NULL ? 0 : -1;
}

void
pulse_groups_clear(pulse_group_table *table)
{
    Py_CLEAR(table->named_explicit);
    Py_CLEAR(table->named_implicit);
    Py_CLEAR(table->other);
}

Py_ssize_t
pulse_groups_count(const pulse_group_table *table)
{
    return PyDict_GET_SIZE(table->named_explicit) + PyDict_GET_SIZE(table->named_implicit);
}

static void
start_anew(pulse_group *group)
{
    group->totals = (pulse_totals){0};
    pulse_counter_set(&group->max_ticks, 0);
    pulse_counter_set(&group->tasks, 0);
    group->releases = group->late_releases = group->longest_wait_ticks = 0;
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        pulse_counter_set(&group->histogram.counts[i], 0);
    }
}

void
pulse_groups_start_anew(pulse_group_table *table)
{
    PyObject *tables[] = {table->named_explicit, table->named_implicit};
    for (int i = 0; i < 2; i++) {
        Py_ssize_t position = 0;
        PyObject *value;
        while (PyDict_Next(tables[i], &position, NULL, &value)) {
            start_anew((pulse_group *)value);
        }
    }
    start_anew(table->other);
}

void
pulse_group_fold(pulse_group *into, const pulse_group *from)
{
    pulse_counter_add(&into->totals.wall_ticks, pulse_counter_read(&from->totals.wall_ticks));
    pulse_counter_add(&into->totals.off_cpu_ticks, pulse_counter_read(&from->totals.off_cpu_ticks));
    pulse_counter_add(&into->totals.gc_ticks, pulse_counter_read(&from->totals.gc_ticks));
    pulse_counter_add(&into->totals.violations, pulse_counter_read(&from->totals.violations));
    pulse_counter_add(&into->totals.slow_polls, pulse_counter_read(&from->totals.slow_polls));
    pulse_counter_add(&into->totals.forced_yields, pulse_counter_read(&from->totals.forced_yields));
    pulse_counter_add(&into->tasks, pulse_counter_read(&from->tasks));
    if (pulse_counter_read(&from->max_ticks) > pulse_counter_read(&into->max_ticks)) {
        pulse_counter_set(&into->max_ticks, pulse_counter_read(&from->max_ticks));
    }
    for (unsigned i = 0; i < PULSE_HISTOGRAM_BUCKETS; i++) {
        uint64_t count = pulse_counter_read(&from->histogram.counts[i]);
        if (count != 0) {
            pulse_counter_add(&into->histogram.counts[i], count);
        }
    }
}

static int
by_last_use(const void *left, const void *right)
{
    uint64_t a = (*(pulse_group *const *)left)->last_used, b = (*(pulse_group *const *)right)->last_used;
    return (a > b) - (a < b);
}

static Py_ssize_t
collect_idle(PyObject *named, pulse_group **idle)
{
    Py_ssize_t position = 0, found = 0;
    PyObject *value;
    while (PyDict_Next(named, &position, NULL, &value)) {
        if (pulse_counter_read(&((pulse_group *)value)->alive) == 0) {
            idle[found++] = (pulse_group *)Py_NewRef(value);
        }
    }
    return found;
}

// Fold an eighth of the table at once, so that a stream of new names costs a scan only now and then.
static int
make_room(pulse_group_table *table)
{
    if (table->looks_to_skip > 0) {
        table->looks_to_skip--;
        return 0;
    }
    pulse_group **idle = PyMem_Calloc((size_t)pulse_groups_count(table), sizeof *idle);
    if (idle == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t found = collect_idle(table->named_explicit, idle);
    found += collect_idle(table->named_implicit, idle + found);
    qsort(idle, (size_t)found, sizeof *idle, by_last_use);
    Py_ssize_t wanted = pulse_groups_count(table) - table->max_groups + table->max_groups / 8 + 1;
    table->looks_to_skip = found == 0 ? table->max_groups / 8 : 0;
    int result = 0;
    for (Py_ssize_t i = 0; i < found && i < wanted && result == 0; i++) {
        pulse_group_fold(table->other, idle[i]);
        result = PyDict_DelItem(idle[i]->is_explicit ? table->named_explicit : table->named_implicit, idle[i]->key);
    }
    for (Py_ssize_t i = 0; i < found; i++) {
        Py_DECREF((PyObject *)idle[i]);
    }
    PyMem_Free(idle);
    return result;
}

pulse_group *
pulse_groups_find(pulse_group_table *table, pulse_state *state, PyObject *name, bool is_explicit)
{
    PyObject *named = is_explicit ? table->named_explicit : table->named_implicit;
    pulse_group *group = (pulse_group *)PyDict_GetItemWithError(named, name);
    if (group != NULL) {
        group->last_used = pulse_clock_ticks();
        return (pulse_group *)Py_NewRef(group);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (pulse_groups_count(table) >= table->max_groups) {
        if (make_room(table) < 0) {
            return NULL;
        }
        if (pulse_groups_count(table) >= table->max_groups) {
            return (pulse_group *)Py_NewRef(table->other);
        }
    }
    group = group_new(state, name, is_explicit);
    if (group == NULL) {
        return NULL;
    }
    group->last_used = pulse_clock_ticks();
    // Making room and allocating may run Python code, which may have made a group of this name meanwhile. Borrowed.
    PyObject *first = PyDict_SetDefault(named, name, (PyObject *)group);
    Py_XINCREF(first);
    Py_DECREF((PyObject *)group);
    return (pulse_group *)first;
}

Py_ssize_t
pulse_groups_active(const pulse_group_table *table, uint64_t within_ticks)
{
    Py_ssize_t position = 0, active = 0;
    uint64_t now = pulse_clock_ticks();
    PyObject *value;
    while (PyDict_Next(table->named_explicit, &position, NULL, &value)) {
        const pulse_group *group = (const pulse_group *)value;
        active += pulse_counter_read(&group->alive) > 0 || now - group->last_used < within_ticks;
    }
    return active;
}
