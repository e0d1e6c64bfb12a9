#include "pump.h"

#include <stddef.h>
#include <structmember.h>

#include "hooks.h"

enum {
    // Whatever a slice kept waiting has begun to run by the third turn after it: a timer's callback in the first, the task
    // that it wakes in the second.
    TURNS_BETWEEN_GRANTS = 3,
    // On asyncio one sees in the second whether anything was collected that is still to run.
    TURNS_BETWEEN_GRANTS_IDLE = 2,
    // As long as others have work in every turn they go first, but not for ever.
    MOST_TURNS_BETWEEN_GRANTS = 4,
};

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
} pulse_pump_token;

pulse_runqueue *
pulse_pump_queue(const pulse_pump *pump, const pulse_parking *parking)
{
    return parking->is_isolated ? pump->isolated : pump->queue;
}

static uint32_t
size_of(const pulse_runqueue *queue)
{
    return pulse_runqueue_statistics(queue)->size;
}

static void
hold_group(void *Py_UNUSED(context), uintptr_t key)
{
    Py_INCREF((PyObject *)key);
}

static void
release_group(void *Py_UNUSED(context), uintptr_t key)
{
    Py_DECREF((PyObject *)key);
}

static pulse_queue_settings
queue_settings(const pulse_pump_settings *settings)
{
    uint64_t quantum_us = pulse_clock_to_ns(settings->slice_ticks) / 1000;
    pulse_queue_settings own = {
        .algorithm = settings->algorithm,
        .max_size = settings->max_size,
        .seed = settings->seed,
        .starvation_threshold_ns = settings->starvation_threshold_ns,
        .hold_key = hold_group,
        .release_key = release_group,
    };
    for (unsigned i = 0; i < PULSE_QUEUE_PRIORITIES; i++) {
        // 4, 3, 2, 1 halves of a slice, so that a NORMAL flow gets one slice a round.
        uint64_t quantum = quantum_us * (PULSE_QUEUE_PRIORITIES - i) / 2;
        quantum = quantum < 1 ? 1 : quantum;
        own.quantum_us[i] = (uint32_t)(quantum < PULSE_QUEUE_LARGEST_QUANTUM_US ? quantum : PULSE_QUEUE_LARGEST_QUANTUM_US);
    }
    return own;
}

static pulse_runqueue *
new_queue(const pulse_queue_settings *settings)
{
    pulse_runqueue *queue = pulse_runqueue_new(settings);
    if (queue == NULL) {
        PyErr_NoMemory();
    }
    return queue;
}

