#include "poll/decisions.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

#include "model/due.h"

// Who begins to run so soon after a bad poll, or after further polls of the same task that followed on it as closely, had
// been kept waiting by it: an idle loop would have been asleep.
enum { WAITED_WITHIN_US = 250 };
enum {
    // So many are judged even if nobody else came to run meanwhile.
    MOST_UNJUDGED = 4,
    // So many are told whatever that costs; the rest is room for polls that are nested.
    MOST_UNTOLD = PULSE_MOST_DUE - 8,
    // Whoever offends for the first time in a while is told of at once: telling costs up to 200 us, where Python's code has
    // gone from the caches.
    TOLD_AT_ONCE_NS = 4000000,
};

static unsigned long long
ns(uint64_t ticks)
{
    return (unsigned long long)pulse_clock_to_ns(ticks);
}

static pulse_standing *
standing_of(PyObject *standing)
{
    return (pulse_standing *)standing;
}

static unsigned
tier_of(PyObject *standing)
{
    return standing == NULL ? 0 : standing_of(standing)->tier;
}

static PyObject *
group_standing(const pulse_governed *governed)
{
    return governed->group == NULL ? NULL : governed->group->standing;
}

// The nearest that was given by name, the task's or its group's. Accounts keep to their caps by themselves; but a task shares
// its group's tier, and nothing beyond Warn happens to what is critical unless that was asked for.
static unsigned
cap_of(const pulse_governed *governed)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    if (options != NULL && options->max_tier != PULSE_UNSET) {
        return (unsigned)options->max_tier;
    }
    if (governed->group != NULL && governed->group->max_tier != PULSE_UNSET) {
        return (unsigned)governed->group->max_tier;
    }
    return governed->priority == 0 ? 1 : 3;
}

unsigned
pulse_tiers_effective(const pulse_governed *governed)
{
    unsigned own = tier_of(governed->standing), group = tier_of(group_standing(governed)), cap = cap_of(governed);
    unsigned higher = own > group ? own : group;
    return higher < cap ? higher : cap;
}

unsigned
pulse_tiers_own(const pulse_governed *governed)
{
    return tier_of(governed->standing);
}

static void
break_run(PyObject *standing)
{
    if (standing != NULL) {
        standing_of(standing)->good_run = standing_of(standing)->untold = 0;
    }
}

static bool
is_settled(PyObject *standing, uint64_t now)
{
    return standing != NULL && now < standing_of(standing)->settled_until;
}

static void
count_untold(PyObject *standing, const pulse_verdict *verdict)
{
    if (standing != NULL) {
        standing_of(standing)->untold_violations += verdict->violation;
    }
}

// Whether a bad poll can change no tier in force: account and group are as high as they may come. A group that is there
// speaks for those of its tasks that may come no higher, either. Telling Python costs 200 us where its code has gone from
// the caches.
static bool
can_change_nothing(const pulse_governed *governed, uint64_t now)
{
    if (!governed->group->is_explicit) {
        return is_settled(governed->standing, now);
    }
    const pulse_options *options = (const pulse_options *)governed->options;
    // What is critical is urgent as long as its own account is low.
    bool is_spoken_for = governed->priority != 0 && (options == NULL || options->max_tier == PULSE_UNSET);
    return is_settled(group_standing(governed), now) && (is_spoken_for || is_settled(governed->standing, now));
}

void
pulse_tiers_note(pulse_governed *governed, const pulse_verdict *verdict, bool slow, PyObject *stack, uint64_t ended)
{
    pulse_governor *governor = governed->governor;
    break_run(governed->standing);
    break_run(group_standing(governed));
    if (can_change_nothing(governed, ended)) {
        count_untold(governed->standing, verdict);
        count_untold(group_standing(governed), verdict);
        return;
    }
    if (governor->decisions == NULL || governor->due_count == PULSE_MOST_DUE) {
        return;
    }
    governor->due[governor->due_count++] = (pulse_due){
        .governed = (PyObject *)governed,
        .stack = Py_XNewRef(stack),
        .ended = ended,
        .wall = verdict->own_wall,
        .cpu = verdict->own_wall - verdict->own_off_cpu,
        .over_budget = verdict->over_budget,
        .violation = verdict->violation,
        .slow = slow,
    };
    governed->flags |= PULSE_GOVERNED_DUE;
    governor->flags |= PULSE_GOVERNOR_DUE;
    governor->busy_until = ended;
    governor->bad_cpu_ns += ns(verdict->own_wall - verdict->own_off_cpu);
}

static void
tell_one(pulse_governor *governor, const pulse_due *due)
{
    PyObject *decisions = Py_NewRef(governor->decisions);
    PyObject *result = PyObject_CallMethod(decisions, "on_bad_poll", "OKKKKOOOO", due->governed, ns(due->ended),
                                           ns(due->wall), ns(due->cpu), ns(due->over_budget),
                                           due->violation ? Py_True : Py_False, due->slow ? Py_True : Py_False,
                                           due->waited ? Py_True : Py_False, due->stack == NULL ? Py_None : due->stack);
    pulse_governor_settle_decisions(governor, result);
    Py_DECREF(decisions);
}

