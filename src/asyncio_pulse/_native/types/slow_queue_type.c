#include "types/slow_queue_type.h"

#include "base/clock.h"
#include "types/python_discipline.h"
#include "types/slow_queue.h"
#include "types/slow_queue_items.h"

static const struct {
    const char *name;
    pulse_algorithm algorithm;
} algorithms[] = {
    [PULSE_CREDIT_BASED] = {"credit_based", PULSE_CREDIT_BASED},
    [PULSE_LOTTERY] = {"lottery", PULSE_LOTTERY},
    [PULSE_DEFICIT_ROUND_ROBIN] = {"deficit_round_robin", PULSE_DEFICIT_ROUND_ROBIN},
};

static int
plug_in(pulse_slow_queue *self, PyObject *discipline)
{
    PyObject *choose = PyObject_GetAttrString(discipline, "choose");
    if (choose == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Format(PyExc_TypeError, "algorithm must be a SchedulingAlgorithm or a Discipline, got %R",
                         discipline);
        }
        return -1;
    }
    Py_DECREF(choose);
    // Credit-based takes over if the discipline fails. It needs no memory.
    (void)pulse_runqueue_set_algorithm(self->queue, PULSE_CREDIT_BASED);
    Py_XSETREF(self->discipline, Py_NewRef(discipline));
    return 0;
}

static int
set_algorithm(pulse_slow_queue *self, PyObject *value)
{
    if (!PyUnicode_Check(value)) {
        return plug_in(self, value);
    }
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        if (PyUnicode_CompareWithASCIIString(value, algorithms[i].name) != 0) {
            continue;
        }
        if (!pulse_runqueue_set_algorithm(self->queue, algorithms[i].algorithm)) {
            PyErr_NoMemory();
            return -1;
        }
        Py_CLEAR(self->discipline);
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "algorithm must be credit_based, lottery or deficit_round_robin, got %R", value);
    return -1;
}

static int
check_settings(int max_size, int threshold_ms, const int *quantum_us)
{
    if (max_size < 1 || max_size > PULSE_QUEUE_LARGEST_SIZE) {
        PyErr_Format(PyExc_ValueError, "max_size must be 1 to %d, got %d", PULSE_QUEUE_LARGEST_SIZE, max_size);
        return -1;
    }
    if (threshold_ms < 1) {
        PyErr_Format(PyExc_ValueError, "starvation_threshold_ms must be at least 1, got %d", threshold_ms);
        return -1;
    }
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        if (quantum_us[priority] < 1 || quantum_us[priority] > PULSE_QUEUE_LARGEST_QUANTUM_US) {
            PyErr_Format(PyExc_ValueError, "quantum_us must be four numbers from 1 to %d, got %d",
                         PULSE_QUEUE_LARGEST_QUANTUM_US, quantum_us[priority]);
            return -1;
        }
    }
    return 0;
}

static PyObject *
slow_queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"algorithm", "max_size", "seed", "starvation_threshold_ms", "quantum_us", NULL};
    PyObject *algorithm = NULL, *seed = Py_None;
    int max_size = 10000, threshold_ms = 1000, quantum_us[] = {4000, 3000, 2000, 1000};
    uint64_t seed_number;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$iOi(iiii):SlowQueue", names, &algorithm, &max_size, &seed,
                                     &threshold_ms, &quantum_us[0], &quantum_us[1], &quantum_us[2], &quantum_us[3]) ||
        check_settings(max_size, threshold_ms, quantum_us) < 0 ||
        pulse_slow_queue_items_number(seed, "seed", UINT64_MAX, pulse_clock_ticks(), &seed_number) < 0) {
        return NULL;
    }
    PyObject *groups = PyDict_New();
    pulse_slow_queue *self = groups == NULL ? NULL : (pulse_slow_queue *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(groups);
        return NULL;
    }
    pulse_queue_settings settings = {
        .algorithm = PULSE_DEFICIT_ROUND_ROBIN,
        .max_size = (uint32_t)max_size,
        .seed = seed_number,
        .starvation_threshold_ns = (uint64_t)threshold_ms * 1000000,
        .release_key = pulse_slow_queue_items_release_name,
        .context = self,
    };
    for (int priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        settings.quantum_us[priority] = (uint32_t)quantum_us[priority];
    }
    self->default_cost_us = settings.quantum_us[PULSE_QUEUE_PRIORITIES - 1];
    self->groups = groups;
    self->queue = pulse_runqueue_new(&settings);
    if (self->queue == NULL) {
        PyErr_NoMemory();
    }
    if (self->queue == NULL || (algorithm != NULL && set_algorithm(self, algorithm) < 0)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int
slow_queue_clear(PyObject *object)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    pulse_queue_node *node;
    while (self->queue != NULL && (node = pulse_runqueue_take_any(self->queue)) != NULL) {
        Py_DECREF(pulse_slow_queue_items_take(node));
    }
    Py_CLEAR(self->discipline);
    return 0;
}

typedef struct {
    visitproc visit;
    void *arg;
} pulse_collector;

static int
visit_item(pulse_queue_node *node, void *context)
{
    const pulse_collector *collector = context;
    return collector->visit(((pulse_slow_queue_entry *)node)->item, collector->arg);
}

static int
slow_queue_traverse(PyObject *object, visitproc visit, void *arg)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    pulse_collector collector = {visit, arg};
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->discipline);
    return self->queue == NULL ? 0 : pulse_runqueue_visit(self->queue, visit_item, &collector);
}

static void
slow_queue_dealloc(PyObject *object)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)slow_queue_clear(object);
    // Cleared first, so that no name is looked up any more.
    Py_CLEAR(self->groups);
    if (self->queue != NULL) {
        pulse_runqueue_free(self->queue);
    }
    type->tp_free(object);
    Py_DECREF(type);
}

