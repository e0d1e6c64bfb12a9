#include "park/pump.h"

#include <stddef.h>
#include <structmember.h>

#include "park/holders.h"
#include "watch/turns.h"

enum {
    // Everything that a slice kept waiting has begun to run by the third turn after it: a timer's callback in the first
    // turn, the task that it wakes in the second.
    TURNS_BETWEEN_GRANTS = 3,
    // On asyncio the second turn shows whether the selector collected anything that is still to run.
    TURNS_BETWEEN_GRANTS_IDLE = 2,
    // While others have work in every turn, they go first, but not for ever.
    MOST_TURNS_BETWEEN_GRANTS = 4,
    // Where the selector is not seen, turns are told apart, at the cost of a callback each, while their polls take at least a
    // quarter of what a turn may last.
    TRACKED_PART = 4,
};

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
} pulse_pump_token;

static void
tell_of_releases_of(pulse_governor *governor, PyObject *decisions, pulse_group *group)
{
    unsigned long long releases = group->releases, late = group->late_releases;
    unsigned long long longest_ms = pulse_clock_to_ns(group->longest_wait_ticks) / 1000000;
    unsigned long long now_ns = pulse_clock_to_ns(pulse_clock_ticks());
    group->releases = group->late_releases = group->longest_wait_ticks = 0;
    PyObject *result =
        PyObject_CallMethod(decisions, "on_releases", "OKKKK", group->name, releases, late, longest_ms, now_ns);
    pulse_governor_settle_decisions(governor, result);
}

// Called after a round of releases. Runs Python code.
static void
tell_of_releases(pulse_governor *governor)
{
    PyObject *groups = governor->pump->released;
    governor->pump->released = NULL;
    for (Py_ssize_t i = 0; groups != NULL && i < PyList_GET_SIZE(groups) && governor->decisions != NULL; i++) {
        PyObject *decisions = Py_NewRef(governor->decisions);
        tell_of_releases_of(governor, decisions, (pulse_group *)PyList_GET_ITEM(groups, i));
        Py_DECREF(decisions);
    }
    Py_XDECREF(groups);
}

// The isolated tasks get their share of the time that passes. They get all of it when no other task wants it, and one slice
// when they have waited for the starvation threshold.
static void
grant_isolated(pulse_governor *governor, bool others_wait)
{
    pulse_pump *pump = governor->pump;
    uint64_t now = pulse_clock_ticks();
    int64_t credit = pump->isolated_credit_ticks;
    credit += (int64_t)((double)(now - pump->isolated_credited_at) * pump->isolated_share);
    // While nothing was isolated, at most one slice is saved up.
    pump->isolated_credit_ticks = credit < (int64_t)pump->slice_ticks ? credit : (int64_t)pump->slice_ticks;
    pump->isolated_credited_at = now;
    if (pulse_waiting_count(pump, PULSE_WAITS_ISOLATED) == 0) {
        pump->isolated_served_at = now;
        return;
    }
    bool starves = now - pump->isolated_served_at > pump->starvation_ticks;
    if (pump->isolated_credit_ticks > 0 || !others_wait || starves) {
        int64_t one_slice = 1;
        pump->isolated_credit_ticks -= one_slice - pulse_waiting_release(governor, PULSE_WAITS_ISOLATED, one_slice);
        pump->isolated_served_at = now;
    }
}

static void
grant(pulse_governor *governor, bool is_quiet)
{
    pulse_pump *pump = governor->pump;
    bool others_wait = !is_quiet || pulse_waiting_count(pump, PULSE_WAITS_AS_OFFENDER) > 0;
    pump->turns = 0;
    pump->allowance_ticks = (int64_t)pump->slice_ticks;
    pulse_waiting_release(governor, PULSE_WAITS_FOR_TURN,
                          governor->turn_ticks > 0 ? (int64_t)governor->turn_ticks : INT64_MAX);
    grant_isolated(governor, others_wait);
    pump->allowance_ticks = pulse_waiting_release(governor, PULSE_WAITS_AS_OFFENDER, pump->allowance_ticks);
}

// Called once a turn, because it takes longer than reading the queue's length, which happens at every slice.
static void
find_ready(pulse_governor *governor)
{
    PyObject *loop = PyObject_CallNoArgs(governor->state->get_running_loop);
    PyObject *ready = loop == NULL ? NULL : PyObject_GetAttr(loop, governor->state->str_ready);
    Py_XDECREF(loop);
    PyErr_Clear();
    Py_XSETREF(governor->pump->ready, ready);
}

