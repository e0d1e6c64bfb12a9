// What the pump tells of itself.
#include "park/pump.h"

static PyObject *
queue_statistics(const pulse_runqueue *queue)
{
    const pulse_queue_statistics *all = pulse_runqueue_statistics(queue);
    uint64_t counted;
    PyObject *waits = PyList_New(0);
    for (unsigned i = 0; waits != NULL && i < PULSE_HISTOGRAM_BUCKETS; i++) {
        counted = pulse_counter_read(&all->waits_us.counts[i]);
        if (counted == 0) {
            continue;
        }
        PyObject *pair = Py_BuildValue("(KK)", (unsigned long long)((pulse_histogram_upper(i) + 1) * 1000 - 1),
                                       (unsigned long long)counted);
        if (pair == NULL || PyList_Append(waits, pair) < 0) {
            Py_CLEAR(waits);
        }
        Py_XDECREF(pair);
    }
    if (waits == NULL) {
        return NULL;
    }
    return Py_BuildValue("{s(IIII)s(KKKK)sKsKsIsN}", "queued_by_priority", all->queued[0], all->queued[1], all->queued[2],
                         all->queued[3], "served_by_priority", (unsigned long long)all->served[0],
                         (unsigned long long)all->served[1], (unsigned long long)all->served[2],
                         (unsigned long long)all->served[3], "rescues", (unsigned long long)all->rescues, "overflows",
                         (unsigned long long)all->overflows, "high_water_mark", all->high_water_mark, "wait_histogram",
                         waits);
}

PyObject *
pulse_pump_statistics(const pulse_governor *governor)
{
    const pulse_pump *pump = governor->pump;
    if (pump == NULL) {
        return PyDict_New();
    }
    static const char *const names[] = {"queue", "isolated", "overlong_turns"};
    PyObject *all = Py_BuildValue("{sKsKsKsKsK}", "parked", (unsigned long long)pulse_counter_read(&pump->parked), "admitted",
                                  (unsigned long long)pulse_counter_read(&pump->admitted), "cancelled",
                                  (unsigned long long)pulse_counter_read(&pump->cancelled), "lifted",
                                  (unsigned long long)pulse_counter_read(&pump->lifted), "slices",
                                  (unsigned long long)pulse_counter_read(&pump->slices));
    for (int waits = 0; all != NULL && waits < PULSE_WAYS_TO_WAIT; waits++) {
        PyObject *queue = queue_statistics(pump->queues[waits]);
        if (queue == NULL || PyDict_SetItemString(all, names[waits], queue) < 0) {
            Py_CLEAR(all);
        }
        Py_XDECREF(queue);
    }
    PyObject *kept = pump->kept_waiting == NULL ? PyDict_New() : PyDict_Copy(pump->kept_waiting);
    if (all != NULL && (kept == NULL || PyDict_SetItemString(all, "kept_waiting", kept) < 0)) {
        Py_CLEAR(all);
    }
    Py_XDECREF(kept);
    return all;
}
