#include "preempt/request.h"

#include "bytecode/joined_jumps.h"
#include "bytecode/profilers.h"
#include "bytecode/vetted.h"
#include "preempt/asking.h"
#include "preempt/consent.h"
#include "preempt/eval_hook.h"
#include "preempt/preemption.h"
#include "preempt/raise_next.h"
#include "preempt/record.h"
#include "preempt/signal_thread.h"
#include "preempt/suspension.h"
#include "preempt/verdict.h"
#include "preempt/wakeup_fd.h"

// Whether code or an operator asked for this, and not only the default. Such a poll is due when its budget is used up, others
// are due as a step that lasts long is.
static bool
is_requested(const pulse_governed *governed)
{
    return pulse_consent_mode(governed) > PULSE_PREEMPT_WAITS;
}

static void
start_if_needed(const pulse_governed *governed, pulse_thread *thread)
{
    pulse_state *state = governed->governor->state;
    uint8_t kind = is_requested(governed) ? PULSE_PREEMPTION_TRIED : PULSE_PREEMPTION_TRIED_BY_DEFAULT;
    // Signals reach the main interpreter only.
    if (pulse_the_preemption.state != NULL || state->preemption_starter == NULL || thread->preemption_tried >= kind ||
        PyInterpreterState_Get() != PyInterpreterState_Main() || pulse_profilers_follow()) {
        return;
    }
    // The starter starts the signal, or says once why it cannot, if that was asked for. The next installation sets the
    // starter again. The starter itself does so where a later poll may succeed, or has to be told. This thread then asks no
    // more, because asking is Python code before each of its polls.
    PyObject *starter = state->preemption_starter;
    state->preemption_starter = NULL;
    PyObject *done = PyObject_CallOneArg(starter, is_requested(governed) ? Py_True : Py_False);
    Py_DECREF(starter);
    if (done == NULL) {
        pulse_state_contain_error(state);
    }
    Py_XDECREF(done);
    if (state->preemption_starter != NULL) {
        thread->preemption_tried = kind;
    }
}

static bool
may_be_preempted(const pulse_governed *governed)
{
    return pulse_consent_mode(governed) != PULSE_PREEMPT_OFF && !(governed->preempt_mode & PULSE_PREEMPT_OBSERVED);
}

// The first poll in the main thread, which may be another one in a forked child.
static void
make_slices(pulse_thread *thread)
{
    thread->slices = pulse_slices_new();
    if (thread->slices == NULL) {
        pulse_state_contain_error(pulse_the_preemption.state);
    }
    atomic_store(&pulse_the_aim.thread, thread);
}

void
pulse_request_prepare(pulse_governed *governed, pulse_thread *thread)
{
    pulse_consent_decide(governed, thread->current);
    if (!may_be_preempted(governed)) {
        return;
    }
    start_if_needed(governed, thread);
    if (pulse_the_preemption.state == NULL) {
        return;
    }
    if (thread->slices == NULL && PyThread_get_thread_ident() == pulse_the_preemption.main_thread) {
        make_slices(thread);
    }
    // Not in a forked child, and not after a fork.
    if (!pulse_signal_thread_is_running() && pulse_signal_thread_start(pulse_the_preemption.signal_number) < 0) {
        pulse_state_contain_error(pulse_the_preemption.state);
    }
}

// The request was made in vain: the next one comes after so long.
static void
ask_after(const pulse_thread *thread, uint64_t ns)
{
    uint64_t until = pulse_clock_ticks() + pulse_clock_from_ns(ns);
    if (atomic_load(&pulse_the_aim.deadline) != 0) {
        pulse_aim_at(until);
        return;
    }
    // The time first: the step that is named is put off until then.
    atomic_store(&pulse_the_aim.put_off_until, until);
    atomic_store(&pulse_the_aim.put_off_step, atomic_load_explicit(&thread->step_started, memory_order_relaxed));
}

static void
publish(pulse_governed *governed, pulse_thread *thread)
{
    bool may_be = pulse_the_preemption.state != NULL && may_be_preempted(governed);
    if (!may_be || !is_requested(governed)) {
        pulse_the_preemption.request = (pulse_request){0};
        atomic_store(&pulse_the_aim.deadline, may_be ? 0 : PULSE_AIM_NEVER);
        return;
    }
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    uint64_t due = started + pulse_governed_budget(governed);
    bool at_once = pulse_consent_is_chaotic(governed->governor) &&
                   pulse_chaos_strikes(&governed->governor->chaos, governed->governor->chaos.preempt);
    pulse_the_preemption.request = (pulse_request){.poll = started, .due = at_once ? started : due};
    if (at_once) {
        // No thread has to be woken for this.
        atomic_store(&pulse_the_aim.deadline, started);
        pulse_wakeup_fd_divert();
        PyErr_SetInterruptEx(pulse_the_preemption.signal_number);
        return;
    }
    uint64_t wait = pulse_asking_wait_ns(governed->group),
             earliest = wait == 0 ? 0 : pulse_clock_ticks() + pulse_clock_from_ns(wait);
    pulse_aim_at(due > earliest ? due : earliest);
}

