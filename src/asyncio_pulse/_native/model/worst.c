#include "model/worst.h"

#include "base/clock.h"
#include "base/text.h"
#include "model/figures.h"

PyObject *
pulse_worst_task_name(pulse_state *state, PyObject *task)
{
    PyObject *name = NULL;
    if (task != NULL && !Py_IsNone(task)) {
        // asyncio's own method: that of a subclass may be Python code.
        name = PyObject_CallOneArg(state->task_get_name, task);
    }
    Py_XDECREF(task);
    if (name == NULL || !PyUnicode_Check(name)) {
        // A task of a foreign class may have no name. That is no fault of ours.
        PyErr_Clear();
        Py_XDECREF(name);
        name = PyUnicode_FromString("");
    }
    return pulse_text_bounded(name);
}

void
pulse_worst_entry_clear(pulse_worst_entry *entry)
{
    pulse_worst_entry gone = *entry;
    *entry = (pulse_worst_entry){0};
    Py_XDECREF(gone.culprit);
    Py_XDECREF(gone.group);
    Py_XDECREF(gone.task);
    Py_XDECREF(gone.function);
    Py_XDECREF(gone.filename);
    Py_XDECREF(gone.stack);
}

pulse_worst_entry
pulse_worst_copy(const pulse_worst_entry *entry)
{
    pulse_worst_entry copy = *entry;
    Py_XINCREF(copy.culprit);
    Py_XINCREF(copy.group);
    Py_XINCREF(copy.task);
    Py_XINCREF(copy.function);
    Py_XINCREF(copy.filename);
    Py_XINCREF(copy.stack);
    return copy;
}

// Fill in function, filename and line from a coroutine that was not seen running.
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

void
pulse_worst_place(pulse_worst_entry *entry, PyObject *stack)
{
    PyObject *innermost = PyTuple_GET_ITEM(stack, 0);
    entry->function = Py_NewRef(PyTuple_GET_ITEM(innermost, 0));
    entry->filename = Py_NewRef(PyTuple_GET_ITEM(innermost, 1));
    entry->line = (int)PyLong_AsLong(PyTuple_GET_ITEM(innermost, 2));
    entry->stack = Py_NewRef(stack);
}

static bool
same_text(PyObject *left, PyObject *right)
{
    return left == right || PyUnicode_Compare(left, right) == 0;
}

