#include "preempt/preemption.h"

#include "bytecode/code_marks.h"
#include "bytecode/joined_jumps.h"
#include "bytecode/profilers.h"
#include "preempt/asking.h"
#include "preempt/record.h"
#include "preempt/segment.h"
#include "preempt/signal_thread.h"
#include "preempt/wakeup_fd.h"

// Signals belong to the process: they have one handler, which runs in one thread.
static struct {
    pulse_state *state;
    unsigned long main_thread;
    int signal_number;
    PyObject *protected_modules;
    PyObject *library_paths;
    // signal.getsignal, and the handler that it must return.
    PyObject *getsignal;
    PyObject *handler;
    // The request to the running armed poll. While a nested poll runs, the outer request is kept on the C stack.
    pulse_request request;
} process;

static pulse_preempt_mode
mode_of(const pulse_governed *governed)
{
    return (pulse_preempt_mode)(governed->preempt_mode & ~PULSE_PREEMPT_OBSERVED);
}

static bool
is_under_chaos(const pulse_governor *governor)
{
    return governor->flags & PULSE_GOVERNOR_CHAOS && governor->chaos.preempt != 0;
}

// How far a coroutine may be preempted, by the settings for it, for its group, and for all. The nearest setting wins. As an
// exception, "off" in a group's policy, which an operator writes, overrides what code asks for.
static pulse_preempt_mode
wanted_mode(const pulse_governed *governed)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    const pulse_preemption *preemption = &governed->governor->preemption;
    int8_t of_group = governed->group->preempt;
    bool forbidden = governed->group->is_explicit ? of_group == PULSE_PREEMPT_OFF : preemption->off_without_group;
    if (forbidden || (options != NULL && options->preemptible == 0)) {
        return PULSE_PREEMPT_OFF;
    }
    if (of_group == PULSE_PREEMPT_ANYWHERE || (options != NULL && options->preemptible == 1)) {
        return PULSE_PREEMPT_ANYWHERE;
    }
    if (is_under_chaos(governed->governor)) {
        // Whatever its tier, but only at the places that need no consent.
        return PULSE_PREEMPT_AWAIT;
    }
    if (pulse_governed_tier(governed) < PULSE_TIER_YIELD) {
        return PULSE_PREEMPT_OFF;
    }
    return of_group == PULSE_UNSET ? (pulse_preempt_mode)preemption->mode : (pulse_preempt_mode)of_group;
}

// Whether the poll that encloses a governed call goes as far already.
static bool
is_covered(const pulse_governed *governed, pulse_preempt_mode mode)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    bool asked = options != NULL && options->preemptible == 1;
    const pulse_governed *enclosing = process.request.segment == NULL ? NULL : process.request.segment->governed;
    return governed->flags & PULSE_GOVERNED_CALL && !asked && enclosing != NULL && mode_of(enclosing) >= mode;
}

static bool
may_arm(pulse_governed *governed, pulse_thread *thread)
{
    pulse_state *state = governed->governor->state;
    if (!PyCoro_CheckExact(governed->coro) || governed->flags & PULSE_GOVERNED_MANUAL) {
        return false;
    }
    if (process.state == NULL && state->preemption_starter != NULL && !thread->preemption_waits &&
        !pulse_profilers_follow()) {
        // The starter starts the signal, or says once why it cannot. The next installation sets the starter again. The
        // starter itself does so where another thread could start the signal. This thread then asks no more, because asking
        // is Python code before each of its polls.
        PyObject *starter = state->preemption_starter;
        state->preemption_starter = NULL;
        PyObject *done = PyObject_CallNoArgs(starter);
        Py_DECREF(starter);
        if (done == NULL) {
            pulse_state_contain_error(state);
        }
        Py_XDECREF(done);
        thread->preemption_waits = state->preemption_starter != NULL;
    }
    return process.state == state && PyThread_get_thread_ident() == process.main_thread && !pulse_profilers_follow();
}