static pulse_pump *
new_pump(const pulse_pump_settings *settings)
{
    pulse_pump *pump = PyMem_Calloc(1, sizeof *pump);
    if (pump == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    pulse_queue_settings own = queue_settings(settings);
    pump->queue = new_queue(&own);
    pump->isolated = pump->queue == NULL ? NULL : new_queue(&own);
    pump->context = pump->isolated == NULL ? NULL : PyContext_New();
    if (pump->context == NULL) {
        if (pump->isolated != NULL) {
            pulse_runqueue_free(pump->isolated);
        }
        if (pump->queue != NULL) {
            pulse_runqueue_free(pump->queue);
        }
        PyMem_Free(pump);
        return NULL;
    }
    pump->allowance_ticks = pump->cancel_allowance_ticks = (int64_t)settings->slice_ticks;
    return pump;
}

int
pulse_pump_configure(pulse_governor *governor, const pulse_pump_settings *settings)
{
    if (governor->pump == NULL) {
        governor->pump = new_pump(settings);
        if (governor->pump == NULL) {
            return -1;
        }
    }
    pulse_pump *pump = governor->pump;
    pulse_queue_settings own = queue_settings(settings);
    if (!pulse_runqueue_configure(pump->queue, &own) || !pulse_runqueue_configure(pump->isolated, &own)) {
        PyErr_NoMemory();
        return -1;
    }
    pump->slice_ticks = settings->slice_ticks;
    if (pump->allowance_ticks > (int64_t)pump->slice_ticks) {
        pump->allowance_ticks = (int64_t)pump->slice_ticks;
    }
    pump->isolated_share = settings->isolated_share;
    pump->breaker_ticks = settings->breaker_ticks;
    pump->starvation_ticks = pulse_clock_from_ns(settings->starvation_threshold_ns);
    return 0;
}

static void
note_wait(pulse_pump *pump, const pulse_parking *parking)
{
    pulse_group *group = parking->group;
    uint64_t waited = pulse_clock_ticks() - parking->parked_at;
    group->releases++;
    if (waited > pump->breaker_ticks) {
        group->late_releases++;
        if (group->late_releases * 100 > group->releases) {
            Py_XSETREF(pump->overdue, (pulse_group *)Py_NewRef((PyObject *)group));
            pump->overdue_ticks = waited;
        }
    }
}

// After a round of releases: Python code runs in here.
static void
tell_overdue(pulse_governor *governor)
{
    pulse_group *group = governor->pump->overdue;
    if (group == NULL) {
        return;
    }
    governor->pump->overdue = NULL;
    group->releases = group->late_releases = 0;
    if (governor->decisions != NULL) {
        PyObject *decisions = Py_NewRef(governor->decisions);
        unsigned long long waited_ms = pulse_clock_to_ns(governor->pump->overdue_ticks) / 1000000;
        pulse_hooks_settle(governor, PyObject_CallMethod(decisions, "trip_breaker", "OK", group->name, waited_ms));
        Py_DECREF(decisions);
    }
    Py_DECREF(group);
}

// Its future is done from now on, and the queue does not hold it any longer.
static void
release(pulse_governor *governor, pulse_queue_node *node)
{
    pulse_parking *parking = (pulse_parking *)node;
    pulse_governed *governed = parking->governed;
    parking->state = PULSE_RELEASED;
    note_wait(governor->pump, parking);
    PyObject *future = Py_NewRef(parking->future);
    PyObject *result = PyObject_CallMethodOneArg(future, governor->state->str_set_result, Py_None);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        // Done already: its task was cancelled, and is about to throw.
        PyErr_Clear();
    }
    else {
        pulse_hooks_settle(governor, result);
    }
    Py_DECREF(future);
    Py_DECREF((PyObject *)governed);
}

void
pulse_pump_lift(pulse_governor *governor, pulse_parking *parking)
{
    pulse_runqueue_remove(pulse_pump_queue(governor->pump, parking), &parking->node);
    pulse_counter_add(&governor->pump->lifted, 1);
    release(governor, &parking->node);
}

static uint64_t
expected_ticks(const pulse_pump *pump, const pulse_parking *parking)
{
    uint64_t known = parking->governed->group->slice_ticks;
    // Of whom nothing is known the worst is expected: it gets a turn of its own.
    return known != 0 ? known : pump->slice_ticks;
}

static void
release_until(pulse_governor *governor, pulse_runqueue *queue, int64_t *left_ticks)
{
    pulse_pump *pump = governor->pump;
    pulse_queue_node *node;
    while (*left_ticks > 0 && (node = pulse_runqueue_next(queue, pulse_clock_to_ns(pulse_clock_ticks()))) != NULL) {
        pulse_parking *parking = (pulse_parking *)node;
        parking->expected_ticks = expected_ticks(pump, parking);
        *left_ticks -= (int64_t)parking->expected_ticks;
        release(governor, node);
    }
}

// The isolated get their share of the time that goes by; all of it when nobody else wants it; and one slice when they have
// waited for the starvation threshold.
static void
grant_isolated(pulse_governor *governor, bool others_wait)
{
    pulse_pump *pump = governor->pump;
    uint64_t now = pulse_clock_ticks();
    int64_t credit = pump->isolated_credit_ticks;
    credit += (int64_t)((double)(now - pump->isolated_credited_at) * pump->isolated_share);
    // Saved up while nothing was isolated: one slice at most.
    pump->isolated_credit_ticks = credit < (int64_t)pump->slice_ticks ? credit : (int64_t)pump->slice_ticks;
    pump->isolated_credited_at = now;
    if (size_of(pump->isolated) == 0) {
        pump->isolated_served_at = now;
        return;
    }
    bool starves = now - pump->isolated_served_at > pump->starvation_ticks;
    if (pump->isolated_credit_ticks > 0 || !others_wait || starves) {
        int64_t one_slice = 1;
        int64_t before = one_slice;
        release_until(governor, pump->isolated, &one_slice);
        pump->isolated_credit_ticks -= before - one_slice;
        pump->isolated_served_at = now;
    }
}