static Py_ssize_t
slow_queue_length(PyObject *object)
{
    return pulse_runqueue_statistics(((pulse_slow_queue *)object)->queue)->size;
}

static PyObject *
slow_queue_flows(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"now_ns", NULL};
    PyObject *now = Py_None;
    uint64_t now_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:flows", names, &now) ||
        pulse_slow_queue_items_time(now, &now_ns) < 0) {
        return NULL;
    }
    return pulse_python_discipline_flows((pulse_slow_queue *)object, false, now_ns);
}

static PyObject *
slow_queue_longest_wait(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"now_ns", NULL};
    PyObject *now = Py_None;
    uint64_t now_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:longest_wait_ns", names, &now) ||
        pulse_slow_queue_items_time(now, &now_ns) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(pulse_runqueue_longest_wait(((pulse_slow_queue *)object)->queue, now_ns));
}

static PyObject *
show_waits(const pulse_histogram *waits_us)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < PULSE_HISTOGRAM_BUCKETS; i++) {
        unsigned long long count = pulse_counter_read(&waits_us->counts[i]);
        if (count == 0) {
            continue;
        }
        unsigned long long upper_ns = (pulse_histogram_upper(i) + 1) * 1000 - 1;
        PyObject *pair = Py_BuildValue("(KK)", upper_ns, count);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *
slow_queue_stats(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const pulse_queue_statistics *all = pulse_runqueue_statistics(((pulse_slow_queue *)object)->queue);
    const uint64_t *served = all->served;
    PyObject *waits = show_waits(&all->waits_us);
    if (waits == NULL) {
        return NULL;
    }
    return Py_BuildValue("{sIs(IIII)s(KKKK)sKsKsIsN}", "queued", all->size, "queued_by_priority", all->queued[0],
                         all->queued[1], all->queued[2], all->queued[3], "served_by_priority",
                         (unsigned long long)served[0], (unsigned long long)served[1], (unsigned long long)served[2],
                         (unsigned long long)served[3], "rescues", (unsigned long long)all->rescues, "overflows",
                         (unsigned long long)all->overflows, "high_water_mark", all->high_water_mark, "wait_histogram",
                         waits);
}

static PyObject *
get_algorithm(PyObject *object, void *Py_UNUSED(closure))
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    if (self->discipline != NULL) {
        return Py_NewRef(self->discipline);
    }
    return PyUnicode_FromString(algorithms[pulse_runqueue_algorithm(self->queue)].name);
}

static int
put_algorithm(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "algorithm cannot be deleted; set another one");
        return -1;
    }
    return set_algorithm((pulse_slow_queue *)object, value);
}

static PyObject *
get_queued_by_priority(PyObject *object, void *Py_UNUSED(closure))
{
    const uint32_t *queued = pulse_runqueue_statistics(((pulse_slow_queue *)object)->queue)->queued;
    return Py_BuildValue("(IIII)", queued[0], queued[1], queued[2], queued[3]);
}

static PyMethodDef slow_queue_methods[] = {
    {"enqueue", (PyCFunction)(void (*)(void))pulse_slow_queue_items_enqueue, METH_VARARGS | METH_KEYWORDS,
     "Queue an item; False, and it is not taken, when the queue is full."},
    {"process_batch", (PyCFunction)(void (*)(void))pulse_slow_queue_items_process_batch, METH_VARARGS | METH_KEYWORDS,
     "Release the next items, at most n, in the discipline's order."},
    {"charge", pulse_slow_queue_items_charge, METH_VARARGS,
     "Charge a flow, (priority, group), for one slice with the CPU microseconds that it really used."},
    {"remove", pulse_slow_queue_items_remove, METH_O,
     "Take an item, this very object, out; whether it waited. Looks at every item."},
    {"promote", pulse_slow_queue_items_promote, METH_O,
     "Make an item, this very object, a holder; whether it waits. Looks at every item."},
    {"drain", pulse_slow_queue_items_drain, METH_NOARGS, "Take out everything, in no particular order."},
    {"flows", (PyCFunction)(void (*)(void))slow_queue_flows, METH_VARARGS | METH_KEYWORDS,
     "Every flow that is known, with or without items."},
    {"longest_wait_ns", (PyCFunction)(void (*)(void))slow_queue_longest_wait, METH_VARARGS | METH_KEYWORDS,
     "How long the flow that has waited longest for a slice has done so, nanoseconds."},
    {"stats", slow_queue_stats, METH_NOARGS, "What is queued, what was served, and how long it waited."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "SlowQueue[T] is a queue of T, for type checkers."},
    {NULL},
};

static PyGetSetDef slow_queue_getset[] = {
    {"algorithm", get_algorithm, put_algorithm,
     "Who chooses: the value of a SchedulingAlgorithm, or a Discipline. May be changed at any time.", NULL},
    {"queued_by_priority", get_queued_by_priority, NULL, "Items that wait: critical, high, normal, low.", NULL},
    {NULL},
};

static PyType_Slot slow_queue_slots[] = {
    {Py_tp_doc, "A bounded queue of any objects that is fair between flows: priorities and groups."},
    {Py_tp_new, slow_queue_new},
    {Py_tp_dealloc, slow_queue_dealloc},
    {Py_tp_traverse, slow_queue_traverse},
    {Py_tp_clear, slow_queue_clear},
    {Py_tp_methods, slow_queue_methods},
    {Py_tp_getset, slow_queue_getset},
    {Py_sq_length, slow_queue_length},
    {0, NULL},
};

PyType_Spec pulse_slow_queue_type_spec = {
    .name = "asyncio_pulse._core.SlowQueue",
    .basicsize = sizeof(pulse_slow_queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slow_queue_slots,
};