static bool
same_place(const pulse_worst_entry *left, const pulse_worst_entry *right)
{
    return left->stall_class == right->stall_class && (left->within_ticks == 0) == (right->within_ticks == 0) &&
           (left->stack == NULL) == (right->stack == NULL) && same_text(left->function, right->function) &&
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

static pulse_worst_entry *
poorer(pulse_worst_entry *one, pulse_worst_entry *other)
{
    return one == NULL || other->credit_ticks < one->credit_ticks ? other : one;
}

// The slot for a new place: a free one, or that of the place with the least credit. If the group has as many places as it
// may, only its own are considered. NULL if the new place has too little time.
static pulse_worst_entry *
choose_slot(pulse_worst *worst, const pulse_worst_entry *fresh)
{
    pulse_worst_entry *poorest = NULL, *poorest_of_group = NULL;
    int of_group = 0;
    for (int i = 0; i < worst->used; i++) {
        pulse_worst_entry *each = &worst->entries[i];
        poorest = poorer(poorest, each);
        if (same_text(each->group, fresh->group)) {
            poorest_of_group = poorer(poorest_of_group, each);
            of_group++;
        }
    }
    pulse_worst_entry *victim = of_group < PULSE_WORST_PLACES_OF_GROUP ? poorest : poorest_of_group;
    if (of_group < PULSE_WORST_PLACES_OF_GROUP && worst->used < PULSE_WORST_PLACES) {
        return &worst->entries[worst->used++];
    }
    if (fresh->wall_ticks >= victim->credit_ticks) {
        return victim;
    }
    victim->credit_ticks -= fresh->wall_ticks;
    return NULL;
}

void
pulse_worst_enter(pulse_worst *worst, pulse_worst_entry *fresh)
{
    pulse_worst_entry *known = find(worst, fresh);
    fresh->count = 1;
    fresh->total_ticks = fresh->credit_ticks = fresh->wall_ticks;
    if (known != NULL) {
        fresh->count = ++known->count;
        fresh->total_ticks = known->total_ticks += fresh->wall_ticks;
        fresh->credit_ticks = known->credit_ticks += fresh->wall_ticks;
    }
    pulse_worst_entry *slot = known != NULL ? known : choose_slot(worst, fresh);
    if (slot == NULL || (known != NULL && fresh->wall_ticks <= known->wall_ticks)) {
        pulse_worst_entry_clear(fresh);
        return;
    }
    pulse_worst_entry replaced = *slot;
    *slot = *fresh;
    *fresh = (pulse_worst_entry){0};
    pulse_worst_entry_clear(&replaced);
}

int
pulse_worst_describe(pulse_worst_entry *entry, pulse_state *state, PyObject *group, PyObject *coroutine,
                     PyObject *stack)
{
    *entry = (pulse_worst_entry){
        .group = Py_NewRef(group),
        .task = pulse_worst_task_name(state, pulse_current_task(state->current_task)),
    };
    int result = 0;
    if (stack != NULL) {
        pulse_worst_place(entry, stack);
    }
    else {
        result = place_of_coroutine(entry, state, coroutine);
    }
    if (result < 0 || entry->task == NULL) {
        pulse_worst_entry_clear(entry);
        return -1;
    }
    return 0;
}

void
pulse_worst_enter_poll(pulse_worst *worst, pulse_worst_entry *fresh, const pulse_verdict *verdict, uint64_t gc_ticks)
{
    fresh->wall_ticks = verdict->own_wall;
    fresh->off_cpu_ticks = verdict->own_off_cpu;
    fresh->gc_ticks = gc_ticks;
    pulse_worst_enter(worst, fresh);
}

// The fields that polls and stalls have in common; new reference.
static PyObject *
entry_to_dict(const pulse_worst_entry *entry)
{
    PyObject *stack = entry->stack != NULL ? Py_NewRef(entry->stack) : PyTuple_New(0);
    if (stack == NULL) {
        return NULL;
    }
    return Py_BuildValue("{sOsOsOsOsisKsKsKsN}", "group", entry->group, "task", entry->task, "function",
                         entry->function, "filename", entry->filename, "line", entry->line, "wall_ns",
                         (unsigned long long)pulse_clock_to_ns(entry->wall_ticks), "count",
                         (unsigned long long)entry->count, "total_wall_ns",
                         (unsigned long long)pulse_clock_to_ns(entry->total_ticks), "stack", stack);
}

static PyObject *
poll_to_dict(const pulse_worst_entry *entry)
{
    PyObject *dict = entry_to_dict(entry);
    uint64_t cpu_ticks = entry->wall_ticks - entry->off_cpu_ticks;
    if (dict != NULL && (pulse_figures_set_number(dict, "cpu_ns", pulse_clock_to_ns(cpu_ticks)) < 0 ||
                         pulse_figures_set_number(dict, "gc_ns", pulse_clock_to_ns(entry->gc_ticks)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static int
set_text(PyObject *dict, const char *key, PyObject *text)
{
    int result = text == NULL ? -1 : PyDict_SetItemString(dict, key, text);
    Py_XDECREF(text);
    return result;
}

PyObject *
pulse_worst_stall_to_dict(const pulse_worst_entry *entry)
{
    PyObject *dict = entry_to_dict(entry);
    PyObject *culprit = entry->culprit != NULL ? Py_NewRef(entry->culprit) : PyUnicode_FromString("");
    if (dict != NULL &&
        (pulse_figures_set_number(dict, "gil_held_ns", pulse_clock_to_ns(entry->gil_held_ticks)) < 0 ||
         pulse_figures_set_number(dict, "within_ns", pulse_clock_to_ns(entry->within_ticks)) < 0 ||
         set_text(dict, "stall_class", PyUnicode_FromString(pulse_stall_class_names[entry->stall_class])) < 0 ||
         set_text(dict, "culprit", Py_XNewRef(culprit)) < 0)) {
        Py_CLEAR(dict);
    }
    Py_XDECREF(culprit);
    return dict;
}

static PyObject *
list_of(const pulse_worst *worst, PyObject *(*to_dict)(const pulse_worst_entry *))
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < worst->used; i++) {
        pulse_worst_entry entry = pulse_worst_copy(&worst->entries[i]);
        PyObject *dict = to_dict(&entry);
        pulse_worst_entry_clear(&entry);
        if (dict == NULL || PyList_Append(list, dict) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(dict);
    }
    return list;
}

PyObject *
pulse_worst_polls(const pulse_worst *worst)
{
    return list_of(worst, poll_to_dict);
}

PyObject *
pulse_worst_stalls(const pulse_worst *worst)
{
    return list_of(worst, pulse_worst_stall_to_dict);
}

void
pulse_worst_clear(pulse_worst *worst)
{
    for (int i = 0; i < worst->used; i++) {
        pulse_worst_entry_clear(&worst->entries[i]);
    }
    worst->used = 0;
}
