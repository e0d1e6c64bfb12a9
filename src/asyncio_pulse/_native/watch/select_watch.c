// Watches a loop through the object that it waits with: the selector's select method, or the epoll object beneath it.
//
// Our object replaces one of the two. The epoll object is preferred: the selector's own method, written in Python, calls
// our object, which takes about a tenth of a microsecond less per turn than a call of a Python method by our object.
#include "watch/select_watch.h"

#include <stddef.h>
#include <structmember.h>

#include "watch/spin.h"
#include "watch/stalls.h"
#include "watch/turns.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
    PyObject *waited_with;
    // The bound method that waits, and the other bound methods of an epoll object (NULL where there are none).
    PyObject *wait;
    PyObject *register_;
    PyObject *unregister;
    PyObject *modify;
    PyObject *close;
    PyObject *fileno;
} pulse_select_watch;

// Whether a call with these arguments may wait. A timeout of 0 only checks, and a loop that never uses another is never
// idle.
static bool
may_wait(PyObject *const *args, Py_ssize_t count)
{
    if (count == 0 || Py_IsNone(args[0])) {
        return true;
    }
    if (PyLong_CheckExact(args[0])) {
        // -1 waits for ever.
        return PyObject_IsTrue(args[0]) == 1;
    }
    return !PyFloat_CheckExact(args[0]) || PyFloat_AS_DOUBLE(args[0]) != 0;
}

// When a wait that begins `now` is over at the latest, ticks. Epoll counts whole milliseconds, asyncio rounds up. UINT64_MAX
// for a wait without end.
static uint64_t
latest_end(uint64_t now, PyObject *const *args, Py_ssize_t count)
{
    double seconds = count > 0 && PyFloat_CheckExact(args[0]) ? PyFloat_AS_DOUBLE(args[0]) : -1;
    return seconds >= 0 && seconds < 1e6 ? now + pulse_clock_from_ns((uint64_t)(seconds * 1e9)) : UINT64_MAX;
}

static PULSE_NOINLINE void
tell_late(pulse_governor *governor, uint64_t ended)
{
    if (governor->turns != NULL) {
        pulse_turns_tell_late(governor->turns, ended);
    }
}

static void
end_turn(pulse_turns *turns, uint64_t now)
{
    pulse_governor *governor = turns->governor;
    uint64_t since = atomic_load_explicit(&turns->busy_since, memory_order_relaxed);
    if (since != 0) {
        atomic_store_explicit(&turns->busy_since, 0, memory_order_relaxed);
        pulse_counter_add(&turns->busy_ticks, now - since);
        pulse_turns_note(turns, since, now - since, 0);
    }
    if (PULSE_UNLIKELY(atomic_load_explicit(&turns->asked, memory_order_relaxed)) && governor->turns == turns) {
        pulse_spin_name(turns);
        tell_late(governor, since);
    }
}

static PyObject *
watched_wait(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    pulse_select_watch *watch = (pulse_select_watch *)self;
    pulse_turns *turns = watch->governor->turns;
    if (turns == NULL) {
        return PyObject_Vectorcall(watch->wait, args, nargsf, keywords);
    }
    pulse_turns_bind_thread(turns);
    uint64_t now = pulse_clock_ticks();
    end_turn(turns, now);
    // The report of a stall may have uninstalled us, so `turns` is compared again below.
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    bool waits = may_wait(args, count);
    uint64_t due = latest_end(now, args, count);
    PyObject *result = PyObject_Vectorcall(watch->wait, args, nargsf, keywords);
    if (watch->governor->turns == turns) {
        if (waits) {
            now = pulse_clock_ticks();
            if (PULSE_UNLIKELY(now > due && now - due > watch->governor->target_ticks && result != NULL)) {
                uint64_t wait = atomic_load_explicit(&turns->last_waited, memory_order_relaxed);
                pulse_stalls_note_late_wait(turns, wait, due);
            }
            atomic_store_explicit(&turns->last_waited, now, memory_order_relaxed);
        }
        // A check without waiting is work of the turn that it begins.
        atomic_store_explicit(&turns->busy_since, now, memory_order_relaxed);
    }
    return result;
}

static PyObject *
select_watch_poll(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    return watched_wait(self, args, (size_t)count, keywords);
}