static void
grant(pulse_governor *governor, bool is_quiet)
{
    pulse_pump *pump = governor->pump;
    bool others_wait = !is_quiet || size_of(pump->queue) > 0;
    pump->turns = 0;
    pump->allowance_ticks = (int64_t)pump->slice_ticks;
    grant_isolated(governor, others_wait);
    release_until(governor, pump->queue, &pump->allowance_ticks);
}

static bool
is_empty(const pulse_pump *pump)
{
    return size_of(pump->queue) == 0 && size_of(pump->isolated) == 0;
}

// Whether the loop, one of asyncio's, has nothing to run but us.
static bool
is_alone(const pulse_governor *governor)
{
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    PyObject *ready = loop == NULL ? NULL : PyObject_GetAttr(loop, governor->state->str_ready);
    Py_ssize_t count = ready == NULL ? -1 : PyObject_Size(ready);
    Py_XDECREF(ready);
    Py_XDECREF(loop);
    PyErr_Clear();
    return count == 0;
}

static bool
is_time_to_grant(const pulse_governor *governor, bool is_quiet)
{
    unsigned turns = governor->pump->turns;
    if (turns >= MOST_TURNS_BETWEEN_GRANTS || (turns >= TURNS_BETWEEN_GRANTS && is_quiet)) {
        return true;
    }
    return turns >= TURNS_BETWEEN_GRANTS_IDLE && is_quiet && is_alone(governor);
}

static void
run_pump(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    uint64_t polls = pulse_counter_read(&governor->polls) - pulse_counter_read(&pump->slices);
    bool is_quiet = polls == pump->polls_seen;
    pump->polls_seen = polls;
    pump->cancel_allowance_ticks = (int64_t)pump->slice_ticks;
    pump->turns++;
    if (is_time_to_grant(governor, is_quiet)) {
        grant(governor, is_quiet);
        tell_overdue(governor);
    }
}

// Twice, if a signal's handler that ran in the loop's method raised: what is parked must not wait for ever.
static void
rearm(pulse_governor *governor)
{
    PyObject *loop = PyObject_CallNoArgs(governor->state->get_running_loop);
    if (loop == NULL) {
        pulse_state_contain_error(governor->state);
        return;
    }
    for (int i = 0; i < 2 && pulse_pump_arm(governor, loop) < 0; i++) {
        pulse_hooks_settle(governor, NULL);
    }
    Py_DECREF(loop);
}

static PyObject *
token_call(PyObject *self, PyObject *const *Py_UNUSED(args), size_t nargsf, PyObject *Py_UNUSED(keywords))
{
    pulse_governor *governor = ((pulse_pump_token *)self)->governor;
    pulse_pump *pump = governor->pump;
    if (PyVectorcall_NARGS(nargsf) != 0) {
        PyErr_SetString(PyExc_TypeError, "the pump takes no arguments");
        return NULL;
    }
    if (pump->armed == self) {
        pump->armed = NULL;
    }
    if (governor->flags & PULSE_GOVERNOR_UNMEASURED || governor->observes) {
        pulse_pump_release_all(governor);
        Py_RETURN_NONE;
    }
    if (governor->turns != NULL) {
        // It is the pump that keeps the loop from waiting.
        atomic_store(&governor->turns->last_waited, pulse_clock_ticks());
    }
    run_pump(governor);
    if (is_empty(pump)) {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_PARKS;
    }
    // Also with nothing queued, until the allowance is whole again.
    if (!is_empty(pump) || pump->turns != 0) {
        rearm(governor);
    }
    Py_RETURN_NONE;
}

static PyObject *
new_token(pulse_governor *governor)
{
    PyTypeObject *type = governor->state->pump_token_type;
    pulse_pump_token *token = (pulse_pump_token *)type->tp_alloc(type, 0);
    if (token != NULL) {
        token->vectorcall = token_call;
        token->governor = (pulse_governor *)Py_NewRef(governor);
    }
    return (PyObject *)token;
}

