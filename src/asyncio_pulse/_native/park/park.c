#include "park/park.h"

#include "bytecode/throw.h"
#include "park/holders.h"
#include "park/pump.h"
#include "preempt/suspension.h"

static uint64_t
now_ns(void)
{
    return pulse_clock_to_ns(pulse_clock_ticks());
}

static pulse_parking *
parking_of(pulse_governed *governed)
{
    if (governed->parking == NULL) {
        governed->parking = PyMem_Calloc(1, sizeof *governed->parking);
        if (governed->parking != NULL) {
            governed->parking->governed = governed;
        }
    }
    return governed->parking;
}

// From here until the decision whether the coroutine waits, Python code may run. False if the coroutine cannot wait: memory
// ran out, it runs already, or such code has parked it meanwhile.
static bool
begin_deciding(pulse_governed *governed)
{
    pulse_parking *parking = parking_of(governed);
    if (parking == NULL || parking->is_deciding || parking->state != PULSE_UNPARKED) {
        return false;
    }
    parking->is_deciding = true;
    return true;
}

static bool
wants_parking(const pulse_governed *governed)
{
    const pulse_governor *governor = governed->governor;
    return governor->pump != NULL && !(governor->flags & PULSE_GOVERNOR_UNMEASURED) &&
           pulse_governed_tier(governed) >= PULSE_TIER_YIELD && !pulse_governed_is_observed(governed);
}

// Whether chaos parks it, whatever its tier.
static bool
is_struck(pulse_governor *governor)
{
    return governor->flags & PULSE_GOVERNOR_CHAOS && governor->pump != NULL &&
           !(governor->flags & PULSE_GOVERNOR_UNMEASURED) &&
           pulse_chaos_strikes(&governor->chaos, governor->chaos.park);
}

static pulse_way_to_wait
way_of(const pulse_governed *governed)
{
    return pulse_governed_tier(governed) > PULSE_TIER_YIELD ? PULSE_WAITS_ISOLATED : PULSE_WAITS_AS_OFFENDER;
}

// Whether others of its flow wait among the offenders.
static bool
is_flow_queued(const pulse_governed *governed, unsigned priority)
{
    const pulse_runqueue *queue = governed->governor->pump->queues[PULSE_WAITS_AS_OFFENDER];
    const pulse_flow *flow = pulse_runqueue_find_flow(queue, (uint8_t)priority, (uintptr_t)governed->group);
    return flow != NULL && flow->queued > 0;
}

// Whether it may run at once: some allowance is left, and nothing of its flow is queued.
static bool
is_admitted(const pulse_governed *governed, unsigned priority)
{
    const pulse_pump *pump = governed->governor->pump;
    if (governed->parking->waits == PULSE_WAITS_ISOLATED || pump->allowance_ticks <= 0) {
        return false;
    }
    return !is_flow_queued(governed, priority);
}

static void
join_flow(pulse_governed *governed, unsigned priority)
{
    pulse_parking *parking = governed->parking;
    PyObject *earlier = (PyObject *)parking->group;
    parking->group = (pulse_group *)Py_NewRef((PyObject *)governed->group);
    parking->node.priority = (uint8_t)priority;
    parking->node.key = (uintptr_t)parking->group;
    Py_XDECREF(earlier);
}

// Make a future as the loop's create_future does. asyncio's own create_future is Python code that calls the class, so here
// the class is called directly.
static PyObject *
make_future(const pulse_state *state, pulse_pump *pump, PyObject *loop)
{
    if (pump->future_type != NULL) {
        return PyObject_Vectorcall(pump->future_type, &loop, 0, state->loop_keyword);
    }
    PyObject *method = PyObject_GetAttr(loop, state->str_create_future);
    PyObject *future = method == NULL ? NULL : PyObject_CallNoArgs(method);
    if (future != NULL && PyMethod_Check(method) && PyMethod_GET_FUNCTION(method) == state->stock_create_future) {
        pump->future_type = Py_NewRef((PyObject *)Py_TYPE(future));
    }
    Py_XDECREF(method);
    return future;
}

static PyObject *
new_future(const pulse_state *state, pulse_pump *pump, PyObject *loop)
{
    PyObject *future = make_future(state, pump, loop);
    if (future != NULL && PyObject_SetAttr(future, state->str_future_blocking, Py_True) < 0) {
        Py_CLEAR(future);
    }
    return future;
}