pulse_request
pulse_request_begin(pulse_governed *governed, pulse_thread *thread)
{
    pulse_request enclosing = pulse_the_preemption.request;
    enclosing.deadline = atomic_load(&pulse_the_aim.deadline);
    bool goes_on = thread->slices != NULL && pulse_consent_is_covered(governed, pulse_slices_running(thread->slices));
    if (!goes_on) {
        publish(governed, thread);
    }
    return enclosing;
}

// Whether the poll that ends was asked, or should have been, and did not hear it.
static bool
has_not_heard(const pulse_request *enclosing)
{
    if (PULSE_UNLIKELY(pulse_preemption_is_asked()) && pulse_preemption_take_asked() == PULSE_ASKED_UNHEARD) {
        return true;
    }
    return pulse_the_preemption.request.poll != 0 && pulse_the_preemption.request.poll != enclosing->poll &&
           pulse_clock_ticks() > pulse_the_preemption.request.due;
}

void
pulse_request_end(const pulse_request *enclosing, bool was_suspended)
{
    bool overdue = !was_suspended && has_not_heard(enclosing);
    pulse_eval_hook_end();
    // The poll may have ended by itself during the search for a place.
    pulse_wakeup_fd_restore(pulse_the_preemption.signal_number);
    pulse_the_preemption.request = *enclosing;
    atomic_store(&pulse_the_aim.deadline, enclosing->deadline);
    if (overdue && pulse_the_preemption.state != NULL) {
        pulse_preemption_check_heard(pulse_the_preemption.state);
    }
}

// Whether no later boundary will do either: the obstacle lasts, or a whole burst came to nothing in that code before.
static bool
is_hopeless(const pulse_governed *governed, pulse_rule rule, const pulse_frame *where)
{
    const pulse_preemption *preemption = &governed->governor->preemption;
    return rule == PULSE_RULE_TRACED || rule == PULSE_RULE_GREENLET ||
           (rule == PULSE_RULE_MODULE && pulse_record_knows_place(preemption, rule, where));
}

// Whether the same instruction still runs as at the last boundary: a call of C code that looks for signals itself, as `repr`
// does for each object. It may do so a thousand times, and no boundary will do before it is over.
static bool
is_stuck(pulse_request *request, pulse_rule rule, const pulse_frame *where)
{
    bool is_same = where->frame == request->tried_frame && where->position == request->tried_position;
    request->tried_frame = where->frame;
    request->tried_position = where->position;
    return is_same && rule == PULSE_RULE_INSTRUCTION;
}

static int on_await(const pulse_frame *starting);

// The least time between two searches in one poll, ns. Each may leave nested calls that take C stack until they return.
enum { SEARCH_AGAIN_NS = 20000000 };

// The search for an await came to nothing, or found one. The poll may go on, and is asked again when it may be.
static void
on_search_end(int calls)
{
    uint64_t wait = pulse_asking_end_search(calls);
    const pulse_thread *thread = atomic_load(&pulse_the_aim.thread);
    if (thread != NULL) {
        ask_after(thread, wait > SEARCH_AGAIN_NS ? wait : SEARCH_AGAIN_NS);
    }
}

// Only an await will do: hear of the next ones. False if that is impossible.
static bool
search_await(pulse_request *request, pulse_group *group)
{
    pulse_eval_hook_end();
    if (!pulse_eval_hook_set(on_await, on_search_end)) {
        return false;
    }
    pulse_asking_begin_search(request, group);
    return true;
}

