#include "types/governor_type.h"

#include "model/figures.h"
#include "model/governor.h"
#include "model/group_report.h"
#include "park/pump.h"
#include "park/waiting.h"
#include "poll/anew.h"
#include "poll/decisions.h"
#include "preempt/record.h"
#include "types/configure.h"
#include "types/factory.h"
#include "watch/heartbeat.h"
#include "watch/select_watch.h"
#include "watch/turns.h"

static PyObject *
governor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"worker_id", NULL};
    int worker_id;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i:Governor", names, &worker_id)) {
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)type->tp_alloc(type, 0);
    if (governor == NULL) {
        return NULL;
    }
    governor->worker_id = worker_id;
    governor->module = Py_NewRef(PyType_GetModule(type));
    governor->state = pulse_state_of_module(governor->module);
    governor->governed_since = pulse_clock_ticks();
    governor->cpu_sample_interval_ticks = pulse_clock_from_ns(200000);
    governor->slow_ticks = governor->stall_ticks = governor->target_ticks = UINT64_MAX;
    governor->max_tier = PULSE_TIERS - 1;
    for (int i = 0; i < PULSE_PRIORITIES; i++) {
        governor->alarm_ticks[i] = governor->budget_ticks[i] = UINT64_MAX;
        governor->operations[i] = UINT32_MAX;
    }
    if (pulse_groups_init(&governor->groups, governor->state) < 0) {
        Py_CLEAR(governor);
    }
    return (PyObject *)governor;
}

static void
governor_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    pulse_governor *governor = (pulse_governor *)self;
    pulse_turns_stop_watching(governor);
    Py_CLEAR(governor->hooks);
    pulse_decisions_forget(governor);
    pulse_waiting_free_pump(governor);
    pulse_record_forget(governor);
    pulse_groups_clear(&governor->groups);
    pulse_worst_clear(&governor->worst);
    pulse_worst_clear(&governor->stalls);
    PyObject *module = governor->module;
    type->tp_free(self);
    Py_DECREF(module);
    Py_DECREF(type);
}

static PyObject *
governor_slow_queue(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pulse_waiting_statistics((pulse_governor *)self);
}