static bool
enqueue(pulse_governed *governed, unsigned priority, bool is_urgent, bool is_holder)
{
    pulse_parking *parking = governed->parking;
    pulse_queue_request request = {
        .priority = (uint8_t)priority,
        .is_holder = is_holder,
        .is_urgent = is_urgent,
        .key = parking->node.key,
        .cost_us = pulse_clock_to_ns(governed->group->slice_ticks) / 1000,
    };
    parking->is_urgent = is_urgent;
    if (is_holder) {
        // A holder keeps others waiting, so it is not limited to the share of the isolated.
        parking->waits = PULSE_WAITS_AS_OFFENDER;
    }
    pulse_runqueue *queue = governed->governor->pump->queues[parking->waits];
    if (!pulse_runqueue_enqueue(queue, &parking->node, &request, now_ns())) {
        return false;
    }
    Py_INCREF((PyObject *)governed);
    return true;
}

// Runs between two calls that may run Python code. Afterwards the coroutine is in the queue with everything that releases
// it, or nothing has changed.
static bool
enter_queue(pulse_governed *governed, pulse_delivery *delivery, PyObject *future, unsigned priority, bool is_urgent,
            bool is_holder)
{
    pulse_governor *governor = governed->governor;
    pulse_parking *parking = governed->parking;
    // The governor may have been switched off meanwhile, or the loop closed. A closed loop has dropped the callable that
    // would release the task.
    bool can_wait =
        !(governor->flags & PULSE_GOVERNOR_UNMEASURED) && !governor->observes && governor->pump->armed != NULL;
    if (!can_wait || !enqueue(governed, priority, is_urgent, is_holder)) {
        return false;
    }
    parking->future = Py_NewRef(future);
    parking->value = delivery->value;
    parking->exception = delivery->exception;
    *delivery = (pulse_delivery){0};
    parking->parked_at = pulse_clock_ticks();
    parking->waited_ticks = 0;
    pulse_waiting_set_state(governed, PULSE_PARKED);
    governor->flags |= PULSE_GOVERNOR_PARKS;
    if (parking->waits != PULSE_WAITS_FOR_TURN) {
        pulse_counter_add(&governor->pump->parked, 1);
    }
    return true;
}

// Put the coroutine into the queue with what was delivered. Returns the future to wait for; NULL if the coroutine has to
// run.
//
// Everything that may run Python code comes first, because such code may do anything: release all tasks, uninstall, close
// the loop.
static PyObject *
put_aside(pulse_governed *governed, pulse_delivery *delivery, unsigned priority, bool is_urgent)
{
    pulse_governor *governor = governed->governor;
    bool is_holder = governed->parking->waits != PULSE_WAITS_FOR_TURN && pulse_holders_is_one(governor, governed->coro);
    PyObject *loop = PyObject_CallNoArgs(governor->state->get_running_loop);
    PyObject *future = loop == NULL || Py_IsNone(loop) ? NULL : new_future(governor->state, governor->pump, loop);
    bool is_armed = future != NULL && pulse_pump_arm(governor, loop) == 0;
    Py_XDECREF(loop);
    if (is_armed && enter_queue(governed, delivery, future, priority, is_urgent, is_holder)) {
        return future;
    }
    if (PyErr_Occurred()) {
        // The loop's methods are Python code, where a signal handler may run.
        pulse_state_settle(governor->state, NULL);
    }
    if (governor->pump->armed == NULL) {
        // No pump would release the tasks that were parked while the loop was asked.
        pulse_pump_release_all(governor);
    }
    Py_XDECREF(future);
    return NULL;
}

static bool
is_first_expected_long(const pulse_governed *governed)
{
    return pulse_counter_read(&governed->polls) == 0 && governed->group->long_firsts > 0;
}

// Whether a poll that begins now is a step of its own, may wait, and is expected to be long.
static bool
may_wait_for_turn(const pulse_governed *governed)
{
    const pulse_governor *governor = governed->governor;
    // A call, and the first step of an eager task, are parts of a step that has begun.
    bool is_step = !(governed->flags & PULSE_GOVERNED_CALL) && governor->thread->current == NULL;
    bool is_long = governed->flags & PULSE_GOVERNED_LONG || is_first_expected_long(governed);
    // Whoever may not even be warned of is only measured.
    bool is_left_alone = pulse_governed_is_observed(governed) || pulse_governed_cap(governed) == 0;
    return governor->turn_ticks > 0 && is_long && is_step && !is_left_alone &&
           governed->priority >= PULSE_PRIORITY_NORMAL;
}

