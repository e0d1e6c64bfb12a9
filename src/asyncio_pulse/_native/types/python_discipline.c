// Disciplines written in Python: what they see, what they may answer, and what happens to one that fails.
#include "types/python_discipline.h"

static PyStructSequence_Field flow_fields[] = {
    {"priority", "0 (critical) to 3 (low)."},
    {"group", "Name of its group; may be empty."},
    {"queued", "Items that wait."},
    {"served", "Slices it was given since it is known."},
    {"waited_ns", "Since it began to wait or had its last slice, nanoseconds; 0 when nothing waits."},
    {"deficit_us",
     "What it may still use in this round, CPU microseconds; negative: what it owes. 0 unless the algorithm "
     "is deficit round robin."},
    {NULL, NULL},
};

enum { PRIORITY_FIELD, GROUP_FIELD, QUEUED_FIELD, SERVED_FIELD, WAITED_FIELD, DEFICIT_FIELD, FLOW_FIELDS };

PyStructSequence_Desc pulse_python_discipline_flow = {
    .name = "asyncio_pulse._core.Flow",
    .doc = "What waits at one priority for one group, at one moment.",
    .fields = flow_fields,
    .n_in_sequence = FLOW_FIELDS,
};

static PyObject *
flow_show(PyTypeObject *type, const pulse_flow *known, uint64_t now_ns)
{
    // An allocation here may run the collector, and a finaliser may use the queue. The flow may be gone afterwards.
    pulse_flow copy = *known;
    const pulse_flow *flow = &copy;
    PyObject *group = Py_NewRef((PyObject *)flow->key), *shown = PyStructSequence_New(type);
    if (shown == NULL) {
        Py_DECREF(group);
        return NULL;
    }
    bool waits = flow->queued > 0 && now_ns > flow->waiting_since_ns;
    PyStructSequence_SetItem(shown, PRIORITY_FIELD, PyLong_FromLong(flow->priority));
    PyStructSequence_SetItem(shown, GROUP_FIELD, group);
    PyStructSequence_SetItem(shown, QUEUED_FIELD, PyLong_FromUnsignedLong(flow->queued));
    PyStructSequence_SetItem(shown, SERVED_FIELD, PyLong_FromUnsignedLongLong(flow->served));
    PyStructSequence_SetItem(shown, WAITED_FIELD,
                             PyLong_FromUnsignedLongLong(waits ? now_ns - flow->waiting_since_ns : 0));
    PyStructSequence_SetItem(shown, DEFICIT_FIELD, PyLong_FromLongLong(flow->deficit_us));
    if (PyErr_Occurred()) {
        Py_CLEAR(shown);
    }
    return shown;
}

PyObject *
pulse_python_discipline_flows(pulse_slow_queue *self, bool only_waiting, uint64_t now_ns)
{
    PyTypeObject *type = pulse_state_of_type(Py_TYPE(self))->flow_type;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < pulse_runqueue_flow_count(self->queue); i++) {
        const pulse_flow *flow = pulse_runqueue_flow(self->queue, i);
        if (flow == NULL || (only_waiting && flow->queued == 0)) {
            continue;
        }
        PyObject *shown = flow_show(type, flow, now_ns);
        if (shown == NULL || PyList_Append(list, shown) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(shown);
    }
    return list;
}

static pulse_flow *
find_waiting(const pulse_slow_queue *self, uint8_t priority, PyObject *group)
{
    PyObject *name = PyDict_GetItemWithError(self->groups, group);
    pulse_flow *flow = name == NULL ? NULL : pulse_runqueue_find_flow(self->queue, priority, (uintptr_t)name);
    return flow != NULL && flow->queued > 0 ? flow : NULL;
}

