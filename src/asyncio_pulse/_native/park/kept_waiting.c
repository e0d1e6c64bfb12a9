#include "park/kept_waiting.h"

#include "base/text.h"
#include "park/holders.h"
#include "park/pump.h"

// A slice that wakes more tasks than this is a broadcast. The latest of them stand for all.
enum { MOST_WOKEN = 16, MOST_PAIRS = 64 };

Py_ssize_t
pulse_kept_waiting_begin(const pulse_governed *governed)
{
    const pulse_parking *parking = governed->parking;
    if (parking == NULL || parking->state != PULSE_IN_SLICE ||
        parking->waited_ticks <= governed->governor->slow_ticks) {
        return -1;
    }
    return pulse_pump_ready(governed->governor->pump);
}

// {(waiter, holder, group of the holder): (how often, longest wait in ns)}
static void
count_pair(pulse_governed *waiter, pulse_governed *holder)
{
    pulse_pump *pump = holder->governor->pump;
    if (pump->kept_waiting == NULL) {
        pump->kept_waiting = PyDict_New();
    }
    PyObject *name = holder->governor->state->str_qualname;
    PyObject *waiting = pulse_text_bounded(PyObject_GetAttr(waiter->coro, name));
    PyObject *holding = pulse_text_bounded(PyObject_GetAttr(holder->coro, name));
    PyObject *pair = waiting == NULL || holding == NULL || pump->kept_waiting == NULL
                         ? NULL
                         : PyTuple_Pack(3, waiting, holding, holder->group->name);
    // A name may be a foreign object whose hash is Python code.
    PyObject *known = pair == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(pump->kept_waiting, pair));
    unsigned long long count = 0, longest = 0, waited = pulse_clock_to_ns(holder->parking->waited_ticks);
    if (known == NULL || PyArg_ParseTuple(known, "KK", &count, &longest)) {
        PyObject *both = Py_BuildValue("(KK)", count + 1, waited > longest ? waited : longest);
        if (both != NULL && pair != NULL && (known != NULL || PyDict_GET_SIZE(pump->kept_waiting) < MOST_PAIRS)) {
            (void)PyDict_SetItem(pump->kept_waiting, pair, both);
        }
        Py_XDECREF(both);
    }
    Py_XDECREF(known);
    Py_XDECREF(pair);
    Py_XDECREF(waiting);
    Py_XDECREF(holding);
}

static void
look_at(PyObject *handle, pulse_governed *holder)
{
    pulse_state *state = holder->governor->state;
    PyObject *callback = handle == NULL ? NULL : PyObject_GetAttr(handle, state->str_callback);
    pulse_governed *waiter = callback == NULL ? NULL : pulse_holders_waiter_of(state, callback);
    if (waiter != NULL && waiter->governor == holder->governor && pulse_governed_tier(waiter) < PULSE_TIER_YIELD) {
        count_pair(waiter, holder);
    }
    Py_XDECREF((PyObject *)waiter);
    Py_XDECREF(callback);
    PyErr_Clear();
}

void
pulse_kept_waiting_end(pulse_governed *governed, Py_ssize_t ready_before)
{
    const pulse_pump *pump = governed->governor->pump;
    if (ready_before < 0 || governed->parking == NULL || pump->ready == NULL) {
        return;
    }
    pulse_exception raised = pulse_exception_take();
    PyObject *ready = Py_NewRef(pump->ready);
    Py_ssize_t length = pulse_pump_ready(pump);
    Py_ssize_t first = ready_before < length - MOST_WOKEN ? length - MOST_WOKEN : ready_before;
    for (Py_ssize_t i = first; i < length; i++) {
        PyObject *handle = PySequence_GetItem(ready, i);
        look_at(handle, governed);
        Py_XDECREF(handle);
    }
    Py_DECREF(ready);
    pulse_exception_put_back(raised);
}