// A non-offender waits for another turn if this one has lasted long enough. A new task joins those of its flow that were
// suspended: it would overtake them, and be suspended as they were.
static PyObject *
wait_for_turn(pulse_governed *governed, pulse_delivery *delivery)
{
    if (!may_wait_for_turn(governed)) {
        return NULL;
    }
    bool joins = is_first_expected_long(governed) && pulse_governed_cap(governed) >= PULSE_TIER_YIELD &&
                 is_flow_queued(governed, governed->priority);
    if ((!joins && !pulse_pump_turn_is_over(governed)) || !begin_deciding(governed)) {
        return NULL;
    }
    pulse_parking *parking = governed->parking;
    parking->expected_ticks = parking->waited_ticks = 0;
    if (joins) {
        parking->waits = PULSE_WAITS_AS_OFFENDER;
        join_flow(governed, governed->priority);
        return put_aside(governed, delivery, governed->priority, false);
    }
    parking->waits = PULSE_WAITS_FOR_TURN;
    // All of them wait in one flow.
    parking->node.key = 0;
    return put_aside(governed, delivery, PULSE_PRIORITY_NORMAL, false);
}

// A resumption of a coroutine that is not parked.
static PyObject *
park_or_admit(pulse_governed *governed, pulse_delivery *delivery)
{
    bool is_forced = is_struck(governed->governor);
    if (!is_forced && !wants_parking(governed)) {
        return wait_for_turn(governed, delivery);
    }
    if (!begin_deciding(governed)) {
        return NULL;
    }
    pulse_pump *pump = governed->governor->pump;
    pulse_parking *parking = governed->parking;
    unsigned priority = governed->priority;
    if (!is_forced && pulse_holders_is_waited_for(governed, &priority)) {
        pulse_counter_add(&pump->lifted, 1);
        return NULL;
    }
    parking->waits = way_of(governed);
    parking->is_urgent = false;
    parking->expected_ticks = parking->waited_ticks = 0;
    join_flow(governed, priority);
    if (is_forced || !is_admitted(governed, priority)) {
        bool is_urgent = priority == 0 && pulse_governed_own_tier(governed) < PULSE_TIER_YIELD;
        PyObject *future = put_aside(governed, delivery, priority, is_urgent);
        if (future != NULL) {
            return future;
        }
        // The queue is full, or this is no task of a running loop: it runs.
    }
    else {
        pulse_counter_add(&pump->admitted, 1);
    }
    pulse_waiting_set_state(governed, PULSE_IN_SLICE);
    return NULL;
}

static void
take_kept(pulse_parking *parking, pulse_delivery *delivery)
{
    bool was_woken = !pulse_suspension_is_now(parking->governed);
    pulse_delivery kept = {parking->value, parking->exception};
    parking->value = parking->exception = NULL;
    if (delivery->exception != NULL && was_woken && pulse_throw_is_repeated(delivery->exception)) {
        // The task had been woken already. The cancellation comes again when it waits for something else.
        Py_CLEAR(delivery->exception);
    }
    // The task was cancelled, before or after its future was done. asyncio drops what would have been delivered.
    pulse_delivery dropped = delivery->exception != NULL ? kept : *delivery;
    if (delivery->exception == NULL) {
        *delivery = kept;
    }
    Py_XDECREF(dropped.value);
    Py_XDECREF(dropped.exception);
}

// A parked coroutine is resumed, because it was released or cancelled.
static PyObject *
resume(pulse_governed *governed, pulse_delivery *delivery)
{
    pulse_parking *parking = governed->parking;
    pulse_pump *pump = governed->governor->pump;
    parking->is_deciding = true;
    bool was_queued = parking->node.is_queued, is_cancelled = delivery->exception != NULL;
    pulse_waiting_leave_queue(governed);
    pulse_waiting_set_state(governed, PULSE_UNPARKED);
    take_kept(parking, delivery);
    Py_CLEAR(parking->future);
    if (was_queued) {
        parking->expected_ticks = 0;
        pulse_counter_add(&pump->cancelled, 1);
        if (is_cancelled && wants_parking(governed) && pump->cancel_allowance_ticks <= 0) {
            // Cancelled tasks go before all others, but not all in one turn.
            PyObject *future = put_aside(governed, delivery, parking->node.priority, true);
            if (future != NULL) {
                return future;
            }
        }
    }
    pulse_waiting_set_state(governed, PULSE_IN_SLICE);
    return NULL;
}

bool
pulse_park(pulse_governed *governed, pulse_delivery *delivery, PyObject **future)
{
    if (governed->parking != NULL && governed->parking->is_deciding) {
        return false;
    }
    // Held here: once the coroutine has left the queue, only the task that resumes it may still hold it.
    Py_INCREF((PyObject *)governed);
    *future = governed->flags & PULSE_GOVERNED_PARKED ? resume(governed, delivery) : park_or_admit(governed, delivery);
    if (governed->parking != NULL) {
        governed->parking->is_deciding = false;
    }
    Py_DECREF((PyObject *)governed);
    return *future != NULL;
}

