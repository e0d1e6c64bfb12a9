#include "preempt/verdict.h"

#include "bytecode/code_marks.h"
#include "bytecode/profilers.h"
#include "preempt/consent.h"

static PyObject *protected_modules;
static PyObject *library_paths;

void
pulse_verdict_set_rules(PyObject *modules, PyObject *paths)
{
    Py_XSETREF(protected_modules, Py_NewRef(modules));
    Py_XSETREF(library_paths, Py_NewRef(paths));
}

// The polls of a task that are under way, from the innermost one.
typedef struct {
    pulse_polled polled[PULSE_SLICES_NESTED];
    int count;
} polls_under_way;

// False if the polls cannot all be left together: one of them is not awaited by the poll around it, as the first step of an
// eager task.
static bool
list_polls(const pulse_slice *slice, polls_under_way *polls)
{
    for (polls->count = 0; slice != NULL && polls->count < PULSE_SLICES_NESTED; slice = pulse_slice_outer(slice)) {
        pulse_governed *governed = pulse_slice_owner(slice);
        polls->polled[polls->count++] = (pulse_polled){governed->coro, (PyObject *)governed};
        if (pulse_slice_is_step(slice)) {
            return true;
        }
        if (!(governed->flags & PULSE_GOVERNED_CALL)) {
            return false;
        }
    }
    return false;
}

static PyObject *
coroutine_inside(PyObject *owner)
{
    return ((const pulse_governed *)owner)->coro;
}

// Whether only a policy or the configuration lets this task be suspended between two statements, and no code named the task
// or its group. A task that a library creates in a group is such a task.
static bool
is_opted_in_by_policy(const pulse_governed *governed)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    return pulse_consent_mode(governed) == PULSE_PREEMPT_ANYWHERE &&
           (options == NULL || (options->preemptible != 1 && options->group == NULL));
}

// Held: judging allocates, so that the collector and then another thread may run and change the configuration.
static pulse_reach
reach_of(const pulse_governed *governed, const polls_under_way *polls)
{
    const pulse_preemption *preemption = &governed->governor->preemption;
    pulse_frame frame;
    pulse_frame_of(&frame, governed->coro);
    const pulse_code_marks *marks = pulse_code_marks_of(frame.code, frame.globals);
    PyErr_Clear();
    PyObject *package = marks == NULL ? NULL : marks->package;
    pulse_reach reach = {
        .mode = pulse_consent_mode(governed),
        .package = package,
        .modules = preemption->modules,
        .protected_modules = protected_modules,
        .library_paths = library_paths,
        .through_iteration = preemption->through_iteration,
        .polls = polls->polled,
        .polls_count = polls->count,
        .inside = coroutine_inside,
    };
    reach.is_for_program =
        package != NULL && (PySet_Contains(protected_modules, package) == 1 ||
                            (is_opted_in_by_policy(governed) && pulse_reach_is_library(&reach, &frame, package)));
    pulse_reach_hold(&reach);
    return reach;
}

pulse_rule
pulse_verdict_place(const pulse_thread *thread, const pulse_slice *slice, const pulse_frame *starting,
                    pulse_frame *where)
{
    *where = (pulse_frame){0};
    const PyThreadState *thread_state = PyThreadState_Get();
    if (thread_state->c_tracefunc != NULL || thread_state->c_profilefunc != NULL || thread_state->tracing > 0) {
        return PULSE_RULE_TRACED;
    }
    if (!pulse_slice_is_here(thread->slices)) {
        return PULSE_RULE_GREENLET;
    }
    pulse_governed *governed = pulse_slice_owner(slice), *giver = pulse_consent_giver(slice);
    polls_under_way polls;
    if (thread->current != governed || !list_polls(slice, &polls)) {
        // A coroutine of another kind was resumed in between, or an eager task begins.
        return PULSE_RULE_C_CODE;
    }
    pulse_reach reach = reach_of(giver, &polls);
    pulse_rule rule = pulse_safe_to_suspend(&reach, starting, where);
    pulse_reach_let_go(&reach);
    if (rule >= 0) {
        return rule;
    }
    // The collector's C code, and what that calls, runs on top of whatever frame it interrupted.
    if (atomic_load_explicit(&thread->gc_started, memory_order_relaxed) != 0) {
        return PULSE_RULE_C_CODE;
    }
    if (pulse_consent_is_guarded(governed) || pulse_consent_is_guarded(giver)) {
        return PULSE_RULE_GUARDED;
    }
    // Last, because it takes longer than all else.
    return pulse_profilers_follow() ? PULSE_RULE_TRACED : rule;
}

bool
pulse_verdict_may_cancel(const pulse_governed *governed, const pulse_slice *slice)
{
    polls_under_way polls = {.polled = {{governed->coro, (PyObject *)governed}}, .count = 1};
    pulse_reach reach = reach_of(pulse_consent_giver(slice), &polls);
    bool may = pulse_safe_to_cancel(&reach);
    pulse_reach_let_go(&reach);
    return may;
}