// The program now handles our signal itself: send no more of them. The next coroutine to be armed has another signal
// chosen.
static void
retreat_if_displaced(pulse_state *state)
{
    pulse_exception raised = pulse_exception_take();
    PyObject *handler = PyObject_CallFunction(process.getsignal, "i", process.signal_number);
    if (handler != NULL && handler != process.handler) {
        pulse_signal_thread_stop();
        process.state = NULL;
        Py_XSETREF(state->preemption_starter, Py_XNewRef(state->preemption_restarter));
    }
    Py_XDECREF(handler);
    PyErr_Clear();
    pulse_exception_put_back(raised);
}

// The package whose code opted in. New reference; NULL without an exception if it is not known.
static PyObject *
package_of(PyObject *coro)
{
    PyObject *frame = PyObject_GetAttrString(coro, "cr_frame");
    PyObject *globals = frame == NULL || Py_IsNone(frame) ? NULL : PyFrame_GetGlobals((PyFrameObject *)frame);
    PyObject *package = globals == NULL ? NULL : pulse_code_marks_package(globals);
    Py_XDECREF(globals);
    Py_XDECREF(frame);
    return package;
}

static void
arm(pulse_governed *governed)
{
    PyObject *package = package_of(governed->coro);
    if (PyErr_Occurred() || pulse_segment_arm(governed) < 0) {
        Py_XDECREF(package);
        pulse_state_contain_error(governed->governor->state);
        return;
    }
    Py_XSETREF(governed->segment->package, package);
    governed->flags |= PULSE_GOVERNED_ARMED;
}

void
pulse_preemption_prepare(pulse_governed *governed, pulse_thread *thread)
{
    pulse_governed *outer = thread->current;
    bool guarded = governed->flags & PULSE_GOVERNED_CALL && outer != NULL &&
                   (outer->guards > 0 || outer->flags & PULSE_GOVERNED_GUARDED);
    governed->flags &= ~(uint32_t)PULSE_GOVERNED_GUARDED;
    governed->flags |= guarded ? PULSE_GOVERNED_GUARDED : 0;
    pulse_preempt_mode mode = wanted_mode(governed);
    governed->preempt_mode = (uint8_t)mode;
    if (mode == PULSE_PREEMPT_OFF) {
        return;
    }
    if (pulse_governed_is_observed(governed)) {
        governed->preempt_mode |= PULSE_PREEMPT_OBSERVED;
    }
    else if (governed->segment == NULL && !(governed->flags & PULSE_GOVERNED_DELEGATES) && outer != governed &&
             !is_covered(governed, mode) && may_arm(governed, thread)) {
        arm(governed);
    }
}

// What polls inside the segment had published when it was suspended; see `put_back`.
typedef struct {
    pulse_governed *current;
    uint64_t poll_started;
} inner_polls;

// The segment goes on, in a new poll. Governed calls inside it may be in the middle of their own polls. These are charged
// from here on: everything before was charged to the segment's own polls, and the time that others used meanwhile is not
// theirs.
static void
put_back(pulse_thread *thread, const pulse_governed *governed, const inner_polls *inner)
{
    if (inner->current == governed || inner->current == NULL || thread->current != governed) {
        return;
    }
    thread->current = inner->current;
    uint64_t before = pulse_clock_ticks() - inner->poll_started;
    thread->nested_ticks = thread->nested_off_cpu_ticks = before;
    atomic_store_explicit(&thread->poll_started, inner->poll_started, memory_order_relaxed);
}

// Held: judging allocates, so that the collector and then another thread may run and change the configuration.
static pulse_reach
reach_of(const pulse_segment *segment)
{
    const pulse_governed *governed = segment->governed;
    const pulse_preemption *preemption = &governed->governor->preemption;
    pulse_reach reach = {
        .mode = mode_of(governed),
        .package = segment->package,
        .is_for_program = segment->package != NULL && PySet_Contains(process.protected_modules, segment->package) == 1,
        .modules = preemption->modules,
        .protected_modules = process.protected_modules,
        .library_paths = process.library_paths,
        .through_iteration = preemption->through_iteration,
        .coroutine = governed->coro,
    };
    pulse_reach_hold(&reach);
    return reach;
}