static bool
is_of_another(const pulse_due *due, const pulse_governed *next)
{
    return (const PyObject *)next != due->governed;
}

// Find out who waited for the polls that are due; false while that is not known of the latest.
static bool
judge_due(pulse_governor *governor, const pulse_governed *next)
{
    uint64_t within = pulse_clock_from_ns(WAITED_WITHIN_US * 1000);
    bool stayed_busy = next != NULL && pulse_clock_ticks() - governor->busy_until < within;
    bool somebody = false;
    for (int i = governor->due_judged; i < governor->due_count; i++) {
        governor->due[i].waited = stayed_busy && is_of_another(&governor->due[i], next);
        somebody |= governor->due[i].waited;
    }
    if (stayed_busy && !somebody && governor->due_count - governor->due_judged < MOST_UNJUDGED) {
        return governor->due_count == governor->due_judged;
    }
    governor->due_judged = governor->due_count;
    return true;
}

static void
tell_all(pulse_governor *governor)
{
    uint64_t began_ns = pulse_clock_thread_cpu_ns();
    pulse_due due[PULSE_MOST_DUE];
    int count = pulse_due_take(governor, due);
    for (int i = 0; i < count; i++) {
        if (governor->decisions != NULL) {
            tell_one(governor, &due[i]);
        }
        Py_DECREF(due[i].governed);
        Py_XDECREF(due[i].stack);
    }
    uint64_t ended_ns = pulse_clock_thread_cpu_ns(), spent = ended_ns > began_ns ? ended_ns - began_ns : 0;
    pulse_allowance_spend(&governor->tell_allowance, spent, ns(pulse_clock_ticks()), governor->bad_cpu_ns);
}

void
pulse_tiers_tell(pulse_governor *governor, pulse_governed *next)
{
    bool is_due = next == NULL || governor->due_count >= MOST_UNTOLD ||
                  pulse_allowance_wait(&governor->tell_allowance, TOLD_AT_ONCE_NS, ns(pulse_clock_ticks()),
                                       governor->bad_cpu_ns) == 0;
    if (!judge_due(governor, next)) {
        return;
    }
    if (is_due) {
        tell_all(governor);
    }
    else {
        pulse_due_wait(governor);
    }
}

void
pulse_tiers_forget(pulse_governor *governor)
{
    Py_CLEAR(governor->decisions);
    pulse_due_drop(governor);
}

static void
wake_idle(pulse_governor *governor, PyObject *standing, uint64_t now)
{
    if (tier_of(standing) == 0 || now - standing_of(standing)->last_poll < governor->idle_ticks) {
        return;
    }
    PyObject *held = Py_NewRef(standing), *decisions = Py_NewRef(governor->decisions);
    unsigned long long last_poll = ns(standing_of(standing)->last_poll);
    pulse_governor_settle_decisions(governor, PyObject_CallMethod(decisions, "on_idle", "OKK", held, last_poll, ns(now)));
    Py_DECREF(decisions);
    Py_DECREF(held);
}

bool
pulse_tiers_is_observed(const pulse_governed *governed)
{
    PyObject *group = group_standing(governed);
    return governed->governor->observes || (governed->standing != NULL && standing_of(governed->standing)->observed) ||
           (group != NULL && standing_of(group)->observed);
}

void
pulse_tiers_before_poll(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    uint64_t now = pulse_clock_ticks();
    if (governor->decisions != NULL) {
        wake_idle(governor, governed->standing, now);
    }
    if (governor->decisions != NULL) {
        wake_idle(governor, group_standing(governed), now);
    }
    unsigned tier = pulse_tiers_effective(governed);
    if (tier >= PULSE_TIER_YIELD && pulse_tiers_is_observed(governed)) {
        pulse_counter_add(&governor->would_park, 1);
    }
}

static void
count_good(pulse_governed *governed, PyObject *standing, uint64_t own_ticks, uint64_t alarm_ticks)
{
    pulse_governor *governor = governed->governor;
    unsigned tier = tier_of(standing);
    if (tier == 0) {
        return;
    }
    pulse_standing *known = standing_of(standing);
    known->last_poll = pulse_clock_ticks();
    // Past its alarm it may have been bad, whatever the tier calls good.
    if (own_ticks > alarm_ticks || own_ticks > governor->good_ticks[tier]) {
        break_run(standing);
        return;
    }
    known->good_run++;
    if (++known->untold < governor->evaluation_interval[tier] || known->last_poll < known->quiet_until ||
        governor->decisions == NULL) {
        return;
    }
    known->untold = 0;
    pulse_exception raised = pulse_exception_take();
    PyObject *held = Py_NewRef(standing), *decisions = Py_NewRef(governor->decisions);
    PyObject *result = PyObject_CallMethod(decisions, "on_good_polls", "OIK", held, known->good_run, ns(known->last_poll));
    pulse_governor_settle_decisions(governor, result);
    Py_DECREF(decisions);
    Py_DECREF(held);
    pulse_exception_put_back(raised);
}

