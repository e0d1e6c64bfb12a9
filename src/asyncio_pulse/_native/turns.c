#include "turns.h"

#include <stddef.h>
#include <structmember.h>

#include "governor.h"
#include "os_thread.h"

static pulse_turns *
first(pulse_state *state)
{
    return atomic_load_explicit(&state->turns, memory_order_acquire);
}

static void
give_to(pulse_turns *turns, pulse_governor *governor)
{
    atomic_store(&turns->busy_since, 0);
    atomic_store(&turns->beat_due, 0);
    atomic_store(&turns->captured, 0);
    atomic_store(&turns->asked, false);
    atomic_store(&turns->os_thread, 0);
    turns->governor = governor;
    atomic_store(&turns->thread, NULL);
    uint64_t now = pulse_clock_ticks();
    governor->turn_record = (pulse_turn_record){0};
    pulse_counter_set(&governor->turn_record.watched_since, now);
    atomic_store(&turns->last_waited, now);
}

pulse_turns *
pulse_turns_new(pulse_state *state, pulse_governor *governor)
{
    for (pulse_turns *each = first(state); each != NULL; each = each->next) {
        if (each->governor == NULL) {
            give_to(each, governor);
            return each;
        }
    }
    pulse_turns *turns = PyMem_RawCalloc(1, sizeof *turns);
    if (turns == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    atomic_store(&turns->stall_after_ticks, UINT64_MAX);
    give_to(turns, governor);
    turns->next = first(state);
    atomic_store_explicit(&state->turns, turns, memory_order_release);
    return turns;
}

// The thread that runs the loop, found again when another one does.
void
pulse_turns_bind_thread(pulse_turns *turns)
{
    pulse_thread *thread = pulse_governor_thread(turns->governor);
    if (thread == NULL) {
        pulse_state_contain_error(turns->governor->state);
    }
    else if (PULSE_UNLIKELY(thread != atomic_load_explicit(&turns->thread, memory_order_relaxed) || atomic_load_explicit(&turns->os_thread, memory_order_relaxed) == 0)) {
        atomic_store(&turns->thread, thread);
        atomic_store(&turns->os_thread, pulse_os_thread_self());
    }
}

static PULSE_NOINLINE void
finish_stall(pulse_turns *turns, uint64_t ticks)
{
    if (turns->pending.stack != NULL) {
        turns->pending.wall_ticks = ticks;
        pulse_worst_enter(&turns->governor->stalls, &turns->pending);
        turns->pending = (pulse_worst_entry){0};
    }
    atomic_store(&turns->captured, 0);
}

void
pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks)
{
    pulse_turn_record *record = &turns->governor->turn_record;
    pulse_counter_add(&record->turns, 1);
    pulse_histogram_record(&record->lag, lag_ticks >> pulse_the_clock.histogram_shift);
    if (lag_ticks > pulse_counter_read(&record->longest_lag)) {
        pulse_counter_set(&record->longest_lag, lag_ticks);
    }
    if (PULSE_UNLIKELY(lag_ticks > atomic_load_explicit(&turns->stall_after_ticks, memory_order_relaxed))) {
        // One long turn is a stall; spinning is many short ones.
        atomic_store(&turns->last_waited, pulse_clock_ticks());
    }
    if (PULSE_UNLIKELY(atomic_load_explicit(&turns->captured, memory_order_relaxed) == key)) {
        finish_stall(turns, lag_ticks);
    }
}

void
pulse_turns_release(pulse_turns *turns)
{
    atomic_store(&turns->stall_after_ticks, UINT64_MAX);
    uint64_t captured = atomic_load(&turns->captured);
    if (captured != 0) {
        finish_stall(turns, pulse_clock_ticks() - captured);
    }
    pulse_counter_set(&turns->governor->turn_record.watched_until, pulse_clock_ticks());
    turns->governor = NULL;
    atomic_store(&turns->thread, NULL);
}

void
pulse_turns_free_all(pulse_state *state)
{
    pulse_turns *turns = first(state);
    atomic_store(&state->turns, NULL);
    while (turns != NULL) {
        pulse_turns *next = turns->next;
        pulse_worst_entry_clear(&turns->pending);
        PyMem_RawFree(turns);
        turns = next;
    }
}

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
    PyObject *select;
} pulse_select_watch;

// What is waited for: a time-out of 0 only looks, and a loop that never does more is never idle.
static bool
may_wait(PyObject *const *args, Py_ssize_t count)
{
    if (count == 0 || Py_IsNone(args[count - 1])) {
        return true;
    }
    if (PyFloat_CheckExact(args[count - 1])) {
        return PyFloat_AS_DOUBLE(args[count - 1]) > 0;
    }
    return PyObject_IsTrue(args[count - 1]) == 1;
}

static PyObject *
select_watch_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    pulse_select_watch *watch = (pulse_select_watch *)self;
    pulse_turns *turns = watch->governor->turns;
    if (turns == NULL) {
        return PyObject_Vectorcall(watch->select, args, nargsf, keywords);
    }
    pulse_turns_bind_thread(turns);
    uint64_t now = pulse_clock_ticks();
    uint64_t since = atomic_load_explicit(&turns->busy_since, memory_order_relaxed);
    if (since != 0) {
        atomic_store_explicit(&turns->busy_since, 0, memory_order_relaxed);
        pulse_counter_add(&turns->governor->turn_record.busy_ticks, now - since);
        pulse_turns_note(turns, since, now - since);
    }
    if (PULSE_UNLIKELY(atomic_load_explicit(&turns->asked, memory_order_relaxed))) {
        pulse_turns_name_spin(turns);
    }
    bool waits = may_wait(args, PyVectorcall_NARGS(nargsf));
    PyObject *result = PyObject_Vectorcall(watch->select, args, nargsf, keywords);
    if (watch->governor->turns == turns) {
        uint64_t back = pulse_clock_ticks();
        if (waits) {
            atomic_store_explicit(&turns->last_waited, back, memory_order_relaxed);
        }
        atomic_store_explicit(&turns->busy_since, back, memory_order_relaxed);
    }
    return result;
}

PyObject *
pulse_turns_watch_select(pulse_governor *governor, PyObject *select)
{
    PyTypeObject *type = governor->state->select_watch_type;
    pulse_select_watch *watch = (pulse_select_watch *)type->tp_alloc(type, 0);
    if (watch != NULL) {
        watch->vectorcall = select_watch_call;
        watch->governor = (pulse_governor *)Py_NewRef(governor);
        watch->select = Py_NewRef(select);
    }
    return (PyObject *)watch;
}

static int
select_watch_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((pulse_select_watch *)self)->select);
    return 0;
}

static int
select_watch_clear(PyObject *self)
{
    Py_CLEAR(((pulse_select_watch *)self)->select);
    return 0;
}

static void
select_watch_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    select_watch_clear(self);
    Py_DECREF(((pulse_select_watch *)self)->governor);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef select_watch_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(pulse_select_watch, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot select_watch_slots[] = {
    {Py_tp_doc, "Stands in the place of a selector's select method, and notes when the loop waits."},
    {Py_tp_dealloc, select_watch_dealloc},
    {Py_tp_traverse, select_watch_traverse},
    {Py_tp_clear, select_watch_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, select_watch_members},
    {0, NULL},
};

PyType_Spec pulse_select_watch_spec = {
    .name = "asyncio_pulse._core.SelectWatch",
    .basicsize = sizeof(pulse_select_watch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = select_watch_slots,
};
