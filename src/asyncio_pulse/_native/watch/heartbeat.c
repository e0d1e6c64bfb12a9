// The heartbeat: a timer on a loop whose selector we cannot see (uvloop).
//
// The lag of the loop is how late the timer runs. Where libuv reports its idle time, the rest of the time was work.
#include "watch/heartbeat.h"

#include <stddef.h>
#include <structmember.h>

#include "watch/turns.h"

#ifndef _WIN32
#include <dlfcn.h>
#endif

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
    // Weak: the loop holds the timer, and the timer must not hold the loop.
    PyObject *loop_reference;
    PyObject *period_seconds;
    uint64_t period_ticks;
    uint64_t (*idle_time)(void *libuv_loop);
    void *libuv_loop;
    uint64_t last_beat;
    uint64_t last_idle_ns;
} pulse_heartbeat;

static void
note_idle(pulse_heartbeat *heartbeat, pulse_turns *turns, uint64_t now)
{
    bool waited = true;
    if (heartbeat->idle_time != NULL) {
        uint64_t idle_ns = heartbeat->idle_time(heartbeat->libuv_loop);
        uint64_t idle_ticks = pulse_clock_from_ns(idle_ns - heartbeat->last_idle_ns);
        waited = idle_ns != heartbeat->last_idle_ns;
        heartbeat->last_idle_ns = idle_ns;
        uint64_t passed = now - heartbeat->last_beat;
        if (heartbeat->last_beat != 0 && passed > idle_ticks) {
            pulse_counter_add(&turns->busy_ticks, passed - idle_ticks);
        }
    }
    heartbeat->last_beat = now;
    if (waited) {
        atomic_store_explicit(&turns->last_waited, now, memory_order_relaxed);
    }
}

static PyObject *
heartbeat_call(PyObject *self, PyObject *const *Py_UNUSED(args), size_t Py_UNUSED(nargsf),
               PyObject *Py_UNUSED(keywords))
{
    pulse_heartbeat *heartbeat = (pulse_heartbeat *)self;
    pulse_turns *turns = heartbeat->governor->turns;
    if (turns == NULL || heartbeat->governor->heartbeat != heartbeat) {
        // No longer watched, or watched by a newer heartbeat: the timer is not armed again.
        Py_RETURN_NONE;
    }
    pulse_turns_bind_thread(turns);
    uint64_t now = pulse_clock_ticks();
    uint64_t due = atomic_load_explicit(&turns->beat_due, memory_order_relaxed);
    if (due != 0) {
        pulse_turns_note(turns, due, now > due ? now - due : 0, heartbeat->period_ticks);
    }
    if (heartbeat->governor->turns != turns) {
        // The report of a stall has uninstalled us.
        Py_RETURN_NONE;
    }
    pulse_turns_tell_late(turns, now);
    if (heartbeat->governor->turns != turns) {
        Py_RETURN_NONE;
    }
    note_idle(heartbeat, turns, now);
    atomic_store_explicit(&turns->beat_due, now + heartbeat->period_ticks, memory_order_relaxed);
    PyObject *loop = PyObject_CallNoArgs(heartbeat->loop_reference);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *arguments[] = {loop, heartbeat->period_seconds, self};
    PyObject *timer = PyObject_VectorcallMethod(heartbeat->governor->state->str_call_later, arguments, 3, NULL);
    Py_DECREF(loop);
    return timer;
}

#ifdef _WIN32

static void
find_idle_time(pulse_heartbeat *heartbeat, const char *library, void *libuv_loop)
{
    (void)heartbeat;
    (void)library;
    (void)libuv_loop;
}

#else

// uvloop exports the functions of its libuv and hands out its uv_loop_t. We call them on the loop's own thread, from a
// callback of that loop, so the loop still exists.
static void
find_idle_time(pulse_heartbeat *heartbeat, const char *library, void *libuv_loop)
{
    enum { UV_METRICS_IDLE_TIME = 1 };
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    if (handle == NULL) {
        return;
    }
    int (*configure)(void *, int) = (int (*)(void *, int))dlsym(handle, "uv_loop_configure");
    uint64_t (*idle_time)(void *) = (uint64_t (*)(void *))dlsym(handle, "uv_metrics_idle_time");
    if (configure != NULL && idle_time != NULL && configure(libuv_loop, UV_METRICS_IDLE_TIME) == 0) {
        heartbeat->idle_time = idle_time;
        heartbeat->libuv_loop = libuv_loop;
    }
    dlclose(handle);
}

#endif

PyObject *
pulse_heartbeat_new(pulse_governor *governor, PyObject *loop, uint64_t period_us, const char *library, void *libuv_loop)
{
    PyTypeObject *type = governor->state->heartbeat_type;
    PyObject *reference = PyWeakref_NewRef(loop, NULL);
    PyObject *period_seconds = reference == NULL ? NULL : PyFloat_FromDouble((double)period_us / 1e6);
    pulse_heartbeat *heartbeat = period_seconds == NULL ? NULL : (pulse_heartbeat *)type->tp_alloc(type, 0);
    if (heartbeat == NULL) {
        Py_XDECREF(reference);
        Py_XDECREF(period_seconds);
        return NULL;
    }
    heartbeat->vectorcall = heartbeat_call;
    heartbeat->governor = (pulse_governor *)Py_NewRef(governor);
    governor->heartbeat = heartbeat;
    heartbeat->loop_reference = reference;
    heartbeat->period_seconds = period_seconds;
    heartbeat->period_ticks = pulse_clock_from_ns(period_us * 1000);
    if (library != NULL && libuv_loop != NULL) {
        find_idle_time(heartbeat, library, libuv_loop);
    }
    return (PyObject *)heartbeat;
}

static int
heartbeat_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((pulse_heartbeat *)self)->loop_reference);
    return 0;
}

static int
heartbeat_clear(PyObject *self)
{
    Py_CLEAR(((pulse_heartbeat *)self)->loop_reference);
    return 0;
}

static void
heartbeat_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    heartbeat_clear(self);
    Py_XDECREF(((pulse_heartbeat *)self)->period_seconds);
    Py_DECREF(((pulse_heartbeat *)self)->governor);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef heartbeat_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(pulse_heartbeat, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot heartbeat_slots[] = {
    {Py_tp_doc, "A timer's callback that arms itself again, and notes how late it came."},
    {Py_tp_dealloc, heartbeat_dealloc},
    {Py_tp_traverse, heartbeat_traverse},
    {Py_tp_clear, heartbeat_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, heartbeat_members},
    {0, NULL},
};

PyType_Spec pulse_heartbeat_spec = {
    .name = "asyncio_pulse._core.Heartbeat",
    .basicsize = sizeof(pulse_heartbeat),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = heartbeat_slots,
};
