// Items on their way into the slow queue and out of it.
#include "types/slow_queue_items.h"

#include "base/clock.h"
#include "model/options.h"
#include "types/python_discipline.h"

void
pulse_slow_queue_items_release_name(void *context, uintptr_t key)
{
    pulse_slow_queue *self = context;
    if (self->groups == NULL) {
        return;
    }
    for (uint8_t priority = 0; priority < PULSE_QUEUE_PRIORITIES; priority++) {
        if (pulse_runqueue_find_flow(self->queue, priority, key) != NULL) {
            return;
        }
    }
    // Cannot fail: the name is in there, and is a string.
    (void)PyDict_DelItem(self->groups, (PyObject *)key);
}

int
pulse_slow_queue_items_number(PyObject *value, const char *name, uint64_t highest, uint64_t otherwise, uint64_t *out)
{
    *out = otherwise;
    if (Py_IsNone(value)) {
        return 0;
    }
    PyObject *number = PyNumber_Index(value);
    if (number == NULL) {
        return -1;
    }
    *out = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred() || *out > highest) {
        PyErr_Format(PyExc_ValueError, "%s must be 0 to %llu, got %R", name, (unsigned long long)highest, number);
        Py_DECREF(number);
        return -1;
    }
    Py_DECREF(number);
    return 0;
}

int
pulse_slow_queue_items_time(PyObject *value, uint64_t *now_ns)
{
    return pulse_slow_queue_items_number(value, "now_ns", INT64_MAX,
                                         Py_IsNone(value) ? pulse_clock_to_ns(pulse_clock_ticks()) : 0, now_ns);
}

PyObject *
pulse_slow_queue_items_take(pulse_queue_node *node)
{
    pulse_slow_queue_entry *entry = (pulse_slow_queue_entry *)node;
    PyObject *item = entry->item;
    PyMem_Free(entry);
    return item;
}

static int
check_flow(int priority, PyObject *group)
{
    if (priority < 0 || priority >= PULSE_QUEUE_PRIORITIES) {
        PyErr_Format(PyExc_ValueError, "priority must be 0 to %d, got %d", PULSE_QUEUE_PRIORITIES - 1, priority);
        return -1;
    }
    if (!PyUnicode_CheckExact(group)) {
        PyErr_Format(PyExc_TypeError, "group must be a str, got %R", group);
        return -1;
    }
    return 0;
}

// The object that stands for all equal names. Release it again afterwards: the name stays only while a flow uses it. NULL
// with an exception on failure.
static PyObject *
hold_name(pulse_slow_queue *self, PyObject *group)
{
    return PyDict_SetDefault(self->groups, group, group);
}

static bool
enqueue_entry(pulse_slow_queue *self, pulse_slow_queue_entry *entry, const pulse_queue_request *request,
              uint64_t now_ns)
{
    bool taken = pulse_runqueue_enqueue(self->queue, &entry->node, request, now_ns);
    pulse_slow_queue_items_release_name(self, request->key);
    if (taken) {
        Py_INCREF(entry->item);
    }
    else {
        PyMem_Free(entry);
    }
    return taken;
}

PyObject *
pulse_slow_queue_items_enqueue(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"item", "priority", "group", "holder", "urgent", "cost_us", "now_ns", NULL};
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    PyObject *item, *group = pulse_state_of_type(Py_TYPE(object))->str_empty, *urgent = Py_None;
    PyObject *cost = Py_None, *now = Py_None;
    int priority = PULSE_PRIORITY_NORMAL, is_holder = false;
    uint64_t now_ns, cost_us;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$iOpOOO:enqueue", names, &item, &priority, &group, &is_holder,
                                     &urgent, &cost, &now) ||
        check_flow(priority, group) < 0 || pulse_slow_queue_items_time(now, &now_ns) < 0 ||
        pulse_slow_queue_items_number(cost, "cost_us", UINT32_MAX, self->default_cost_us, &cost_us) < 0) {
        return NULL;
    }
    // A critical item goes first, unless its account is at Yield. The caller passes `urgent` for that case.
    int is_urgent = Py_IsNone(urgent) ? priority == 0 : PyObject_IsTrue(urgent);
    if (is_urgent < 0) {
        return NULL;
    }
    PyObject *name = hold_name(self, group);
    pulse_slow_queue_entry *entry = name == NULL ? NULL : PyMem_Calloc(1, sizeof *entry);
    if (entry == NULL) {
        if (name != NULL) {
            pulse_slow_queue_items_release_name(self, (uintptr_t)name);
        }
        return PyErr_NoMemory();
    }
    entry->item = item;
    pulse_queue_request request = {
        .priority = (uint8_t)priority,
        .is_holder = is_holder,
        .is_urgent = is_urgent,
        .key = (uintptr_t)name,
        .cost_us = cost_us,
    };
    return PyBool_FromLong(enqueue_entry(self, entry, &request, now_ns));
}