void
pulse_park_suspended(pulse_governed *governed, PyObject *awaited)
{
    pulse_governor *governor = governed->governor;
    pulse_state *state = governor->state;
    if (!PyObject_TypeCheck(awaited, (PyTypeObject *)state->task_type) ||
        pulse_governed_tier(governed) >= PULSE_TIER_YIELD) {
        return;
    }
    pulse_exception raised = pulse_exception_take();
    PyObject *coro = PyObject_CallMethodNoArgs(awaited, state->str_get_coro);
    if (coro != NULL && Py_IS_TYPE(coro, state->governed_type)) {
        pulse_governed *other = (pulse_governed *)coro;
        if (other->governor == governor && other->parking != NULL && other->parking->node.is_queued &&
            (other->parking->waits != PULSE_WAITS_FOR_TURN || governed->priority < PULSE_PRIORITY_NORMAL)) {
            pulse_waiting_lift(governor, other->parking);
        }
    }
    Py_XDECREF(coro);
    PyErr_Clear();
    pulse_exception_put_back(raised);
}

// Take a slice off what offenders, or the tasks at Isolate, may use. Its expected length is already off.
static void
take_off_allowance(pulse_pump *pump, const pulse_parking *parking, uint64_t own_ticks)
{
    int64_t unexpected = (int64_t)own_ticks - (int64_t)parking->expected_ticks;
    if (parking->waits == PULSE_WAITS_ISOLATED) {
        pump->isolated_credit_ticks -= unexpected;
    }
    else {
        pump->allowance_ticks -= unexpected;
        pump->cancel_allowance_ticks -= (int64_t)own_ticks;
    }
    pulse_counter_add(&pump->slices, 1);
}

static void
expect(pulse_group *group, uint64_t own_ticks)
{
    group->slice_ticks = group->slice_ticks == 0 ? own_ticks : (group->slice_ticks * 3 + own_ticks) / 4;
}

void
pulse_park_expect(pulse_governed *governed, uint64_t own_ticks)
{
    // The length of a slice is noted when it is charged.
    if (governed->parking == NULL || governed->parking->state != PULSE_IN_SLICE) {
        expect(governed->group, own_ticks);
    }
}

static void
charge_slice(pulse_governed *governed, uint64_t own_ticks)
{
    pulse_parking *parking = governed->parking;
    pulse_pump *pump = governed->governor->pump;
    pulse_waiting_charge(parking, own_ticks);
    if (parking->waits == PULSE_WAITS_FOR_TURN) {
        // A poll that waited for a turn is like any other poll.
        pump->turn_polls++;
    }
    else {
        take_off_allowance(pump, parking, own_ticks);
    }
    parking->expected_ticks = 0;
    expect(governed->group, own_ticks);
}

void
pulse_park_poll_ended(pulse_governed *governed, uint64_t own_ticks, bool preempted)
{
    if (governed->parking != NULL && governed->parking->state == PULSE_IN_SLICE) {
        pulse_waiting_set_state(governed, PULSE_UNPARKED);
        charge_slice(governed, own_ticks);
    }
    else if (preempted && governed->governor->pump != NULL && parking_of(governed) != NULL) {
        // It does not come from the queue but will enter it, so its flow pays for this poll, too.
        governed->parking->waits = PULSE_WAITS_AS_OFFENDER;
        governed->parking->is_urgent = false;
        join_flow(governed, governed->priority);
        charge_slice(governed, own_ticks);
    }
}

void
pulse_park_preempted(pulse_governed *governed, PyObject **result)
{
    pulse_governor *governor = governed->governor;
    if (governor->pump == NULL || governor->flags & PULSE_GOVERNOR_UNMEASURED || !begin_deciding(governed)) {
        return;
    }
    pulse_delivery nothing = {.value = Py_NewRef(Py_None)};
    governed->parking->waits = way_of(governed);
    join_flow(governed, governed->priority);
    PyObject *future = put_aside(governed, &nothing, governed->priority, false);
    governed->parking->is_deciding = false;
    if (future != NULL) {
        Py_SETREF(*result, future);
    }
    Py_XDECREF(nothing.value);
}

void
pulse_park_unmeasured(pulse_governed *governed)
{
    if (governed->parking != NULL && governed->parking->state == PULSE_IN_SLICE) {
        pulse_waiting_charge(governed->parking, 0);
        pulse_waiting_set_state(governed, PULSE_UNPARKED);
    }
}
