#include "model/governed.h"

#include "base/clock.h"

uint64_t
pulse_governed_budget(const pulse_governed *governed)
{
    if (governed->flags & PULSE_GOVERNED_BUDGET) {
        return pulse_clock_from_ns((uint64_t)((pulse_options *)governed->options)->budget_us * 1000);
    }
    return governed->governor->budget_ticks[governed->priority];
}

static void
refill(pulse_governed *governed)
{
    // On the first use in a poll, so that polls that spend nothing pay nothing.
    uint32_t poll = (uint32_t)pulse_counter_read(&governed->polls);
    if (governed->operations_poll != poll) {
        governed->operations_poll = poll;
        governed->operations_left = governed->governor->operations[governed->priority];
    }
}

uint32_t
pulse_governed_operations_left(pulse_governed *governed)
{
    refill(governed);
    return governed->operations_left;
}

bool
pulse_governed_spend(pulse_governed *governed, pulse_thread *thread, uint64_t cost)
{
    refill(governed);
    if (governed->operations_left <= cost) {
        governed->operations_left = 0;
        return true;
    }
    governed->operations_left -= (uint32_t)cost;
    uint64_t elapsed = pulse_clock_ticks() - atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    return elapsed > pulse_governed_budget(governed);
}

pulse_governed *
pulse_governed_new(PyTypeObject *type, PyObject *coro)
{
    pulse_governed *governed = (pulse_governed *)type->tp_alloc(type, 0);
    if (governed != NULL) {
        governed->coro = Py_NewRef(coro);
        governed->priority = PULSE_PRIORITY_NORMAL;
        governed->operations_poll = UINT32_MAX;
        governed->flags = PULSE_GOVERNED_NEW;
        governed->module = Py_NewRef(PyType_GetModule(type));
        governed->task_id = ++pulse_state_of_module(governed->module)->last_task_id;
    }
    return governed;
}

int
pulse_governed_is_coroutine(const pulse_state *state, PyObject *object)
{
    if (PyCoro_CheckExact(object)) {
        return 1;
    }
    PyObject *verdict = PyObject_CallOneArg(state->is_coroutine, object);
    int truth = verdict == NULL ? -1 : PyObject_IsTrue(verdict);
    Py_XDECREF(verdict);
    return truth;
}

void
pulse_governed_become_task(pulse_governed *governed, pulse_governor *governor)
{
    governed->governor = (pulse_governor *)Py_NewRef(governor);
    governed->flags = PULSE_GOVERNED_NEW;
    governed->counted_alive = true;
    pulse_counter_add(&governor->tasks, 1);
    pulse_counter_add(&governor->alive, 1);
}

PyObject *
pulse_governed_new_task(pulse_governor *governor, PyObject *coro)
{
    pulse_governed *governed = pulse_governed_new(governor->state->governed_type, coro);
    if (governed != NULL) {
        pulse_governed_become_task(governed, governor);
    }
    return (PyObject *)governed;
}

unsigned
pulse_governed_cap(const pulse_governed *governed)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    if (options != NULL && options->max_tier != PULSE_UNSET) {
        return (unsigned)options->max_tier;
    }
    if (governed->group != NULL && governed->group->max_tier != PULSE_UNSET) {
        return (unsigned)governed->group->max_tier;
    }
    // A call has no governor before it is awaited.
    unsigned most = governed->governor == NULL ? PULSE_TIERS - 1 : governed->governor->max_tier;
    return governed->priority == 0 && most > 1 ? 1 : most;
}

unsigned
pulse_governed_tier(const pulse_governed *governed)
{
    unsigned own = pulse_account_tier(governed->account), cap = pulse_governed_cap(governed);
    unsigned group = pulse_account_tier(pulse_governed_group_account(governed));
    unsigned higher = own > group ? own : group;
    return higher < cap ? higher : cap;
}

unsigned
pulse_governed_own_tier(const pulse_governed *governed)
{
    return pulse_account_tier(governed->account);
}

bool
pulse_governed_is_observed(const pulse_governed *governed)
{
    PyObject *group = pulse_governed_group_account(governed);
    return governed->governor->observes ||
           (governed->account != NULL && pulse_account_of(governed->account)->observed) ||
           (group != NULL && pulse_account_of(group)->observed);
}

void
pulse_governed_no_longer_alive(pulse_governed *governed)
{
    if (governed->counted_alive) {
        governed->counted_alive = false;
        if (!(governed->flags & PULSE_GOVERNED_CALL)) {
            atomic_fetch_sub_explicit(&governed->governor->alive, 1, memory_order_relaxed);
        }
        if (governed->group != NULL) {
            atomic_fetch_sub_explicit(&governed->group->alive, 1, memory_order_relaxed);
        }
    }
}
