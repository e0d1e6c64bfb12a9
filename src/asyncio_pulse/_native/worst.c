#include "worst.h"

#include "clock.h"
#include "group.h"

// Name of the task whose step is running; a new reference, "" when there is none.
static PyObject *
task_name(pulse_state *state)
{
    PyObject *task = pulse_current_task(state->current_task);
    PyObject *name = NULL;
    if (task != NULL && !Py_IsNone(task)) {
        name = PyObject_CallMethod(task, "get_name", NULL);
    }
    Py_XDECREF(task);
    if (name == NULL || !PyUnicode_Check(name)) {
        // A task of somebody else's making may have no name: that is no fault of ours.
        PyErr_Clear();
        Py_XDECREF(name);
        name = PyUnicode_FromString("");
    }
    return name;
}

static void
entry_clear(pulse_worst_entry *entry)
{
    Py_CLEAR(entry->group);
    Py_CLEAR(entry->task);
    Py_CLEAR(entry->function);
    Py_CLEAR(entry->filename);
    Py_CLEAR(entry->stack);
    *entry = (pulse_worst_entry){0};
}

// Fill in function, filename and line from a coroutine that nobody saw running.
static int
place_of_coroutine(pulse_worst_entry *entry, pulse_state *state, PyObject *coroutine)
{
    PyObject *name = PyObject_GetAttr(coroutine, state->str_qualname);
    if (name == NULL || !PyUnicode_Check(name)) {
        PyErr_Clear();
        Py_XSETREF(name, PyUnicode_FromString(Py_TYPE(coroutine)->tp_name));
    }
    entry->function = name;
    PyObject *code = PyObject_GetAttr(coroutine, state->str_cr_code);
    if (code != NULL && PyCode_Check(code)) {
        entry->filename = Py_NewRef(((PyCodeObject *)code)->co_filename);
        entry->line = ((PyCodeObject *)code)->co_firstlineno;
    }
    else {
        PyErr_Clear();
        entry->filename = PyUnicode_FromString("");
    }
    Py_XDECREF(code);
    return entry->function != NULL && entry->filename != NULL ? 0 : -1;
}

static int
place_of_stack(pulse_worst_entry *entry, PyObject *stack)
{
    PyObject *innermost = PyTuple_GET_ITEM(stack, 0);
    entry->function = Py_NewRef(PyTuple_GET_ITEM(innermost, 0));
    entry->filename = Py_NewRef(PyTuple_GET_ITEM(innermost, 1));
    entry->line = (int)PyLong_AsLong(PyTuple_GET_ITEM(innermost, 2));
    entry->stack = Py_NewRef(stack);
    return 0;
}

static bool
same_text(PyObject *left, PyObject *right)
{
    return left == right || PyUnicode_Compare(left, right) == 0;
}

static bool
same_place(const pulse_worst_entry *left, const pulse_worst_entry *right)
{
    return (left->stack == NULL) == (right->stack == NULL) && same_text(left->function, right->function) &&
           same_text(left->filename, right->filename) && same_text(left->group, right->group);
}

static pulse_worst_entry *
find(pulse_worst *worst, const pulse_worst_entry *wanted)
{
    for (int i = 0; i < worst->used; i++) {
        if (same_place(&worst->entries[i], wanted)) {
            return &worst->entries[i];
        }
    }
    return NULL;
}

// Where a new place goes: a free entry, or that of the mildest place if the new one is worse, or NULL.
static pulse_worst_entry *
choose_slot(pulse_worst *worst, uint64_t wall_ticks)
{
    if (worst->used < PULSE_WORST_PLACES) {
        return &worst->entries[worst->used++];
    }
    pulse_worst_entry *mildest = &worst->entries[0];
    for (int i = 1; i < worst->used; i++) {
        if (worst->entries[i].wall_ticks < mildest->wall_ticks) {
            mildest = &worst->entries[i];
        }
    }
    return wall_ticks > mildest->wall_ticks ? mildest : NULL;
}

int
pulse_worst_record(pulse_worst *worst, pulse_state *state, PyObject *group, PyObject *coroutine, PyObject *stack,
                   const pulse_verdict *verdict, uint64_t gc_ticks)
{
    pulse_worst_entry fresh = {
        .group = Py_NewRef(group),
        .wall_ticks = verdict->own_wall,
        .off_cpu_ticks = verdict->own_off_cpu,
        .gc_ticks = gc_ticks,
        .count = 1,
        .total_ticks = verdict->own_wall,
    };
    int result = stack != NULL ? place_of_stack(&fresh, stack) : place_of_coroutine(&fresh, state, coroutine);
    if (result < 0) {
        entry_clear(&fresh);
        return -1;
    }
    pulse_worst_entry *known = find(worst, &fresh);
    if (known != NULL) {
        fresh.count = ++known->count;
        fresh.total_ticks = known->total_ticks += verdict->own_wall;
    }
    pulse_worst_entry *slot = known != NULL ? known : choose_slot(worst, verdict->own_wall);
    if (slot == NULL || (known != NULL && verdict->own_wall <= known->wall_ticks)) {
        entry_clear(&fresh);
        return 0;
    }
    fresh.task = task_name(state);
    if (fresh.task == NULL) {
        entry_clear(&fresh);
        return -1;
    }
    entry_clear(slot);
    *slot = fresh;
    return 0;
}

static PyObject *
entry_to_dict(const pulse_worst_entry *entry)
{
    PyObject *stack = entry->stack != NULL ? Py_NewRef(entry->stack) : PyTuple_New(0);
    if (stack == NULL) {
        return NULL;
    }
    uint64_t cpu_ticks = entry->wall_ticks - entry->off_cpu_ticks;
    return Py_BuildValue("{sOsOsOsOsisKsKsKsKsKsN}", "group", entry->group, "task", entry->task, "function",
                         entry->function, "filename", entry->filename, "line", entry->line, "wall_ns",
                         (unsigned long long)pulse_clock_to_ns(entry->wall_ticks), "cpu_ns",
                         (unsigned long long)pulse_clock_to_ns(cpu_ticks), "gc_ns",
                         (unsigned long long)pulse_clock_to_ns(entry->gc_ticks), "count",
                         (unsigned long long)entry->count, "total_wall_ns",
                         (unsigned long long)pulse_clock_to_ns(entry->total_ticks), "stack", stack);
}

PyObject *
pulse_worst_list(const pulse_worst *worst)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < worst->used; i++) {
        PyObject *dict = entry_to_dict(&worst->entries[i]);
        if (dict == NULL || PyList_Append(list, dict) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(dict);
    }
    return list;
}

void
pulse_worst_clear(pulse_worst *worst)
{
    for (int i = 0; i < worst->used; i++) {
        entry_clear(&worst->entries[i]);
    }
    worst->used = 0;
}