static pulse_queue_node *
take_next(pulse_slow_queue *self, uint64_t now_ns)
{
    if (self->discipline == NULL) {
        return pulse_runqueue_next(self->queue, now_ns);
    }
    pulse_queue_node *node = pulse_runqueue_next_due(self->queue, now_ns);
    if (node != NULL || pulse_runqueue_statistics(self->queue)->size == 0) {
        return node;
    }
    pulse_flow *flow = pulse_python_discipline_choose(self, now_ns);
    // Without an answer, credit-based chooses, if the discipline has left anything to choose from.
    return flow != NULL ? pulse_runqueue_next_of(self->queue, flow, now_ns) : pulse_runqueue_next(self->queue, now_ns);
}

static pulse_queue_node *
take_any(pulse_slow_queue *self, uint64_t Py_UNUSED(now_ns))
{
    return pulse_runqueue_take_any(self->queue);
}

// New list of at most `most` items. Room in the list is made before an item is taken, so that no item is lost when memory
// runs out. The list is then shorter.
static PyObject *
take_items(pulse_slow_queue *self, pulse_queue_node *(*take)(pulse_slow_queue *, uint64_t), Py_ssize_t most,
           uint64_t now_ns)
{
    PyObject *items = PyList_New(0);
    while (items != NULL && PyList_GET_SIZE(items) < most) {
        Py_ssize_t place = PyList_GET_SIZE(items);
        if (PyList_Append(items, Py_None) < 0) {
            if (place > 0) {
                PyErr_Clear();
                return items;
            }
            Py_CLEAR(items);
            break;
        }
        pulse_queue_node *node = take(self, now_ns);
        if (node == NULL) {
            (void)PyList_SetSlice(items, place, place + 1, NULL);
            break;
        }
        (void)PyList_SetItem(items, place, pulse_slow_queue_items_take(node));
    }
    return items;
}

PyObject *
pulse_slow_queue_items_process_batch(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", "now_ns", NULL};
    Py_ssize_t most;
    PyObject *now = Py_None;
    uint64_t now_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n|$O:process_batch", names, &most, &now) ||
        pulse_slow_queue_items_time(now, &now_ns) < 0) {
        return NULL;
    }
    if (most < 0) {
        PyErr_Format(PyExc_ValueError, "n must be at least 0, got %zd", most);
        return NULL;
    }
    return take_items((pulse_slow_queue *)object, take_next, most, now_ns);
}

PyObject *
pulse_slow_queue_items_drain(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return take_items((pulse_slow_queue *)object, take_any, PY_SSIZE_T_MAX, 0);
}

PyObject *
pulse_slow_queue_items_charge(PyObject *object, PyObject *args)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    int priority;
    PyObject *group, *used;
    uint64_t used_us;
    if (!PyArg_ParseTuple(args, "(iO)O:charge", &priority, &group, &used) || check_flow(priority, group) < 0) {
        return NULL;
    }
    if (Py_IsNone(used)) {
        PyErr_SetString(PyExc_TypeError, "cpu_us must be a whole number of microseconds, got None");
        return NULL;
    }
    PyObject *name;
    if (pulse_slow_queue_items_number(used, "cpu_us", INT64_MAX, 0, &used_us) < 0 ||
        (name = hold_name(self, group)) == NULL) {
        return NULL;
    }
    pulse_runqueue_charge(self->queue, (uint8_t)priority, (uintptr_t)name, used_us);
    pulse_slow_queue_items_release_name(self, (uintptr_t)name);
    Py_RETURN_NONE;
}

typedef struct {
    const PyObject *item;
    pulse_queue_node *found;
} pulse_search;

static int
is_wanted(pulse_queue_node *node, void *context)
{
    pulse_search *search = context;
    if (((pulse_slow_queue_entry *)node)->item == search->item) {
        search->found = node;
    }
    return search->found != NULL;
}

// NULL without an exception if the item does not wait.
static pulse_queue_node *
find_item(const pulse_slow_queue *self, const PyObject *item)
{
    pulse_search search = {item, NULL};
    (void)pulse_runqueue_visit(self->queue, is_wanted, &search);
    return search.found;
}

PyObject *
pulse_slow_queue_items_remove(PyObject *object, PyObject *item)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    pulse_queue_node *node = find_item(self, item);
    if (node == NULL) {
        Py_RETURN_FALSE;
    }
    pulse_runqueue_remove(self->queue, node);
    Py_DECREF(pulse_slow_queue_items_take(node));
    Py_RETURN_TRUE;
}

PyObject *
pulse_slow_queue_items_promote(PyObject *object, PyObject *item)
{
    pulse_slow_queue *self = (pulse_slow_queue *)object;
    pulse_queue_node *node = find_item(self, item);
    if (node == NULL) {
        Py_RETURN_FALSE;
    }
    pulse_runqueue_promote(self->queue, node);
    Py_RETURN_TRUE;
}