Py_ssize_t
pulse_pump_ready(const pulse_pump *pump)
{
    // Held: the length of a foreign loop's queue may be computed by Python code, in which the pump may drop the queue.
    PyObject *ready = Py_XNewRef(pump->ready);
    Py_ssize_t count = ready == NULL ? -1 : PyObject_Size(ready);
    if (count < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(ready);
    return count;
}

static bool
is_time_to_grant(const pulse_governor *governor, bool is_quiet)
{
    unsigned turns = governor->pump->turns;
    if (turns >= MOST_TURNS_BETWEEN_GRANTS || (turns >= TURNS_BETWEEN_GRANTS && is_quiet)) {
        return true;
    }
    // Nothing is ready but the pump.
    return turns >= TURNS_BETWEEN_GRANTS_IDLE && is_quiet && pulse_pump_ready(governor->pump) == 0;
}

// Whether anything waits. Also true with nothing queued, until the allowance is whole again.
static bool
has_work(const pulse_pump *pump)
{
    bool is_whole = pump->turns == 0 && pump->allowance_ticks >= (int64_t)pump->slice_ticks;
    return !is_whole || !pulse_waiting_is_empty(pump);
}

static void
run_pump(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    uint64_t polls = pulse_counter_read(&governor->polls) - pulse_counter_read(&pump->slices) - pump->turn_polls;
    bool is_quiet = polls == pump->polls_seen;
    pump->polls_seen = polls;
    pump->cancel_allowance_ticks = (int64_t)pump->slice_ticks;
    pump->turns++;
    if (is_time_to_grant(governor, is_quiet)) {
        grant(governor, is_quiet);
        tell_of_releases(governor);
    }
}

// Have the running loop call the pump in its next turn. Leaves no exception.
//
// A second attempt follows if a signal handler that ran in the loop's method raised: what is parked must not wait for ever.
static void
arm_here(pulse_governor *governor)
{
    PyObject *loop = PyObject_CallNoArgs(governor->state->get_running_loop);
    if (loop == NULL) {
        pulse_state_contain_error(governor->state);
        return;
    }
    for (int i = 0; i < 2 && pulse_pump_arm(governor, loop) < 0; i++) {
        pulse_state_settle(governor->state, NULL);
    }
    Py_DECREF(loop);
}

// What the polls of this turn have used, ticks.
static uint64_t
used_in_turn(const pulse_governor *governor)
{
    return pulse_counter_read(&governor->totals.wall_ticks) - governor->pump->used_before_turn;
}

// Whether an urgent task waits for it, or an urgent call is inside it.
static bool
is_needed(pulse_governed *governed)
{
    unsigned priority = governed->priority;
    (void)pulse_holders_is_waited_for(governed, &priority);
    return priority < PULSE_PRIORITY_NORMAL || pulse_holders_has_urgent_call(governed);
}

// When this turn began, ticks; 0 if that is not seen.
static uint64_t
turn_began(const pulse_governor *governor)
{
    return governor->turns == NULL ? 0 : atomic_load_explicit(&governor->turns->busy_since, memory_order_relaxed);
}

// How long this turn has lasted, ticks. Where its beginning is not seen, only its polls count, from the pump's call on.
static uint64_t
turn_age(pulse_governor *governor)
{
    uint64_t began = turn_began(governor);
    if (began != 0) {
        return pulse_clock_ticks() - began;
    }
    if (governor->pump->armed != NULL) {
        return used_in_turn(governor);
    }
    if (used_in_turn(governor) * TRACKED_PART >= governor->turn_ticks) {
        // Let it begin now.
        arm_here(governor);
    }
    return 0;
}

// Whether a poll that begins now would mostly be beyond the end of an overlong turn.
static bool
is_overlong(pulse_governor *governor, uint64_t expected)
{
    uint64_t age = turn_age(governor), limit = governor->turn_ticks;
    return age > limit || (age > limit / 2 && age + expected / 2 > limit);
}

bool
pulse_pump_turn_is_over(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    bool others_wait = pulse_waiting_count(governor->pump, PULSE_WAITS_FOR_TURN) > 0;
    return (others_wait || is_overlong(governor, governed->group->slice_ticks)) && !is_needed(governed);
}

// A turn begins. Returns whether the beginning of the next one must be seen, too.
static bool
begin_turn(pulse_governor *governor)
{
    bool was_busy = governor->turn_ticks > 0 && turn_began(governor) == 0 &&
                    used_in_turn(governor) * TRACKED_PART >= governor->turn_ticks;
    governor->pump->used_before_turn = pulse_counter_read(&governor->totals.wall_ticks);
    return was_busy;
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
    bool is_tracked = begin_turn(governor);
    if (has_work(pump)) {
        if (governor->turns != NULL) {
            // The pump itself keeps the loop from waiting: this is not spinning.
            atomic_store(&governor->turns->last_waited, pulse_clock_ticks());
        }
        find_ready(governor);
        run_pump(governor);
    }
    if (pulse_waiting_is_empty(pump)) {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_PARKS;
    }
    if (is_tracked || has_work(pump)) {
        arm_here(governor);
    }
    else {
        Py_CLEAR(pump->ready);
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
    if (handle == NULL && pump->armed == token) {
        pump->armed = NULL;
    }
    // The loop's handle alone holds the token. If the handle is dropped uncalled, the token is deallocated and reports it.
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
    pump->used_before_turn = pulse_counter_read(&governor->totals.wall_ticks);
    return schedule(governor, loop, governor->state->str_call_soon);
}

static void
release_all_here(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    pulse_queue_node *node;
    while ((node = pulse_waiting_take_any(pump)) != NULL) {
        pulse_waiting_release_one(governor, node);
    }
    governor->flags &= ~(uint32_t)PULSE_GOVERNOR_PARKS;
    pump->turns = 0;
    Py_CLEAR(pump->ready);
    pump->allowance_ticks = (int64_t)pump->slice_ticks;
}

void
pulse_pump_release_all(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    if (pump == NULL || pulse_waiting_is_empty(pump)) {
        return;
    }
    pulse_exception raised = pulse_exception_take();
    PyObject *running = PyObject_CallNoArgs(governor->state->get_running_loop);
    PyObject *loop = governor->loop_reference == NULL ? NULL : PyObject_CallNoArgs(governor->loop_reference);
    PyErr_Clear();
    if (loop == NULL || Py_IsNone(loop) || loop == running) {
        release_all_here(governor);
    }
    // Otherwise the pump does this soon, in the loop's thread.
    else if (schedule(governor, loop, governor->state->str_call_soon_threadsafe) < 0) {
        PyErr_Clear();
        pulse_waiting_drop_all(pump);
    }
    Py_XDECREF(loop);
    Py_XDECREF(running);
    pulse_exception_put_back(raised);
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
        Py_CLEAR(governor->pump->ready);
        pulse_waiting_drop_all(governor->pump);
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
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = token_slots,
};