// `method`: call_soon, or call_soon_threadsafe.
static int
schedule(pulse_governor *governor, PyObject *loop, PyObject *method)
{
    pulse_pump *pump = governor->pump;
    PyObject *token = new_token(governor);
    if (token == NULL) {
        return -1;
    }
    PyObject *stack[] = {loop, token, pump->context};
    pump->armed = token;
    PyObject *handle = PyObject_VectorcallMethod(method, stack, 2, governor->state->context_keyword);
    if (handle == NULL) {
        pump->armed = NULL;
    }
    // The loop's handle holds it alone: if that is dropped uncalled, the token tells us.
    Py_XDECREF(handle);
    Py_DECREF(token);
    return handle == NULL ? -1 : 0;
}

int
pulse_pump_arm(pulse_governor *governor, PyObject *loop)
{
    pulse_pump *pump = governor->pump;
    if (pump->armed != NULL) {
        return 0;
    }
    if (pump->turns == 0) {
        pump->isolated_credited_at = pump->isolated_credited_at == 0 ? pulse_clock_ticks() : pump->isolated_credited_at;
    }
    return schedule(governor, loop, governor->state->str_call_soon);
}

// The loop is gone, and nobody will run: let go.
static void
drop_all(pulse_pump *pump)
{
    pulse_queue_node *node;
    while ((node = pulse_runqueue_take_any(pump->queue)) != NULL ||
           (node = pulse_runqueue_take_any(pump->isolated)) != NULL) {
        pulse_governed *governed = ((pulse_parking *)node)->governed;
        pulse_park_abandon(governed);
        Py_DECREF((PyObject *)governed);
    }
}

static void
release_all_here(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    pulse_queue_node *node;
    while ((node = pulse_runqueue_take_any(pump->queue)) != NULL ||
           (node = pulse_runqueue_take_any(pump->isolated)) != NULL) {
        release(governor, node);
    }
    governor->flags &= ~(uint32_t)PULSE_GOVERNOR_PARKS;
    pump->turns = 0;
    pump->allowance_ticks = (int64_t)pump->slice_ticks;
}

void
pulse_pump_release_all(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    if (pump == NULL || is_empty(pump)) {
        return;
    }
    pulse_exception raised = pulse_exception_take();
    PyObject *running = PyObject_CallNoArgs(governor->state->get_running_loop);
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    PyErr_Clear();
    if (loop == NULL || Py_IsNone(loop) || loop == running) {
        release_all_here(governor);
    }
    // Otherwise the pump does it, in the loop's thread, and soon.
    else if (schedule(governor, loop, governor->state->str_call_soon_threadsafe) < 0) {
        PyErr_Clear();
        drop_all(pump);
    }
    Py_XDECREF(loop);
    Py_XDECREF(running);
    pulse_exception_put_back(raised);
}

void
pulse_pump_free(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    if (pump != NULL) {
        drop_all(pump);
        Py_CLEAR(pump->overdue);
        governor->pump = NULL;
        pulse_runqueue_free(pump->queue);
        pulse_runqueue_free(pump->isolated);
        Py_CLEAR(pump->context);
        PyMem_Free(pump);
    }
}

static void
token_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    pulse_governor *governor = ((pulse_pump_token *)self)->governor;
    if (governor->pump != NULL && governor->pump->armed == self) {
        // Dropped uncalled: the loop was closed.
        governor->pump->armed = NULL;
        pulse_exception raised = pulse_exception_take();
        drop_all(governor->pump);
        pulse_exception_put_back(raised);
    }
    Py_DECREF(governor);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef token_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(pulse_pump_token, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot token_slots[] = {
    {Py_tp_doc, "Calls the pump of a slow queue, once."},
    {Py_tp_dealloc, token_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, token_members},
    {0, NULL},
};

PyType_Spec pulse_pump_token_spec = {
    .name = "asyncio_pulse._core.PumpToken",
    .basicsize = sizeof(pulse_pump_token),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = token_slots,
};