static pulse_rule
judge(const pulse_request *request, pulse_frame *where)
{
    where->code = NULL;
    const pulse_segment *segment = request->segment;
    const PyThreadState *thread_state = PyThreadState_Get();
    if (thread_state->c_tracefunc != NULL || thread_state->c_profilefunc != NULL || thread_state->tracing > 0) {
        return PULSE_RULE_TRACED;
    }
    if (!pulse_segment_is_running(segment)) {
        return PULSE_RULE_GREENLET;
    }
    pulse_reach reach = reach_of(segment);
    pulse_rule rule = pulse_safe_to_suspend(&reach, where);
    pulse_reach_let_go(&reach);
    if (rule != PULSE_PLACE_SAFE) {
        return rule;
    }
    // The collector's C code, and what that calls, runs on top of whatever frame it interrupted.
    if (atomic_load_explicit(&request->thread->gc_started, memory_order_relaxed) != 0) {
        return PULSE_RULE_C_CODE;
    }
    const pulse_governed *current = request->thread->current;
    bool guarded = segment->governed->guards > 0 || segment->governed->flags & PULSE_GOVERNED_GUARDED ||
                   (current != NULL && (current->guards > 0 || current->flags & PULSE_GOVERNED_GUARDED));
    if (guarded) {
        return PULSE_RULE_GUARDED;
    }
    // Last, because it takes longer than all else.
    return pulse_profilers_follow() ? PULSE_RULE_TRACED : PULSE_PLACE_SAFE;
}

static void
aim_after(uint64_t ns)
{
    pulse_aim_at(pulse_clock_ticks() + pulse_clock_from_ns(ns));
}

// Whether no later boundary will do either: the obstacle lasts, or a whole burst came to nothing in that code before.
static bool
is_hopeless(const pulse_request *request, pulse_rule rule, const pulse_frame *where)
{
    const pulse_preemption *preemption = &request->segment->governed->governor->preemption;
    return rule == PULSE_RULE_TRACED || rule == PULSE_RULE_GREENLET ||
           (rule == PULSE_RULE_MODULE && pulse_record_knows_place(preemption, rule, where));
}

// Whether the request still exists. Another thread may end all requests while the GIL is released.
static bool
is_asked(const pulse_request *request, const pulse_segment *segment)
{
    return request->segment == segment && segment->governed != NULL;
}

// Not here: look again at the next bytecode boundary or, after many of them, after a while.
static void
ask_again(pulse_request *request, pulse_rule rule, const pulse_frame *where)
{
    const pulse_segment *segment = request->segment;
    pulse_group *group = segment->governed->group;
    pulse_preemption *preemption = &segment->governed->governor->preemption;
    pulse_counter_add(&preemption->refused[rule], 1);
    // Until the poll ends, because the loop cannot read earlier what its signals write.
    pulse_wakeup_fd_divert();
    if (!is_asked(request, segment)) {
        return;
    }
    if (request->burst_began_ns == 0) {
        pulse_asking_begin_burst(request, is_hopeless(request, rule, where));
    }
    if (request->boundaries_left-- > 0) {
        PyErr_SetInterruptEx(process.signal_number);
        return;
    }
    pulse_wakeup_fd_pass_on(process.signal_number);
    pulse_record_note_place(preemption, rule, where);
    if (rule == PULSE_RULE_INSTRUCTION) {
        pulse_joined_jumps_part(where->code);
    }
    pulse_counter_add(&preemption->gave_up, 1);
    pulse_asking_in_vain(request, group);
    aim_after(pulse_asking_wait_ns(group));
}