// The group of the flow that an answer names, as a new reference, and its priority. NULL without an exception if the answer
// names no flow in which something waits now.
static PyObject *
group_of(const pulse_slow_queue *self, PyObject *answer, uint8_t *priority_named)
{
    if (!Py_IS_TYPE(answer, pulse_state_of_type(Py_TYPE(self))->flow_type)) {
        return NULL;
    }
    PyObject *group = PyStructSequence_GetItem(answer, GROUP_FIELD);
    PyObject *priority_number = PyStructSequence_GetItem(answer, PRIORITY_FIELD);
    if (!PyUnicode_CheckExact(group) || !PyLong_CheckExact(priority_number)) {
        return NULL;
    }
    int overflow;
    long priority = PyLong_AsLongAndOverflow(priority_number, &overflow);
    if (overflow != 0 || priority < 0 || priority >= PULSE_QUEUE_PRIORITIES) {
        return NULL;
    }
    *priority_named = (uint8_t)priority;
    return Py_XNewRef(find_waiting(self, (uint8_t)priority, group) == NULL ? NULL : group);
}

// Log why a discipline is removed: because of an exception, or because of its answer.
static void
log_removal(pulse_state *state, PyObject *discipline, PyObject *exception, PyObject *answer)
{
    static const char raised[] = "choose of %r raised; it is removed, and credit-based takes over";
    static const char answered[] =
        "choose of %r returned %r, no flow that waits; it is removed, and credit-based takes over";
    PyObject *logging = PyImport_ImportModule("logging");
    PyObject *logger =
        logging == NULL ? NULL : PyObject_CallMethod(logging, "getLogger", "s", "asyncio_pulse.slow_queue");
    PyObject *log = logger == NULL ? NULL : PyObject_GetAttrString(logger, "error");
    PyObject *arguments = exception != NULL ? Py_BuildValue("(sO)", raised, discipline)
                                            : Py_BuildValue("(sOO)", answered, discipline, answer);
    PyObject *keywords = Py_BuildValue("{sO}", "exc_info", exception != NULL ? exception : Py_None);
    PyObject *done = NULL;
    if (log != NULL && arguments != NULL && keywords != NULL) {
        done = PyObject_Call(log, arguments, keywords);
    }
    if (done == NULL) {
        pulse_state_contain_error(state);
    }
    Py_XDECREF(done);
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(log);
    Py_XDECREF(logger);
    Py_XDECREF(logging);
}

static void
remove_discipline(pulse_slow_queue *self, PyObject *discipline, PyObject *answer)
{
    PyObject *exception = answer == NULL ? pulse_exception_take_object() : NULL;
    // The discipline may have put another one in its place.
    if (self->discipline == discipline) {
        Py_CLEAR(self->discipline);
        log_removal(pulse_state_of_type(Py_TYPE(self)), discipline, exception, answer);
    }
    Py_XDECREF(exception);
}

pulse_flow *
pulse_python_discipline_choose(pulse_slow_queue *self, uint64_t now_ns)
{
    PyObject *flows = pulse_python_discipline_flows(self, true, now_ns);
    if (flows == NULL) {
        // Memory ran out: not the discipline's fault.
        PyErr_Clear();
        return NULL;
    }
    PyObject *discipline = Py_NewRef(self->discipline);
    PyObject *answer = PyObject_CallMethod(discipline, "choose", "O", flows);
    uint8_t priority = 0;
    PyObject *group = answer == NULL ? NULL : group_of(self, answer, &priority);
    if (answer == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        // Not the discipline's fault: the interrupt is raised again, outside of our code.
        PyErr_Clear();
        PyErr_SetInterrupt();
    }
    else if (group == NULL) {
        remove_discipline(self, discipline, answer);
        // Other code that ran meanwhile, such as a destructor, may have raised, too.
        PyErr_Clear();
    }
    Py_XDECREF(answer);
    Py_DECREF(flows);
    Py_DECREF(discipline);
    // Looked up last: a finaliser of the discipline or of its answer may have emptied the queue.
    pulse_flow *flow = group == NULL ? NULL : find_waiting(self, priority, group);
    Py_XDECREF(group);
    return flow;
}
