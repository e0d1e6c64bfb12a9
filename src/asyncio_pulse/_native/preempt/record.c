// The results of preemption, by governor, and how far it may go there.
#include "preempt/record.h"

#include "model/aim.h"
#include "model/figures.h"
#include "preempt/consent.h"

enum {
    // Places where a request was put off; more than anyone reads.
    MOST_PLACES = 256,
    // A poll is a forced yield if it was suspended at most this long after its deadline. For a longer budget, at most as long
    // as the budget.
    GRACE_US = 1000,
};

// New reference, or NULL with an exception.
static PyObject *
key_of_place(pulse_rule rule, const pulse_frame *where)
{
    int line = PyCode_Addr2Line(where->code, where->position * 2);
    return Py_BuildValue("(sOOi)", pulse_rule_name(rule), where->code->co_qualname, where->code->co_filename, line);
}

bool
pulse_record_knows_place(const pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where)
{
    if (where->code == NULL || preemption->places == NULL) {
        return false;
    }
    PyObject *places = Py_NewRef(preemption->places), *key = key_of_place(rule, where);
    bool answer = key != NULL && PyDict_Contains(places, key) == 1;
    Py_XDECREF(key);
    Py_DECREF(places);
    PyErr_Clear();
    return answer;
}

void
pulse_record_note_place(pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where)
{
    if (where->code == NULL) {
        return;
    }
    if (preemption->places == NULL) {
        preemption->places = PyDict_New();
    }
    // Held: the collector may run here, and then another thread, which may restart all counting.
    PyObject *places = Py_XNewRef(preemption->places);
    PyObject *key = places == NULL ? NULL : key_of_place(rule, where);
    PyObject *known = key == NULL ? NULL : PyDict_GetItemWithError(places, key);
    if (known != NULL || (key != NULL && PyDict_GET_SIZE(places) < MOST_PLACES)) {
        PyObject *count = PyLong_FromLong(known == NULL ? 1 : PyLong_AsLong(known) + 1);
        if (count != NULL) {
            PyDict_SetItem(places, key, count);
            Py_DECREF(count);
        }
    }
    Py_XDECREF(places);
    Py_XDECREF(key);
    PyErr_Clear();
}

uint64_t
pulse_record_alarm(const pulse_governed *governed)
{
    uint64_t budget = pulse_governed_budget(governed), grace = pulse_clock_from_ns(GRACE_US * 1000);
    return budget + (budget > grace ? budget : grace);
}

void
pulse_record_count(pulse_governed *governed, uint64_t own, bool is_forced)
{
    pulse_preemption *preemption = &governed->governor->preemption;
    bool is_held_to_budget = pulse_consent_mode(governed) > PULSE_PREEMPT_WAITS;
    uint64_t limit = is_held_to_budget ? pulse_governed_budget(governed) : atomic_load(&pulse_the_aim.step_ticks);
    if (governed->preempt_mode & PULSE_PREEMPT_OBSERVED && own > limit) {
        pulse_counter_add(&preemption->would_preempt, 1);
    }
    if (is_forced) {
        pulse_counter_add(&governed->totals.forced_yields, 1);
        pulse_counter_add(&governed->governor->totals.forced_yields, 1);
        pulse_counter_add(&governed->group->totals.forced_yields, 1);
    }
}

PyObject *
pulse_record_configure(PyObject *self, PyObject *arguments, PyObject *kwargs)
{
    static char *names[] = {"mode", "modules", "through_iteration", "off_without_group", "step_us", NULL};
    int mode, through_iteration, off_without_group;
    unsigned long long step_us;
    PyObject *modules;
    if (!PyArg_ParseTupleAndKeywords(arguments, kwargs, "$iOppK:configure_preemption", names, &mode, &modules,
                                     &through_iteration, &off_without_group, &step_us)) {
        return NULL;
    }
    if (mode < PULSE_PREEMPT_OFF || mode > PULSE_PREEMPT_ANYWHERE) {
        PyErr_Format(PyExc_ValueError, "a mode of preemption is 0 to 3, got %d", mode);
        return NULL;
    }
    if (!Py_IsNone(modules) && !PyFrozenSet_CheckExact(modules)) {
        PyErr_Format(PyExc_TypeError, "modules must be a frozenset or None, got %R", modules);
        return NULL;
    }
    pulse_preemption *preemption = &((pulse_governor *)self)->preemption;
    preemption->mode = (uint8_t)mode;
    // One for the process, because signals are. Loops with other numbers have them in common.
    atomic_store(&pulse_the_aim.step_ticks, pulse_clock_from_ns(step_us * 1000));
    pulse_aim_wake();
    preemption->through_iteration = through_iteration;
    preemption->off_without_group = off_without_group;
    Py_XSETREF(preemption->modules, Py_IsNone(modules) ? NULL : Py_NewRef(modules));
    Py_RETURN_NONE;
}

PyObject *
pulse_record_show(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const pulse_preemption *preemption = &((pulse_governor *)self)->preemption;
    PyObject *record = PyDict_New(), *refused = PyDict_New(), *delay = NULL;
    uint64_t count;
    for (int rule = 0; refused != NULL && rule < PULSE_RULES; rule++) {
        if (pulse_figures_set_number(refused, pulse_rule_name((pulse_rule)rule),
                                     pulse_counter_read(&preemption->refused[rule])) < 0) {
            Py_CLEAR(refused);
        }
    }
    PyObject *places = preemption->places == NULL ? PyDict_New() : PyDict_Copy(preemption->places);
    if (record == NULL || refused == NULL || places == NULL ||
        (delay = pulse_figures_histogram(&preemption->delay, &count)) == NULL ||
        PyDict_SetItemString(record, "refused", refused) < 0 || PyDict_SetItemString(record, "delay", delay) < 0 ||
        PyDict_SetItemString(record, "places", places) < 0 ||
        pulse_figures_set_number(record, "preemptions", pulse_counter_read(&preemption->preemptions)) < 0 ||
        pulse_figures_set_number(record, "would_preempt", pulse_counter_read(&preemption->would_preempt)) < 0 ||
        pulse_figures_set_number(record, "gave_up", pulse_counter_read(&preemption->gave_up)) < 0) {
        Py_CLEAR(record);
    }
    Py_XDECREF(refused);
    Py_XDECREF(places);
    Py_XDECREF(delay);
    return record;
}

void
pulse_record_forget(pulse_governor *governor)
{
    Py_CLEAR(governor->preemption.modules);
    Py_CLEAR(governor->preemption.places);
}
