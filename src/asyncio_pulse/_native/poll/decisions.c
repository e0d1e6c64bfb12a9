#include "poll/decisions.h"

#include <string.h>

#include "base/thread_clock.h"
#include "poll/due.h"

// A task that begins to run within this time after a bad poll had been kept waiting by it, because an idle loop would have
// been asleep. The time starts again with each further poll of the same task that follows as closely. A busy loop takes up
// to 1.5 ms for its first turn after a long poll on a virtual machine, where all memory that the poll did not use is slow.
enum { WAITED_WITHIN_US = 2000 };
enum {
    // This many polls are judged even if no other task has come to run meanwhile.
    MOST_UNJUDGED = 4,
    // This many polls are reported whatever that costs. The rest of the array is room for nested polls.
    MOST_UNTOLD = PULSE_MOST_DUE - 8,
    // The first offence in a while is reported at once. A report costs up to 200 us where Python's code has left the
    // caches.
    TOLD_AT_ONCE_NS = 4000000,
};

static unsigned long long
ns(uint64_t ticks)
{
    return (unsigned long long)pulse_clock_to_ns(ticks);
}

static void
break_run(PyObject *account)
{
    if (account != NULL) {
        pulse_account_of(account)->good_run = pulse_account_of(account)->untold = 0;
    }
}

static bool
is_settled(PyObject *account, uint64_t now)
{
    return account != NULL && now < pulse_account_of(account)->settled_until;
}

static void
count_untold(PyObject *account, const pulse_verdict *verdict)
{
    if (account != NULL) {
        pulse_account_of(account)->untold_violations += verdict->violation;
    }
}

// Whether a bad poll can change no tier in force, because account and group are as high as they may get. Such a group also
// speaks for those of its tasks that may get no higher. A report to Python costs 200 us where its code has left the caches.
static bool
can_change_nothing(const pulse_governed *governed, uint64_t now)
{
    if (!governed->group->is_explicit) {
        return is_settled(governed->account, now);
    }
    const pulse_options *options = (const pulse_options *)governed->options;
    // A critical task is urgent while its own account is low, so its group does not speak for it.
    bool is_spoken_for = governed->priority != 0 && (options == NULL || options->max_tier == PULSE_UNSET);
    return is_settled(pulse_governed_group_account(governed), now) &&
           (is_spoken_for || is_settled(governed->account, now));
}

bool
pulse_decisions_are_open(pulse_governed *governed, const pulse_verdict *verdict, uint64_t ended)
{
    const pulse_governor *governor = governed->governor;
    break_run(governed->account);
    break_run(pulse_governed_group_account(governed));
    if (can_change_nothing(governed, ended)) {
        count_untold(governed->account, verdict);
        count_untold(pulse_governed_group_account(governed), verdict);
        return false;
    }
    return governor->decisions != NULL && governor->due_count < PULSE_MOST_DUE;
}

void
pulse_decisions_note(pulse_governed *governed, const pulse_verdict *verdict, bool slow, PyObject *stack, uint64_t ended)
{
    pulse_governor *governor = governed->governor;
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
    // Judging the poll took its time, too.
    governor->busy_until = pulse_clock_ticks();
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

// Find out for which of the due polls others waited. False while this is unknown for the latest poll.
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
    uint64_t began_ns = pulse_thread_clock_ns();
    pulse_due due[PULSE_MOST_DUE];
    int count = pulse_due_take(governor, due);
    for (int i = 0; i < count; i++) {
        if (governor->decisions != NULL) {
            tell_one(governor, &due[i]);
        }
        Py_DECREF(due[i].governed);
        Py_XDECREF(due[i].stack);
    }
    uint64_t ended_ns = pulse_thread_clock_ns(), spent = ended_ns > began_ns ? ended_ns - began_ns : 0;
    pulse_allowance_spend(&governor->tell_allowance, spent, ns(pulse_clock_ticks()), governor->bad_cpu_ns);
}

void
pulse_decisions_tell(pulse_governor *governor, pulse_governed *next)
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
        // All of them are judged, so the polls until the next turn need not look at them, and are plain again.
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_DUE;
    }
}

void
pulse_decisions_forget(pulse_governor *governor)
{
    Py_CLEAR(governor->decisions);
    pulse_due_drop(governor);
}

static void
wake_idle(pulse_governor *governor, PyObject *account, uint64_t now)
{
    if (pulse_account_tier(account) == 0 || now - pulse_account_of(account)->last_poll < governor->idle_ticks) {
        return;
    }
    PyObject *held = Py_NewRef(account), *decisions = Py_NewRef(governor->decisions);
    unsigned long long last_poll = ns(pulse_account_of(account)->last_poll);
    pulse_governor_settle_decisions(governor,
                                    PyObject_CallMethod(decisions, "on_idle", "OKK", held, last_poll, ns(now)));
    Py_DECREF(decisions);
    Py_DECREF(held);
}

void
pulse_decisions_before_poll(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    uint64_t now = pulse_clock_ticks();
    if (governor->decisions != NULL) {
        wake_idle(governor, governed->account, now);
    }
    if (governor->decisions != NULL) {
        wake_idle(governor, pulse_governed_group_account(governed), now);
    }
    unsigned tier = pulse_governed_tier(governed);
    if (tier >= PULSE_TIER_YIELD && pulse_governed_is_observed(governed)) {
        pulse_counter_add(&governor->would_park, 1);
    }
}

static void
count_good(pulse_governed *governed, PyObject *account, uint64_t own_ticks, uint64_t alarm_ticks)
{
    pulse_governor *governor = governed->governor;
    unsigned tier = pulse_account_tier(account);
    if (tier == 0) {
        return;
    }
    pulse_account *known = pulse_account_of(account);
    known->last_poll = pulse_clock_ticks();
    // A poll past its alarm may have been bad, whatever its tier counts as good.
    if (own_ticks > alarm_ticks || own_ticks > governor->good_ticks[tier]) {
        break_run(account);
        return;
    }
    known->good_run++;
    if (++known->untold < governor->evaluation_interval[tier] || known->last_poll < known->quiet_until ||
        governor->decisions == NULL) {
        return;
    }
    known->untold = 0;
    pulse_exception raised = pulse_exception_take();
    PyObject *held = Py_NewRef(account), *decisions = Py_NewRef(governor->decisions);
    PyObject *result =
        PyObject_CallMethod(decisions, "on_good_polls", "OIK", held, known->good_run, ns(known->last_poll));
    pulse_governor_settle_decisions(governor, result);
    Py_DECREF(decisions);
    Py_DECREF(held);
    pulse_exception_put_back(raised);
}

void
pulse_decisions_after_poll(pulse_governed *governed, uint64_t own_ticks, uint64_t alarm_ticks)
{
    count_good(governed, governed->account, own_ticks, alarm_ticks);
    count_good(governed, pulse_governed_group_account(governed), own_ticks, alarm_ticks);
}
