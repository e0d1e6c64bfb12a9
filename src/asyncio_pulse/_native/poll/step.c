// A resumption that is not plain. It may have to wait, may go on in the middle of its code, and may be reported to hooks and
// decisions.
#include "poll/step.h"

#include "base/recursion.h"
#include "park/kept_waiting.h"
#include "park/park.h"
#include "poll/decisions.h"
#include "poll/first_poll.h"
#include "poll/last_poll.h"
#include "poll/poll.h"
#include "preempt/request.h"
#include "preempt/suspension.h"
#include "watch/watchdog.h"

// The slot in which to measure a poll that is not plain; NULL if the poll is not measured.
static pulse_thread *
thread_to_measure_in(pulse_governed *governed)
{
    if (governed->flags & PULSE_GOVERNED_NEW) {
        pulse_first_poll_begin(governed);
    }
    if (governed->flags & (PULSE_GOVERNED_TRANSPARENT | PULSE_GOVERNED_BINDING) ||
        governed->governor->flags & PULSE_GOVERNOR_UNMEASURED) {
        return NULL;
    }
    pulse_governor *governor = governed->governor;
    if (governor->flags & PULSE_GOVERNOR_WATCHDOG_DUE) {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_WATCHDOG_DUE;
        if (pulse_watchdog_start(governor->state, governor->state->watchdog_interval_us) < 0) {
            pulse_state_contain_error(governor->state);
        }
    }
    pulse_thread *thread = pulse_governor_thread(governor);
    if (thread == NULL) {
        pulse_state_contain_error(governor->state);
    }
    return thread;
}

static PyObject *
throw_into(pulse_governed *governed, PyObject *exception)
{
    PyObject *stack[] = {governed->coro, exception};
    return PyObject_VectorcallMethod(pulse_state_of_module(governed->module)->str_throw, stack, 2, NULL);
}

// The slices to resume the coroutine on; NULL to resume it on the stack as it is.
static pulse_slices *
slices_for(const pulse_governed *governed, const pulse_poll *poll)
{
    const pulse_thread *thread = poll == NULL ? NULL : poll->thread;
    if (governed->suspension != NULL) {
        thread = pulse_thread_find(pulse_state_of_module(governed->module), false);
    }
    else if (!PyCoro_CheckExact(governed->coro) || governed->flags & PULSE_GOVERNED_MANUAL) {
        return NULL;
    }
    return thread == NULL ? NULL : thread->slices;
}

// An eager task begins inside another poll of its loop. Other polls of tasks that other polls enclose are steps of a loop that
// runs inside them.
static bool
is_called_by_loop(const pulse_governed *governed, const pulse_poll *poll)
{
    return !(governed->flags & PULSE_GOVERNED_CALL) &&
           (poll->outer == NULL || poll->outer->governor != governed->governor ||
            pulse_counter_read(&governed->polls) > 0);
}

static PySendResult
deliver_on_slice(pulse_governed *governed, pulse_slices *slices, pulse_poll *poll, const pulse_delivery *delivery,
                 PyObject **result)
{
    PyObject *value = delivery->value != NULL ? delivery->value : Py_None;
    bool suspended;
    if (poll == NULL) {
        return pulse_suspension_poll(governed, slices, false, value, delivery->exception, result, &suspended);
    }
    pulse_request enclosing = pulse_request_begin(governed, poll->thread);
    bool is_step = is_called_by_loop(governed, poll);
    PySendResult outcome =
        pulse_suspension_poll(governed, slices, is_step, value, delivery->exception, result, &suspended);
    pulse_request_end(&enclosing, suspended);
    poll->preempted = suspended;
    poll->thread->suspensions += suspended;
    return outcome;
}

// From here on, the code that runs in the thread is ours, or is not. Returns what held before. `thread` may be NULL.
static bool
now_runs_ours(pulse_thread *thread, bool is_ours)
{
    bool before = thread != NULL && thread->runs_ours;
    if (thread != NULL) {
        thread->runs_ours = is_ours;
    }
    return before;
}

// Resume the coroutine itself. `poll` is NULL if the poll is not measured.
static PySendResult
deliver(pulse_governed *governed, pulse_poll *poll, const pulse_delivery *delivery, PyObject **result)
{
    pulse_slices *slices = slices_for(governed, poll);
    if (slices != NULL || pulse_suspension_is_now(governed)) {
        return deliver_on_slice(governed, slices, poll, delivery, result);
    }
    if (delivery->exception == NULL) {
        return PyIter_Send(governed->coro, delivery->value, result);
    }
    *result = throw_into(governed, delivery->exception);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    return pulse_stop_iteration_take(result) ? PYGEN_RETURN : PYGEN_ERROR;
}

