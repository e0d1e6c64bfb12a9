#include "types/cpu_timer.h"

#include "base/thread_clock.h"

enum { CALIBRATION_READINGS = 101 };

typedef struct {
    PyObject_HEAD
    uint64_t overhead_ns;
} pulse_cpu_timer;

// The cost of one reading: the smallest difference between two consecutive ones, because everything else only adds to it.
static uint64_t
smallest_difference(void)
{
    uint64_t smallest = UINT64_MAX;
    uint64_t before = pulse_thread_clock_ns();
    for (int i = 0; i < CALIBRATION_READINGS; i++) {
        uint64_t now = pulse_thread_clock_ns();
        if (now - before < smallest) {
            smallest = now - before;
        }
        before = now;
    }
    return smallest;
}

static PyObject *
cpu_timer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":CpuTimer", names)) {
        return NULL;
    }
    pulse_cpu_timer *timer = (pulse_cpu_timer *)type->tp_alloc(type, 0);
    if (timer != NULL) {
        timer->overhead_ns = smallest_difference();
    }
    return (PyObject *)timer;
}

static void
cpu_timer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
cpu_timer_calibrate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_cpu_timer *timer = (pulse_cpu_timer *)self;
    timer->overhead_ns = smallest_difference();
    return PyLong_FromUnsignedLongLong(timer->overhead_ns);
}

static PyObject *
cpu_timer_read(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(pulse_thread_clock_ns());
}

static PyObject *
cpu_timer_elapsed(PyObject *self, PyObject *since)
{
    uint64_t now = pulse_thread_clock_ns();
    unsigned long long start_ns = PyLong_AsUnsignedLongLong(since);
    if (start_ns == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    uint64_t taken = start_ns + ((pulse_cpu_timer *)self)->overhead_ns;
    return PyLong_FromUnsignedLongLong(now > taken ? now - taken : 0);
}

static PyObject *
get_platform_name(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(pulse_thread_clock_platform);
}

static PyObject *
get_overhead_ns(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((pulse_cpu_timer *)self)->overhead_ns);
}

static PyMethodDef cpu_timer_methods[] = {
    {"thread_cpu_time_ns", cpu_timer_read, METH_NOARGS, "CPU time of the calling thread, ns since it began."},
    {"elapsed_ns", cpu_timer_elapsed, METH_O,
     "CPU time since an earlier reading of this thread, ns, less what one reading costs; >= 0."},
    {"calibrate", cpu_timer_calibrate, METH_NOARGS, "Measure again what one reading costs, ns."},
    {NULL},
};

static PyGetSetDef cpu_timer_getset[] = {
    {"platform_name", get_platform_name, NULL, "'linux', 'macos', 'windows' or 'fallback'.", NULL},
    {"overhead_ns", get_overhead_ns, NULL, "What one reading costs, ns, as last measured.", NULL},
    {NULL},
};

static PyType_Slot cpu_timer_slots[] = {
    {Py_tp_doc, "The CPU clock of the calling thread."},
    {Py_tp_new, cpu_timer_new},
    {Py_tp_dealloc, cpu_timer_dealloc},
    {Py_tp_methods, cpu_timer_methods},
    {Py_tp_getset, cpu_timer_getset},
    {0, NULL},
};

PyType_Spec pulse_cpu_timer_spec = {
    .name = "asyncio_pulse._core.CpuTimer",
    .basicsize = sizeof(pulse_cpu_timer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cpu_timer_slots,
};