void
pulse_tiers_after_poll(pulse_governed *governed, uint64_t own_ticks, uint64_t alarm_ticks)
{
    count_good(governed, governed->standing, own_ticks, alarm_ticks);
    count_good(governed, group_standing(governed), own_ticks, alarm_ticks);
}

static int
check_standing(pulse_state *state, PyObject *standing)
{
    if (!Py_IsNone(standing) && !PyObject_TypeCheck(standing, state->standing_type)) {
        PyErr_Format(PyExc_TypeError, "a Standing or None was expected, got %R", standing);
        return -1;
    }
    return 0;
}

PyObject *
pulse_governed_stand(PyObject *self, PyObject *standing)
{
    pulse_governed *governed = (pulse_governed *)self;
    if (check_standing(pulse_state_of_module(governed->module), standing) < 0) {
        return NULL;
    }
    PyObject *earlier = governed->standing;
    governed->standing = Py_IsNone(standing) ? NULL : Py_NewRef(standing);
    if (tier_of(governed->standing) > 0) {
        governed->flags |= PULSE_GOVERNED_TIERED;
    }
    else {
        governed->flags &= ~(uint32_t)PULSE_GOVERNED_TIERED;
    }
    Py_XDECREF(earlier);
    Py_RETURN_NONE;
}

PyObject *
pulse_group_stand(PyObject *self, PyObject *standing)
{
    pulse_group *group = (pulse_group *)self;
    if (check_standing(pulse_state_of_type(Py_TYPE(self)), standing) < 0) {
        return NULL;
    }
    PyObject *earlier = group->standing;
    group->standing = Py_IsNone(standing) ? NULL : Py_NewRef(standing);
    group->tiered = tier_of(group->standing) > 0 || group->preempt != PULSE_UNSET;
    Py_XDECREF(earlier);
    Py_RETURN_NONE;
}

static int
standing_set_tier(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    long tier = value == NULL ? -1 : PyLong_AsLong(value);
    if (tier < 0 || tier > 3) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "a tier is 0 to 3, got %R", value == NULL ? Py_None : value);
        }
        return -1;
    }
    pulse_standing *standing = standing_of(self);
    if (standing->tier == 0) {
        // Kept up from now on; a change of tier that idleness brought is no poll.
        standing->last_poll = pulse_clock_ticks();
    }
    standing->tier = (uint8_t)tier;
    standing->good_run = standing->untold = 0;
    standing->quiet_until = standing->settled_until = 0;
    return 0;
}

// `closure` is where in a standing the time is.
static uint64_t *
time_of(PyObject *self, void *closure)
{
    return (uint64_t *)(void *)((char *)self + (size_t)closure);
}

static int
standing_set_time(PyObject *self, PyObject *value, void *closure)
{
    unsigned long long until_ns = value == NULL ? 0 : PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    *time_of(self, closure) = pulse_clock_from_ns(until_ns);
    return 0;
}

static PyObject *
standing_get_time(PyObject *self, void *closure)
{
    return PyLong_FromUnsignedLongLong(ns(*time_of(self, closure)));
}

static PyObject *
standing_get_tier(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(standing_of(self)->tier);
}

static void
standing_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef standing_members[] = {
    {"observed", T_BOOL, offsetof(pulse_standing, observed), 0, "Decided and counted, but not acted upon."},
    {"untold_violations", T_UINT, offsetof(pulse_standing, untold_violations), 0,
     "Violations while `settled_until_ns` lay ahead, since this was last set to 0."},
    {NULL},
};

static PyGetSetDef standing_getset[] = {
    {"tier", standing_get_tier, standing_set_tier, "The tier in force once it is made to stand; 0..3.", NULL},
    {"quiet_until_ns", standing_get_time, standing_set_time,
     "Until then good polls are not told; ns of monotonic_ns, 0 for always.",
     (void *)offsetof(pulse_standing, quiet_until)},
    {"settled_until_ns", standing_get_time, standing_set_time,
     "Until then bad polls are not told, if group and task are; ns of monotonic_ns, 0 for always.",
     (void *)offsetof(pulse_standing, settled_until)},
    {"last_poll_ns", standing_get_time, NULL, "Its last poll, while above Monitor; ns of monotonic_ns.",
     (void *)offsetof(pulse_standing, last_poll)},
    {NULL},
};

static PyType_Slot standing_slots[] = {
    {Py_tp_doc, "The tier of an account, where the core looks it up; Python adds how it came about."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, standing_dealloc},
    {Py_tp_members, standing_members},
    {Py_tp_getset, standing_getset},
    {0, NULL},
};

PyType_Spec pulse_standing_spec = {
    .name = "asyncio_pulse._core.Standing",
    .basicsize = sizeof(pulse_standing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = standing_slots,
};
