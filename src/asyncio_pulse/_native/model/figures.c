#include "model/figures.h"

int
pulse_figures_set_number(PyObject *dict, const char *key, uint64_t value)
{
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    if (number == NULL) {
        return -1;
    }
    int result = PyDict_SetItemString(dict, key, number);
    Py_DECREF(number);
    return result;
}

int
pulse_figures_set_totals(const pulse_totals *totals, PyObject *dict)
{
    uint64_t wall = pulse_counter_read(&totals->wall_ticks);
    uint64_t off_cpu = pulse_counter_read(&totals->off_cpu_ticks);
    // The writer is not stopped, so the second counter may be ahead of the first.
    uint64_t cpu = wall > off_cpu ? wall - off_cpu : 0;
    if (pulse_figures_set_number(dict, "wall_time_ns", pulse_clock_to_ns(wall)) < 0 ||
        pulse_figures_set_number(dict, "cpu_time_ns", pulse_clock_to_ns(cpu)) < 0 ||
        pulse_figures_set_number(dict, "gc_time_ns", pulse_clock_to_ns(pulse_counter_read(&totals->gc_ticks))) < 0 ||
        pulse_figures_set_number(dict, "violations", pulse_counter_read(&totals->violations)) < 0 ||
        pulse_figures_set_number(dict, "slow_polls", pulse_counter_read(&totals->slow_polls)) < 0) {
        return -1;
    }
    return pulse_figures_set_number(dict, "forced_yields", pulse_counter_read(&totals->forced_yields));
}

PyObject *
pulse_figures_histogram(const pulse_histogram *histogram, uint64_t *counted)
{
    PyObject *list = PyList_New(0);
    *counted = 0;
    for (unsigned i = 0; list != NULL && i < PULSE_HISTOGRAM_BUCKETS; i++) {
        uint64_t count = pulse_counter_read(&histogram->counts[i]);
        if (count == 0) {
            continue;
        }
        *counted += count;
        PyObject *pair =
            Py_BuildValue("(KK)", (unsigned long long)pulse_figures_bound_ns(i), (unsigned long long)count);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}
