#include "park/holders.h"

#include <string.h>

// A chain of awaiting coroutines is searched to the depth MOST_AWAITED.
enum { MOST_AWAITED = 16, MOST_CODES = 4096 };

void
pulse_holders_forget(pulse_state *state)
{
    memset(state->held_lately, 0, sizeof state->held_lately);
    if (state->held_regions != NULL) {
        PyDict_Clear(state->held_regions);
    }
}

// New reference; NULL on failure.
static PyObject *
find_regions(pulse_state *state, PyObject *code)
{
    PyObject *key = PyLong_FromVoidPtr(code);
    PyObject *known = key == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(state->held_regions, key));
    if (known == NULL && key != NULL && !PyErr_Occurred() && state->find_regions != NULL) {
        PyObject *finder = Py_NewRef(state->find_regions);
        PyObject *found = PyObject_CallOneArg(finder, code);
        Py_DECREF(finder);
        if (PyDict_GET_SIZE(state->held_regions) >= MOST_CODES) {
            pulse_holders_forget(state);
        }
        // The entry holds the code object, so that no other object ever has its address.
        known = found == NULL ? NULL : PyTuple_Pack(2, code, found);
        Py_XDECREF(found);
        if (known == NULL || PyDict_SetItem(state->held_regions, key, known) < 0) {
            Py_CLEAR(known);
        }
    }
    Py_XDECREF(key);
    PyObject *regions = known == NULL ? NULL : Py_NewRef(PyTuple_GET_ITEM(known, 1));
    Py_XDECREF(known);
    return regions;
}

// The regions of a code object: bytes, pairs of uint32, from and to, in the unit of f_lasti. New reference; NULL on
// failure.
static PyObject *
regions_of(pulse_state *state, PyObject *code)
{
    // Code objects are some hundred bytes long.
    size_t place = ((uintptr_t)code >> 7) % PULSE_HELD_LATELY;
    if (state->held_lately[place].code == code) {
        return Py_NewRef(state->held_lately[place].regions);
    }
    PyObject *regions = find_regions(state, code);
    if (regions != NULL) {
        state->held_lately[place].code = code;
        state->held_lately[place].regions = regions;
    }
    return regions;
}

static bool
is_inside(PyObject *regions, long offset)
{
    const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(regions);
    for (Py_ssize_t i = 0; i + 7 < PyBytes_GET_SIZE(regions); i += 8) {
        uint32_t from, to;
        memcpy(&from, bytes + i, 4);
        memcpy(&to, bytes + i + 4, 4);
        if (offset >= (long)from && offset < (long)to) {
            return true;
        }
    }
    return false;
}

static bool
holds_in_frame(pulse_state *state, PyObject *coro)
{
    PyObject *code = pulse_coroutine_code(coro, state->str_cr_code);
    PyObject *regions = code == NULL ? NULL : regions_of(state, code);
    Py_XDECREF(code);
    if (regions == NULL || !PyBytes_Check(regions) || PyBytes_GET_SIZE(regions) == 0) {
        // Most functions end here. They are spared the frame object, which would be created on request.
        Py_XDECREF(regions);
        return false;
    }
    PyObject *frame = PyObject_GetAttr(coro, state->str_cr_frame);
    bool answer = frame != NULL && PyFrame_Check(frame) && is_inside(regions, PyFrame_GetLasti((PyFrameObject *)frame));
    Py_XDECREF(frame);
    Py_DECREF(regions);
    return answer;
}

// The coroutine that `coro` awaits, or that a governed `coro` wraps; NULL at the end. Takes over a reference and returns
// one.
static PyObject *
next_awaited(pulse_state *state, PyObject *coro)
{
    PyObject *next = NULL;
    if (Py_IS_TYPE(coro, state->governed_type)) {
        next = Py_NewRef(((pulse_governed *)coro)->coro);
    }
    else if (PyCoro_CheckExact(coro)) {
        next = PyObject_GetAttr(coro, state->str_cr_await);
    }
    Py_DECREF(coro);
    return next;
}

bool
pulse_holders_is_one(pulse_governor *governor, PyObject *coro)
{
    pulse_state *state = governor->state;
    pulse_exception raised = pulse_exception_take();
    PyObject *each = Py_NewRef(coro);
    bool answer = false;
    for (int i = 0; i < MOST_AWAITED && each != NULL && !answer; i++) {
        answer = PyCoro_CheckExact(each) && holds_in_frame(state, each);
        each = next_awaited(state, each);
    }
    Py_XDECREF(each);
    if (PyErr_Occurred()) {
        // Code is analysed in Python, where a signal handler may run.
        pulse_state_settle(governor->state, NULL);
    }
    pulse_exception_put_back(raised);
    return answer;
}

bool
pulse_holders_has_urgent_call(pulse_governed *governed)
{
    pulse_state *state = governed->governor->state;
    pulse_exception raised = pulse_exception_take();
    PyObject *each = Py_NewRef(governed->coro);
    bool answer = false;
    for (int i = 0; i < MOST_AWAITED && each != NULL && !answer; i++) {
        bool is_call = Py_IS_TYPE(each, state->governed_type);
        answer = is_call && ((pulse_governed *)each)->priority < PULSE_PRIORITY_NORMAL;
        each = next_awaited(state, each);
    }
    Py_XDECREF(each);
    PyErr_Clear();
    pulse_exception_put_back(raised);
    return answer;
}

pulse_governed *
pulse_holders_waiter_of(pulse_state *state, PyObject *callback)
{
    // Test the type, not an attribute: most callbacks are of other types, and raising an error costs more than all the
    // rest.
    PyObject *owner = PyCFunction_Check(callback) ? PyCFunction_GET_SELF(callback)
                      : PyMethod_Check(callback)  ? PyMethod_GET_SELF(callback)
                                                  : NULL;
    if (owner == NULL || !PyObject_TypeCheck(owner, (PyTypeObject *)state->task_type)) {
        return NULL;
    }
    PyObject *coro = PyObject_CallMethodNoArgs(owner, state->str_get_coro);
    if (coro != NULL && !Py_IS_TYPE(coro, state->governed_type)) {
        Py_CLEAR(coro);
    }
    PyErr_Clear();
    return (pulse_governed *)coro;
}

bool
pulse_holders_is_waited_for(pulse_governed *governed, unsigned *priority)
{
    pulse_state *state = governed->governor->state;
    pulse_exception raised = pulse_exception_take();
    PyObject *task = pulse_current_task(state->current_task);
    PyObject *callbacks = task == NULL || Py_IsNone(task) ? NULL : PyObject_GetAttr(task, state->str_callbacks);
    bool answer = false;
    for (Py_ssize_t i = 0; callbacks != NULL && PyList_Check(callbacks) && i < PyList_GET_SIZE(callbacks); i++) {
        // For a task written in Python this is the list itself, which Python code may change.
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        pulse_governed *waiter = PyTuple_Check(entry) && PyTuple_GET_SIZE(entry) > 0
                                     ? pulse_holders_waiter_of(state, PyTuple_GET_ITEM(entry, 0))
                                     : NULL;
        if (waiter != NULL) {
            *priority = waiter->priority < *priority ? waiter->priority : *priority;
            answer |= pulse_governed_tier(waiter) < PULSE_TIER_YIELD;
            Py_DECREF((PyObject *)waiter);
        }
        Py_DECREF(entry);
    }
    Py_XDECREF(callbacks);
    Py_XDECREF(task);
    PyErr_Clear();
    pulse_exception_put_back(raised);
    return answer;
}