// Not here: look again at the next bytecode boundary or, after many of them, after a while.
static void
ask_again(pulse_thread *thread, pulse_governed *governed, pulse_rule rule, const pulse_frame *where)
{
    const pulse_governed *giver = pulse_consent_giver(pulse_slices_running(thread->slices));
    pulse_request *request = &pulse_the_preemption.request;
    pulse_preemption *preemption = &governed->governor->preemption;
    pulse_counter_add(&preemption->refused[rule], 1);
    if (request->burst_began_ns == 0) {
        pulse_asking_begin_burst(request, is_hopeless(governed, rule, where));
    }
    if (is_stuck(request, rule, where)) {
        request->boundaries_left = 0;
    }
    bool only_at_await = pulse_consent_mode(giver) != PULSE_PREEMPT_ANYWHERE,
         searches = only_at_await && !is_hopeless(governed, rule, where) && search_await(request, governed->group);
    if (!only_at_await && request->boundaries_left-- > 0) {
        PyErr_SetInterruptEx(pulse_the_preemption.signal_number);
        return;
    }
    pulse_wakeup_fd_pass_on(pulse_the_preemption.signal_number);
    if (is_requested(giver)) {
        // By default most places are refused, and this is nothing that a user has to mend.
        pulse_record_note_place(preemption, rule, where);
    }
    if (rule == PULSE_RULE_INSTRUCTION && !only_at_await) {
        pulse_joined_jumps_part(where->code);
    }
    pulse_counter_add(&preemption->gave_up, 1);
    if (searches) {
        ask_after(thread, PULSE_EVAL_HOOK_NS);
        return;
    }
    pulse_asking_in_vain(request, governed->group);
    ask_after(thread, pulse_asking_wait_ns(governed->group));
}

// Whether to let the first await of a library pass, by default. It mostly waits by itself, and suspending the task before that
// would only delay it. A step that gets as far as a second one is not going to wait.
static bool
lets_pass(const pulse_slice *slice)
{
    const pulse_governed *giver = pulse_consent_giver(slice);
    if (is_requested(giver) || pulse_consent_is_chaotic(giver->governor) || pulse_the_preemption.request.has_passed) {
        return false;
    }
    pulse_the_preemption.request.has_passed = true;
    return true;
}

// As pulse_verdict_place. An await that is let pass is one more place that will not do.
static pulse_rule
judge(const pulse_thread *thread, const pulse_slice *slice, const pulse_frame *starting, pulse_frame *where)
{
    pulse_rule rule = pulse_verdict_place(thread, slice, starting, where);
    return rule == PULSE_PLACE_AWAIT && lets_pass(slice) ? PULSE_RULE_INSTRUCTION : rule;
}

// The coroutine goes on, perhaps in another enclosing poll. Raise what waits for it, if this place allows that.
static int
raise_what_waits(const pulse_governed *governed, const pulse_slice *slice)
{
    pulse_suspension *suspension = governed->suspension;
    bool is_missed = pulse_place_misses_handler();
    if (suspension->exception != NULL) {
        if (is_missed && pulse_raise_next(suspension->exception)) {
            Py_CLEAR(suspension->exception);
            return 0;
        }
        return pulse_suspension_raise(&suspension->exception);
    }
    int result = 0;
    if (suspension->opted_in && pulse_suspension_is_cancelled(suspension) &&
        pulse_verdict_may_cancel(governed, slice)) {
        if (!is_missed) {
            result = pulse_suspension_raise(&suspension->cancellation);
        }
        else if (pulse_raise_next(suspension->cancellation)) {
            Py_CLEAR(suspension->cancellation);
        }
    }
    pulse_suspension_put_off(suspension);
    return result;
}

// Returns when the coroutine goes on: 0, or -1 with the exception to raise at this place.
static int
suspend(pulse_thread *thread, pulse_governed *governed, bool opted_in)
{
    pulse_preemption *preemption = &governed->governor->preemption;
    uint64_t now = pulse_clock_ticks();
    pulse_asking_heard(&pulse_the_preemption.request, governed->group);
    pulse_eval_hook_end();
    pulse_counter_add(&preemption->preemptions, 1);
    atomic_store_explicit(&pulse_the_aim.alert_for, PULSE_AIM_ALERT_LOOKS, memory_order_relaxed);
    pulse_histogram_record(&preemption->delay,
                           (now - pulse_the_preemption.request.due) >> pulse_the_clock.histogram_shift);
    // Nothing is held meanwhile, because a suspended coroutine ends with its last reference.
    if (pulse_suspension_suspend(governed, thread->slices, opted_in) < 0) {
        return 0;
    }
    return raise_what_waits(governed, pulse_slices_running(thread->slices));
}

// Whether the poll that runs is due. The signal may be late, for a poll that is over, or may have another sender.
static bool
is_due(const pulse_thread *thread)
{
    uint64_t deadline = pulse_aim_due();
    return pulse_the_preemption.state != NULL && thread != NULL && thread->slices != NULL && thread->current != NULL &&
           pulse_slices_running(thread->slices) != NULL && deadline != 0 && pulse_clock_ticks() >= deadline;
}

