#include "poll/due.h"

#include <string.h>

static void
hold(pulse_due *due)
{
    if (!due->is_held) {
        Py_INCREF(due->governed);
        due->is_held = true;
    }
}

int
pulse_due_take(pulse_governor *governor, pulse_due *due)
{
    int count = governor->due_count;
    governor->due_count = governor->due_judged = 0;
    governor->flags &= ~(uint32_t)PULSE_GOVERNOR_DUE;
    memcpy(due, governor->due, sizeof *due * (size_t)count);
    for (int i = 0; i < count; i++) {
        hold(&due[i]);
        ((pulse_governed *)due[i].governed)->flags &= ~(uint32_t)PULSE_GOVERNED_DUE;
    }
    return count;
}

void
pulse_due_keep(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    for (int i = 0; governor != NULL && i < governor->due_count; i++) {
        if (governor->due[i].governed == (PyObject *)governed) {
            hold(&governor->due[i]);
        }
    }
}

static void
let_go(const pulse_due *due, int count)
{
    for (int i = 0; i < count; i++) {
        if (due[i].is_held) {
            Py_DECREF(due[i].governed);
        }
        Py_XDECREF(due[i].stack);
    }
}

// Forget the polls of one coroutine, or those that may keep other objects alive.
static void
forget(pulse_governor *governor, bool (*is_meant)(const pulse_due *due, const void *what), const void *what)
{
    pulse_due gone[PULSE_MOST_DUE];
    int kept = 0, judged = 0, forgotten = 0;
    for (int i = 0; i < governor->due_count; i++) {
        if (is_meant(&governor->due[i], what)) {
            gone[forgotten++] = governor->due[i];
            continue;
        }
        judged += i < governor->due_judged;
        governor->due[kept++] = governor->due[i];
    }
    governor->due_count = kept;
    governor->due_judged = judged;
    let_go(gone, forgotten);
}

static bool
is_of(const pulse_due *due, const void *governed)
{
    return due->governed == governed;
}

void
pulse_due_forget(pulse_governed *governed)
{
    if (governed->governor != NULL) {
        forget(governed->governor, is_of, governed);
    }
}

static bool
may_hold_others(const pulse_due *due, const void *Py_UNUSED(what))
{
    return due->is_held && !PyCoro_CheckExact(((pulse_governed *)due->governed)->coro);
}

void
pulse_due_wait(pulse_governor *governor)
{
    forget(governor, may_hold_others, NULL);
}

void
pulse_due_drop(pulse_governor *governor)
{
    pulse_due due[PULSE_MOST_DUE];
    let_go(due, pulse_due_take(governor, due));
}