static pulse_select_watch *
new_watch(pulse_governor *governor, PyObject *waited_with, const char *wait)
{
    PyTypeObject *type = governor->state->select_watch_type;
    PyObject *method = PyObject_GetAttrString(waited_with, wait);
    pulse_select_watch *watch = method == NULL ? NULL : (pulse_select_watch *)type->tp_alloc(type, 0);
    if (watch == NULL) {
        Py_XDECREF(method);
        return NULL;
    }
    watch->vectorcall = watched_wait;
    watch->governor = (pulse_governor *)Py_NewRef(governor);
    watch->waited_with = Py_NewRef(waited_with);
    watch->wait = method;
    return watch;
}

PyObject *
pulse_select_watch_select(pulse_governor *governor, PyObject *selector)
{
    return (PyObject *)new_watch(governor, selector, "select");
}

PyObject *
pulse_select_watch_epoll(pulse_governor *governor, PyObject *epoll)
{
    pulse_select_watch *watch = new_watch(governor, epoll, "poll");
    if (watch != NULL && ((watch->register_ = PyObject_GetAttrString(epoll, "register")) == NULL ||
                          (watch->unregister = PyObject_GetAttrString(epoll, "unregister")) == NULL ||
                          (watch->modify = PyObject_GetAttrString(epoll, "modify")) == NULL ||
                          (watch->close = PyObject_GetAttrString(epoll, "close")) == NULL ||
                          (watch->fileno = PyObject_GetAttrString(epoll, "fileno")) == NULL)) {
        Py_CLEAR(watch);
    }
    return (PyObject *)watch;
}

static PyObject *
select_watch_closed(PyObject *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(((pulse_select_watch *)self)->waited_with, "closed");
}

static int
select_watch_traverse(PyObject *self, visitproc visit, void *arg)
{
    pulse_select_watch *watch = (pulse_select_watch *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(watch->waited_with);
    Py_VISIT(watch->wait);
    Py_VISIT(watch->register_);
    Py_VISIT(watch->unregister);
    Py_VISIT(watch->modify);
    Py_VISIT(watch->close);
    Py_VISIT(watch->fileno);
    return 0;
}

static int
select_watch_clear(PyObject *self)
{
    pulse_select_watch *watch = (pulse_select_watch *)self;
    Py_CLEAR(watch->waited_with);
    Py_CLEAR(watch->wait);
    Py_CLEAR(watch->register_);
    Py_CLEAR(watch->unregister);
    Py_CLEAR(watch->modify);
    Py_CLEAR(watch->close);
    Py_CLEAR(watch->fileno);
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

static PyMethodDef select_watch_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))select_watch_poll, METH_FASTCALL | METH_KEYWORDS,
     "Wait, as select.epoll.poll does."},
    {NULL},
};

static PyMemberDef select_watch_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(pulse_select_watch, vectorcall), READONLY, NULL},
    {"register", T_OBJECT_EX, offsetof(pulse_select_watch, register_), READONLY, NULL},
    {"unregister", T_OBJECT_EX, offsetof(pulse_select_watch, unregister), READONLY, NULL},
    {"modify", T_OBJECT_EX, offsetof(pulse_select_watch, modify), READONLY, NULL},
    {"close", T_OBJECT_EX, offsetof(pulse_select_watch, close), READONLY, NULL},
    {"fileno", T_OBJECT_EX, offsetof(pulse_select_watch, fileno), READONLY, NULL},
    {NULL},
};

static PyGetSetDef select_watch_getset[] = {
    {"closed", select_watch_closed, NULL, "Whether the epoll object is closed.", NULL},
    {NULL},
};

static PyType_Slot select_watch_slots[] = {
    {Py_tp_doc, "Stands in the place of what a loop waits with, and notes when it does."},
    {Py_tp_dealloc, select_watch_dealloc},
    {Py_tp_traverse, select_watch_traverse},
    {Py_tp_clear, select_watch_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, select_watch_methods},
    {Py_tp_members, select_watch_members},
    {Py_tp_getset, select_watch_getset},
    {0, NULL},
};

PyType_Spec pulse_select_watch_spec = {
    .name = "asyncio_pulse._core.SelectWatch",
    .basicsize = sizeof(pulse_select_watch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = select_watch_slots,
};