// The error "coroutine already executing" ends nothing. Only native coroutines are asked, because others might run Python
// code.
static bool
is_executing(PyObject *coro)
{
    if (!PyCoro_CheckExact(coro)) {
        return false;
    }
    pulse_exception raised = pulse_exception_take();
    PyObject *running = PyObject_GetAttrString(coro, "cr_running");
    bool is_running = running == Py_True;
    Py_XDECREF(running);
    pulse_exception_put_back(raised);
    return is_running;
}

static PySendResult
deliver_unmeasured(pulse_governed *governed, const pulse_delivery *delivery, PyObject **result)
{
    pulse_park_unmeasured(governed);
    PySendResult outcome = deliver(governed, NULL, delivery, result);
    // It may have been counted as alive, and may have set its group, while polls were still measured.
    if (outcome != PYGEN_NEXT && !is_executing(governed->coro)) {
        pulse_last_poll_finish(governed);
    }
    return outcome;
}

static PySendResult
deliver_measured(pulse_governed *governed, pulse_thread *thread, const pulse_delivery *delivery, PyObject **result)
{
    pulse_poll poll;
    pulse_poll_begin_special(&poll, thread, governed);
    Py_ssize_t ready_before = pulse_kept_waiting_begin(governed);
    now_runs_ours(thread, false);
    PySendResult outcome = deliver(governed, &poll, delivery, result);
    now_runs_ours(thread, true);
    pulse_kept_waiting_end(governed, ready_before);
    bool bare_yield = outcome == PYGEN_NEXT && Py_IsNone(*result) && !poll.preempted;
    pulse_poll_result ended = outcome == PYGEN_RETURN ? PULSE_POLL_READY : PULSE_POLL_FAILED;
    pulse_poll_end_special(&poll, governed, outcome == PYGEN_NEXT ? PULSE_POLL_PENDING : ended, bare_yield);
    if (poll.preempted) {
        pulse_park_preempted(governed, result);
    }
    else if (outcome == PYGEN_NEXT && governed->governor->flags & PULSE_GOVERNOR_PARKS) {
        pulse_park_suspended(governed, *result);
    }
    return outcome;
}

PULSE_NOINLINE PySendResult
pulse_step_suspended(pulse_governed *governed, pulse_poll *poll, PyObject **result)
{
    *result = Py_NewRef(Py_None);
    poll->preempted = true;
    poll->hooked = false;
    poll->suspensions = poll->thread->suspensions++;
    pulse_thread *thread = poll->thread;
    bool was_ours = now_runs_ours(thread, true);
    pulse_poll_end_special(poll, governed, PULSE_POLL_PENDING, false);
    pulse_park_preempted(governed, result);
    now_runs_ours(thread, was_ours);
    return PYGEN_NEXT;
}

PULSE_NOINLINE PySendResult
pulse_step_resume(pulse_governed *governed, pulse_delivery delivery, PyObject **result)
{
    pulse_thread *thread = thread_to_measure_in(governed);
    bool was_ours = now_runs_ours(thread, true);
    if (thread != NULL && governed->governor->flags & PULSE_GOVERNOR_DUE) {
        // Reports come first: a new tier decides whether the coroutine has to wait.
        pulse_decisions_tell(governed->governor, governed);
    }
    if ((thread != NULL || governed->flags & PULSE_GOVERNED_PARKED) && pulse_park(governed, &delivery, result)) {
        now_runs_ours(thread, was_ours);
        return PYGEN_NEXT;
    }
    PySendResult outcome;
    // The wrapper around a decorated function takes a level of recursion, and the poll one of C code. The function is to have
    // as many as without them.
    int levels = governed->flags & PULSE_GOVERNED_CALL ? 1 : 0;
    pulse_recursion_change(PyThreadState_Get(), -levels, -levels);
    if (thread == NULL) {
        outcome = deliver_unmeasured(governed, &delivery, result);
    }
    else {
        pulse_counter_add(&governed->governor->special_polls, 1);
        outcome = deliver_measured(governed, thread, &delivery, result);
    }
    pulse_recursion_change(PyThreadState_Get(), levels, levels);
    pulse_exception raised = pulse_exception_take();
    Py_XDECREF(delivery.value);
    Py_XDECREF(delivery.exception);
    pulse_exception_put_back(raised);
    now_runs_ours(thread, was_ours);
    return outcome;
}