// Whether the step that was asked has ended by itself. A poll with a deadline of its own ends its request itself.
static bool
is_step_over(const pulse_thread *thread)
{
    return atomic_load(&pulse_the_aim.deadline) == 0 &&
           pulse_the_preemption.request.poll != atomic_load_explicit(&thread->step_started, memory_order_relaxed);
}

// A poll without a deadline of its own is asked by its step.
static void
note_step(const pulse_thread *thread)
{
    uint64_t step = atomic_load_explicit(&thread->step_started, memory_order_relaxed);
    if (atomic_load(&pulse_the_aim.deadline) == 0 && pulse_the_preemption.request.poll != step) {
        pulse_the_preemption.request =
            (pulse_request){.poll = step, .due = step + atomic_load(&pulse_the_aim.step_ticks)};
    }
}

// How long the code of ours may take that runs between two parts of the program's: decisions, and what a task holds.
enum { OURS_NS = 100000 };

static bool
is_closing(const pulse_governed *governed)
{
    return governed->suspension != NULL && governed->suspension->is_closing;
}

PyObject *
pulse_request_on_signal(PyObject *module, PyObject *const *Py_UNUSED(arguments), Py_ssize_t Py_UNUSED(count))
{
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(module), false);
    atomic_store(&pulse_the_aim.asked, PULSE_ASKED_HEARD);
    if (!is_due(thread)) {
        Py_RETURN_NONE;
    }
    const pulse_slice *slice = pulse_slices_running(thread->slices);
    pulse_governed *governed = pulse_slice_owner(slice);
    if (is_closing(governed)) {
        Py_RETURN_NONE;
    }
    note_step(thread);
    // Until the poll ends, because the loop cannot read earlier what its signals write.
    pulse_wakeup_fd_divert();
    if (pulse_the_preemption.state == NULL) {
        // The GIL was given away, and another thread ended all requests.
        Py_RETURN_NONE;
    }
    if (thread->runs_ours) {
        ask_after(thread, OURS_NS);
        Py_RETURN_NONE;
    }
    bool is_bound = pulse_the_preemption.request.burst_began_ns == 0 && !pulse_consent_is_chaotic(governed->governor);
    uint64_t wait = is_bound ? pulse_asking_wait_ns(governed->group) : 0;
    if (wait > 0) {
        // Other threads had the processor meanwhile.
        ask_after(thread, wait);
        Py_RETURN_NONE;
    }
    uint64_t poll = pulse_the_preemption.request.poll;
    pulse_frame where;
    pulse_rule rule = judge(thread, slice, NULL, &where);
    if (pulse_the_preemption.request.poll != poll || pulse_the_preemption.state == NULL) {
        // The judging let the collector run, and with it code that ended all requests.
        Py_RETURN_NONE;
    }
    if (rule < 0) {
        bool opted_in = pulse_consent_mode(pulse_consent_giver(slice)) == PULSE_PREEMPT_ANYWHERE;
        // Signals with higher numbers that came together with ours are handled by the loop that called us, which now stands
        // still; another round handles them.
        PyErr_SetInterruptEx(pulse_the_preemption.signal_number);
        return suspend(thread, governed, opted_in) < 0 ? NULL : Py_NewRef(Py_None);
    }
    ask_again(thread, governed, rule, &where);
    Py_RETURN_NONE;
}

// Whether the beginning of this frame is worth judging.
static bool
may_be_place(const pulse_frame *starting)
{
    return starting->code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR) || pulse_vetted_has_name(starting->code);
}

// A frame begins to run while a request waits for an await. 0 to let it run, -1 to raise an exception in it.
static int
on_await(const pulse_frame *starting)
{
    if (!may_be_place(starting)) {
        return 0;
    }
    pulse_thread *thread = pulse_thread_find(pulse_the_preemption.state, false);
    const pulse_slice *slice = thread == NULL || thread->slices == NULL ? NULL : pulse_slices_running(thread->slices);
    if (slice == NULL || pulse_the_preemption.request.poll == 0 || is_step_over(thread) ||
        is_closing(pulse_slice_owner(slice))) {
        pulse_eval_hook_end();
        return 0;
    }
    pulse_frame where;
    uint64_t began = pulse_clock_ticks();
    pulse_rule rule = judge(thread, slice, starting, &where);
    pulse_asking_judged(pulse_clock_ticks() - began);
    if (rule >= 0) {
        // Judging takes longer than a call, so the number of places is bounded, too.
        if (pulse_the_preemption.request.boundaries_left-- <= 0) {
            pulse_eval_hook_end();
        }
        return 0;
    }
    return suspend(thread, pulse_slice_owner(slice), false);
}