static PyObject *
leave(pulse_request *request)
{
    pulse_segment *segment = request->segment;
    pulse_thread *thread = request->thread;
    pulse_preemption *preemption = &segment->governed->governor->preemption;
    uint64_t now = pulse_clock_ticks();
    pulse_asking_heard(request);
    pulse_counter_add(&preemption->preemptions, 1);
    pulse_histogram_record(&preemption->delay, (now - request->due) >> pulse_the_clock.histogram_shift);
    request->segment = NULL;
    // Signals with higher numbers that came together with ours are handled by the loop that called us, which now stands
    // still; another round handles them.
    PyErr_SetInterruptEx(process.signal_number);
    inner_polls inner = {thread->current, atomic_load_explicit(&thread->poll_started, memory_order_relaxed)};
    segment->opted_in = mode_of(segment->governed) == PULSE_PREEMPT_ANYWHERE;
    Py_INCREF(segment);
    int result = pulse_segment_leave(segment);
    // The segment is gone with its wrapper: the raised exception unwinds what is left.
    if (segment->governed != NULL) {
        put_back(thread, segment->governed, &inner);
        pulse_reach reach = reach_of(segment);
        if (result == 0 && segment->opted_in && pulse_segment_is_cancelled(segment) && pulse_safe_to_cancel(&reach)) {
            result = pulse_segment_raise_cancellation(segment);
        }
        pulse_reach_let_go(&reach);
        pulse_segment_put_off(segment);
    }
    Py_DECREF(segment);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
pulse_preemption_on_signal(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(arguments),
                           Py_ssize_t Py_UNUSED(count))
{
    pulse_request *request = &process.request;
    uint64_t began = pulse_clock_ticks(), deadline = atomic_load(&pulse_the_aim.deadline);
    // The signal may be late, for a poll that is over, or may have another sender.
    if (request->segment == NULL || request->segment->governed == NULL || deadline == 0 || began < deadline) {
        Py_RETURN_NONE;
    }
    const pulse_segment *segment = request->segment;
    const pulse_governed *governed = segment->governed;
    bool is_bound = request->burst_began_ns == 0 && !is_under_chaos(governed->governor);
    uint64_t wait = is_bound ? pulse_asking_wait_ns(governed->group) : 0;
    if (wait > 0) {
        // Other threads had the processor meanwhile.
        aim_after(wait);
        Py_RETURN_NONE;
    }
    pulse_frame where;
    pulse_rule rule = judge(request, &where);
    if (!is_asked(request, segment)) {
        Py_RETURN_NONE;
    }
    if (rule == PULSE_PLACE_SAFE) {
        return leave(request);
    }
    ask_again(request, rule, &where);
    Py_RETURN_NONE;
}

// Set up the request to the poll that begins now.
static void
begin_request(pulse_governed *governed, pulse_thread *thread)
{
    bool acts = thread != NULL && process.state != NULL && mode_of(governed) != PULSE_PREEMPT_OFF &&
                !(governed->preempt_mode & PULSE_PREEMPT_OBSERVED);
    if (acts && !pulse_signal_thread_is_running() && pulse_signal_thread_start(process.signal_number) < 0) {
        pulse_state_contain_error(process.state);
        acts = false;
    }
    if (!acts) {
        process.request = (pulse_request){.segment = NULL};
        atomic_store(&pulse_the_aim.deadline, 0);
        return;
    }
    uint64_t started = atomic_load_explicit(&thread->poll_started, memory_order_relaxed);
    uint64_t due = started + pulse_governed_budget(governed);
    bool at_once = is_under_chaos(governed->governor) &&
                   pulse_chaos_strikes(&governed->governor->chaos, governed->governor->chaos.preempt);
    process.request = (pulse_request){.segment = governed->segment, .thread = thread, .due = at_once ? started : due};
    if (at_once) {
        // No thread has to be woken for this.
        atomic_store(&pulse_the_aim.deadline, started);
        pulse_wakeup_fd_divert();
        PyErr_SetInterruptEx(process.signal_number);
    }
    else {
        uint64_t wait = pulse_asking_wait_ns(governed->group),
                 earliest = wait == 0 ? 0 : pulse_clock_ticks() + pulse_clock_from_ns(wait);
        pulse_aim_at(due > earliest ? due : earliest);
    }
}

PySendResult
pulse_preemption_send(pulse_governed *governed, pulse_thread *thread, PyObject *value, PyObject *exception,
                      PyObject **result, bool *preempted)
{
    pulse_request outer = process.request;
    uint64_t outer_deadline = atomic_load(&pulse_the_aim.deadline);
    bool goes_on = governed->segment->preempted;
    begin_request(governed, thread);
    PySendResult outcome = pulse_segment_step(governed, value, exception, result);
    bool overdue = process.request.segment != NULL && pulse_clock_ticks() > process.request.due;
    // The poll may have ended by itself during the search for a place.
    pulse_wakeup_fd_restore(process.signal_number);
    process.request = outer;
    atomic_store(&pulse_the_aim.deadline, outer.segment == NULL ? 0 : outer_deadline);
    *preempted = outcome == PYGEN_NEXT && *result == NULL;
    if (overdue && !*preempted && process.state != NULL) {
        retreat_if_displaced(process.state);
    }
    if (thread != NULL && (*preempted || goes_on)) {
        // Polls inside the segment may be in the middle. All of this poll is charged to the segment's own coroutine.
        thread->current = governed;
        thread->nested_ticks = thread->nested_off_cpu_ticks = 0;
    }
    if (*preempted) {
        *result = Py_NewRef(Py_None);
        return PYGEN_NEXT;
    }
    return outcome;
}

PyObject *
pulse_preemption_start(PyObject *module, PyObject *arguments)
{
    int signal_number;
    PyObject *protected_modules, *library_paths;
    if (!PyArg_ParseTuple(arguments, "iO!O!:start_preemption", &signal_number, &PyFrozenSet_Type, &protected_modules,
                          &PyTuple_Type, &library_paths)) {
        return NULL;
    }
    if (process.state != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "preemption is started already");
        return NULL;
    }
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "preemption works in the main interpreter only");
        return NULL;
    }
    if (pulse_segment_init() < 0 || pulse_code_marks_init() < 0 || pulse_wakeup_fd_init() < 0 ||
        pulse_signal_thread_start(signal_number) < 0) {
        return NULL;
    }
    PyObject *signal_module = PyImport_ImportModule("signal");
    Py_XSETREF(process.getsignal, signal_module == NULL ? NULL : PyObject_GetAttrString(signal_module, "getsignal"));
    Py_XDECREF(signal_module);
    Py_XSETREF(process.handler, PyObject_GetAttrString(module, "on_preempt_signal"));
    if (process.getsignal == NULL || process.handler == NULL) {
        return NULL;
    }
    process.signal_number = signal_number;
    process.main_thread = PyThread_get_thread_ident();
    Py_XSETREF(process.protected_modules, Py_NewRef(protected_modules));
    Py_XSETREF(process.library_paths, Py_NewRef(library_paths));
    process.state = pulse_state_of_module(module);
    Py_RETURN_NONE;
}

PyObject *
pulse_preemption_stop(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    if (process.state == pulse_state_of_module(module)) {
        pulse_signal_thread_stop();
        process.state = NULL;
        process.request.segment = NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
pulse_preemption_suspend_watchdog(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pulse_signal_thread_stop();
    Py_RETURN_NONE;
}

PyObject *
pulse_preemption_unwind(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pulse_segment_unwind_all();
    Py_RETURN_NONE;
}

PyObject *
pulse_preemption_set_starter(PyObject *module, PyObject *starter)
{
    pulse_state *state = pulse_state_of_module(module);
    Py_XSETREF(state->preemption_starter, Py_IsNone(starter) ? NULL : Py_NewRef(starter));
    Py_XSETREF(state->preemption_restarter, Py_IsNone(starter) ? NULL : Py_NewRef(starter));
    Py_RETURN_NONE;
}

PyObject *
pulse_preemption_facts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("{sOsisK}", "active", process.state != NULL ? Py_True : Py_False, "signal_number",
                         process.state != NULL ? process.signal_number : 0, "wake_ups",
                         (unsigned long long)pulse_signal_thread_wake_ups());
}