static PyObject *
governor_explicit_group(PyObject *self, PyObject *name)
{
    PyObject *group = PyDict_GetItemWithError(((pulse_governor *)self)->groups.named_explicit, name);
    if (group == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(group != NULL ? group : Py_None);
}

static PyObject *
governor_explicit_group_names(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyDict_Keys(((pulse_governor *)self)->groups.named_explicit);
}

static PyObject *
governor_active_groups(PyObject *self, PyObject *argument)
{
    unsigned long long within_ns = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    pulse_group_table *table = &((pulse_governor *)self)->groups;
    return PyLong_FromSsize_t(pulse_groups_active(table, pulse_clock_from_ns(within_ns)));
}

static PyObject *
governor_task_factory(PyObject *self, PyObject *earlier)
{
    return pulse_factory_new((pulse_governor *)self, Py_IsNone(earlier) ? NULL : earlier);
}

static PyObject *
governor_detach(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    if (!(governor->flags & PULSE_GOVERNOR_DETACHED)) {
        pulse_decisions_tell(governor, NULL);
        pulse_decisions_forget(governor);
        pulse_pump_release_all(governor);
        governor->flags |= PULSE_GOVERNOR_DETACHED;
        governor->governed_until = pulse_clock_ticks();
        pulse_turns_stop_watching(governor);
        // The hooks refer to us and we to them, a cycle that the collector does not see.
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_HOOKED;
        Py_CLEAR(governor->hooks);
    }
    Py_RETURN_NONE;
}

static PyObject *
governor_tell_due(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    // Decisions run in the loop's thread.
    if (governor->python_thread_id == PyThreadState_GetID(PyThreadState_Get())) {
        pulse_decisions_tell(governor, NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *
governor_set_hooks(PyObject *self, PyObject *hooks)
{
    pulse_governor *governor = (pulse_governor *)self;
    if (Py_IsNone(hooks) || governor->flags & PULSE_GOVERNOR_DETACHED) {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_HOOKED;
        Py_CLEAR(governor->hooks);
    }
    else {
        Py_XSETREF(governor->hooks, Py_NewRef(hooks));
        governor->flags |= PULSE_GOVERNOR_HOOKED;
    }
    Py_RETURN_NONE;
}

static PyObject *
governor_resume_watchdog(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((pulse_governor *)self)->flags |= PULSE_GOVERNOR_WATCHDOG_DUE;
    Py_RETURN_NONE;
}

// Begin to watch the turns of a loop: the part that all ways of watching share.
static int
start_watching(pulse_governor *governor, PyObject *loop)
{
    PyObject *reference = PyWeakref_NewRef(loop, NULL);
    if (reference == NULL) {
        return -1;
    }
    pulse_turns_stop_watching(governor);
    governor->turns = pulse_turns_new(governor->state, governor);
    if (governor->turns == NULL) {
        Py_DECREF(reference);
        return -1;
    }
    governor->loop_reference = reference;
    atomic_store(&governor->turns->stall_after_ticks, governor->stall_ticks);
    return 0;
}

static PyObject *
governor_watch_select(PyObject *self, PyObject *args)
{
    PyObject *loop, *selector;
    if (!PyArg_ParseTuple(args, "OO:watch_select", &loop, &selector)) {
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)self;
    return start_watching(governor, loop) < 0 ? NULL : pulse_select_watch_select(governor, selector);
}

static PyObject *
governor_watch_epoll(PyObject *self, PyObject *args)
{
    PyObject *loop, *epoll;
    if (!PyArg_ParseTuple(args, "OO:watch_epoll", &loop, &epoll)) {
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)self;
    return start_watching(governor, loop) < 0 ? NULL : pulse_select_watch_epoll(governor, epoll);
}

static PyObject *
governor_heartbeat(PyObject *self, PyObject *args)
{
    PyObject *loop, *capsule;
    unsigned long long period_us;
    const char *library;
    if (!PyArg_ParseTuple(args, "OKzO:heartbeat", &loop, &period_us, &library, &capsule)) {
        return NULL;
    }
    void *libuv_loop = NULL;
    if (!Py_IsNone(capsule)) {
        libuv_loop = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
        if (libuv_loop == NULL) {
            return NULL;
        }
    }
    pulse_governor *governor = (pulse_governor *)self;
    if (start_watching(governor, loop) < 0) {
        return NULL;
    }
    return pulse_heartbeat_new(governor, loop, period_us, library, libuv_loop);
}

static PyObject *
governor_turns(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    const pulse_turn_record *record = &governor->turn_record;
    PyObject *dict = PyDict_New();
    uint64_t since = pulse_counter_read(&record->watched_since), until = pulse_counter_read(&record->watched_until);
    if (dict == NULL || since == 0) {
        return dict;
    }
    uint64_t busy = pulse_counter_read(&record->busy_ticks) +
                    (governor->turns == NULL ? 0 : pulse_counter_read(&governor->turns->busy_ticks));
    uint64_t watched = (until != 0 ? until : pulse_clock_ticks()) - since;
    uint64_t count;
    PyObject *lag = pulse_figures_histogram(&record->lag, &count);
    if (lag == NULL || PyDict_SetItemString(dict, "lag", lag) < 0 ||
        pulse_figures_set_number(dict, "turns", pulse_counter_read(&record->turns)) < 0 ||
        pulse_figures_set_number(dict, "busy_ns", pulse_clock_to_ns(busy)) < 0 ||
        pulse_figures_set_number(dict, "max_lag_ns", pulse_clock_to_ns(pulse_counter_read(&record->longest_lag))) < 0 ||
        pulse_figures_set_number(dict, "watched_ns", pulse_clock_to_ns(watched)) < 0 ||
        pulse_figures_set_number(dict, "late_ns", pulse_clock_to_ns(pulse_counter_read(&record->late_ticks))) < 0 ||
        pulse_figures_set_number(dict, "target_ns", pulse_clock_to_ns(governor->target_ticks)) < 0) {
        Py_CLEAR(dict);
    }
    Py_XDECREF(lag);
    return dict;
}

// The stall that still lasts, if it was captured, and the stalls that are over.
static PyObject *
governor_stalls(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    PyObject *list = pulse_worst_stalls(&governor->stalls);
    if (list != NULL && governor->turns != NULL && governor->turns->pending.stack != NULL) {
        pulse_worst_entry lasting = pulse_worst_copy(&governor->turns->pending);
        lasting.count = 1;
        lasting.wall_ticks = lasting.total_ticks = pulse_clock_ticks() - atomic_load(&governor->turns->captured);
        PyObject *dict = pulse_worst_stall_to_dict(&lasting);
        pulse_worst_entry_clear(&lasting);
        if (dict == NULL || PyList_Append(list, dict) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(dict);
    }
    return list;
}

static PyObject *
governor_counters(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    pulse_governor *governor = (pulse_governor *)self;
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }
    uint64_t until = governor->governed_until != 0 ? governor->governed_until : pulse_clock_ticks();
    uint64_t uptime = until - governor->governed_since;
    uint64_t cpu_samples = governor->thread != NULL ? governor->thread->cpu_samples : 0;
    if (pulse_figures_set_totals(&governor->totals, dict) < 0 ||
        pulse_figures_set_number(dict, "polls", pulse_counter_read(&governor->polls)) < 0 ||
        pulse_figures_set_number(dict, "voluntary_yields", pulse_counter_read(&governor->voluntary_yields)) < 0 ||
        pulse_figures_set_number(dict, "tasks", pulse_counter_read(&governor->tasks)) < 0 ||
        pulse_figures_set_number(dict, "tasks_alive", pulse_counter_read(&governor->alive)) < 0 ||
        pulse_figures_set_number(dict, "groups", (uint64_t)pulse_groups_count(&governor->groups)) < 0 ||
        pulse_figures_set_number(dict, "uptime_ns", pulse_clock_to_ns(uptime)) < 0 ||
        pulse_figures_set_number(dict, "cpu_samples", cpu_samples) < 0 ||
        pulse_figures_set_number(dict, "would_park", pulse_counter_read(&governor->would_park)) < 0 ||
        pulse_figures_set_number(dict, "special_polls", pulse_counter_read(&governor->special_polls)) < 0 ||
        pulse_figures_set_number(dict, "preemptions", pulse_counter_read(&governor->preemption.preemptions)) < 0 ||
        pulse_figures_set_number(dict, "would_preempt", pulse_counter_read(&governor->preemption.would_preempt)) < 0 ||
        pulse_figures_set_number(dict, "internal_errors", pulse_counter_read(&governor->state->internal_errors)) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
governor_groups(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pulse_group_report_of(&((pulse_governor *)self)->groups);
}

static PyObject *
governor_worst_polls(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pulse_worst_polls(&((pulse_governor *)self)->worst);
}

static PyObject *
get_worker_id(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((pulse_governor *)self)->worker_id);
}

static PyObject *
get_attached(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!(((pulse_governor *)self)->flags & PULSE_GOVERNOR_DETACHED));
}

static PyMethodDef governor_methods[] = {
    {"configure", (PyCFunction)(void (*)(void))pulse_configure_governor, METH_VARARGS | METH_KEYWORDS,
     "Set the numbers that polls are judged by; in force from each task's next poll."},
    {"configure_tiers", (PyCFunction)(void (*)(void))pulse_configure_tiers, METH_VARARGS | METH_KEYWORDS,
     "Set who decides about tiers, and what they are told; in force from each task's next poll."},
    {"configure_slow_queue", (PyCFunction)(void (*)(void))pulse_configure_slow_queue, METH_VARARGS | METH_KEYWORDS,
     "Set how offenders wait; what waits already stays."},
    {"set_chaos", pulse_configure_chaos, METH_VARARGS,
     "Intervene at random from now on: set_chaos(seed, probability to park, to preempt); 0 and 0 end it."},
    {"slow_queue", governor_slow_queue, METH_NOARGS, "What waits, what was served, and how long it waited."},
    {"explicit_group", governor_explicit_group, METH_O, "The explicit group of that name, or None."},
    {"explicit_group_names", governor_explicit_group_names, METH_NOARGS, "Names of the explicit groups."},
    {"active_groups", governor_active_groups, METH_O,
     "How many explicit groups have a task alive or had one begin within so many ns."},
    {"task_factory", governor_task_factory, METH_O, "A task factory that governs, chained to an earlier one or None."},
    {"detach", governor_detach, METH_NOARGS, "Measure no further poll; governed coroutines become transparent."},
    {"start_anew", pulse_anew_start, METH_NOARGS,
     "Count from zero again. Only for a forked child: no other thread may be running the loop."},
    {"set_hooks", governor_set_hooks, METH_O,
     "Have before_poll, after_poll, on_yield and on_completion of an object called round each poll; None for no "
     "hooks."},
    {"tell_due", governor_tell_due, METH_NOARGS, "Tell the decisions of the bad polls that they do not know of yet."},
    {"resume_watchdog", governor_resume_watchdog, METH_NOARGS, "Start the watchdog again with the next poll."},
    {"watch_select", governor_watch_select, METH_VARARGS,
     "Watch the turns of a loop; what to put in the place of its selector's select method."},
    {"watch_epoll", governor_watch_epoll, METH_VARARGS,
     "Watch the turns of a loop; what to put in the place of the epoll object that its selector waits with."},
    {"heartbeat", governor_heartbeat, METH_VARARGS, "Watch the turns of a loop; what to have it call, once."},
    {"turns", governor_turns, METH_NOARGS, "Turns, busy time and lag of the loop; empty if it is not watched."},
    {"stalls", governor_stalls, METH_NOARGS, "The longest stall of each class at each place, unordered."},
    {"counters", governor_counters, METH_NOARGS, "Totals of the loop, times in ns."},
    {"groups", governor_groups, METH_NOARGS, "All groups and their counters, most wall time first."},
    {"worst_polls", governor_worst_polls, METH_NOARGS, "The longest poll at each place, unordered."},
    {"configure_preemption", (PyCFunction)(void (*)(void))pulse_record_configure, METH_VARARGS | METH_KEYWORDS,
     "Say how far tasks at Yield may be preempted, and in which packages."},
    {"preemption_record", pulse_record_show, METH_NOARGS, "What came of preemption."},
    {NULL},
};

static PyObject *
get_late_ns(PyObject *self, void *Py_UNUSED(closure))
{
    pulse_governor *governor = (pulse_governor *)self;
    if (governor->turns == NULL) {
        Py_RETURN_NONE;
    }
    uint64_t late = pulse_counter_read(&governor->turn_record.late_ticks);
    return PyLong_FromUnsignedLongLong(pulse_clock_to_ns(late));
}

static PyGetSetDef governor_getset[] = {
    {"worker_id", get_worker_id, NULL, "Number of the worker.", NULL},
    {"late_ns", get_late_ns, NULL,
     "Time beyond the latency target since the loop is watched; None if it is not watched.", NULL},
    {"attached", get_attached, NULL, "Whether polls are measured.", NULL},
    {NULL},
};

// clang-format off
static PyType_Slot governor_slots[] = {
    {Py_tp_doc, "Measures one loop."},
    {Py_tp_new, governor_new},
    {Py_tp_dealloc, governor_dealloc},
    {Py_tp_methods, governor_methods},
    {Py_tp_getset, governor_getset},
    {0, NULL},
};
// clang-format on

// Not tracked by the collector: a governor holds text and numbers, and decisions, hooks and parked tasks, which `detach` drops.
PyType_Spec pulse_governor_type_spec = {
    .name = "asyncio_pulse._core.Governor",
    .basicsize = sizeof(pulse_governor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = governor_slots,
};
