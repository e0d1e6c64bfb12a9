// Finds the governor, the group and the options of a coroutine, at its first poll.
//
// Not at its creation: the task's own context, from which it inherits an explicit group, is in force only from the first
// poll on. This also keeps creation cheap.
#include "poll/first_poll.h"

#include "bytecode/safe_place.h"
#include "model/implicit_group.h"

// Name of the explicit group to enter. New reference; NULL without an exception if there is none.
static PyObject *
explicit_name(pulse_state *state, pulse_options *options)
{
    if (options != NULL && options->group != NULL) {
        return Py_NewRef(options->group);
    }
    PyObject *name = NULL;
    if (PyContextVar_Get(state->group_variable, NULL, &name) < 0) {
        return NULL;
    }
    return name;
}

static int
enter_group(pulse_governed *governed, pulse_group *group)
{
    if (governed->group == group) {
        Py_DECREF(group);
        return 0;
    }
    if (governed->group != NULL && governed->counted_alive) {
        atomic_fetch_sub_explicit(&governed->group->alive, 1, memory_order_relaxed);
        if (pulse_counter_read(&governed->polls) == 0) {
            // It is in its first poll, before anything was counted in that group: it never belonged to it.
            atomic_fetch_sub_explicit(&governed->group->tasks, 1, memory_order_relaxed);
        }
    }
    pulse_counter_add(&group->tasks, 1);
    pulse_counter_add(&group->alive, 1);
    governed->counted_alive = true;
    Py_XSETREF(governed->group, group);
    return 0;
}

// Children inherit the group through the context.
static int
publish_group(pulse_governed *governed, PyObject *name)
{
    PyObject *token = PyContextVar_Set(governed->governor->state->group_variable, name);
    if (token == NULL) {
        return -1;
    }
    if (governed->group_token == NULL) {
        governed->group_token = token;
    }
    else {
        // The first token restores what was set before ours.
        Py_DECREF(token);
    }
    return 0;
}

// Show a new explicit group to the decisions, which may know its name.
static void
introduce(pulse_governor *governor, pulse_group *group)
{
    if (group->introduced || governor->decisions == NULL || !group->is_explicit) {
        return;
    }
    group->introduced = true;
    PyObject *decisions = Py_NewRef(governor->decisions);
    pulse_governor_settle_decisions(governor, PyObject_CallMethod(decisions, "on_new_group", "O", group));
    Py_DECREF(decisions);
}

static int
find_and_enter_group(pulse_governed *governed, pulse_options *options)
{
    pulse_governor *governor = governed->governor;
    PyObject *name = explicit_name(governor->state, options);
    if (name == NULL && PyErr_Occurred()) {
        return -1;
    }
    bool is_explicit = name != NULL;
    pulse_group *group = is_explicit ? pulse_groups_find(&governor->groups, governor->state, name, true)
                                     : pulse_implicit_group(&governor->groups, governor->state, governed->coro);
    Py_XDECREF(name);
    if (group == NULL) {
        return -1;
    }
    introduce(governor, group);
    if (group->priority != PULSE_UNSET) {
        governed->priority = (uint8_t)group->priority;
    }
    return enter_group(governed, group);
}

static int
enter_options(pulse_governed *governed, pulse_options *options)
{
    if (governed->group == NULL || (options != NULL && options->group != NULL)) {
        if (find_and_enter_group(governed, options) < 0) {
            return -1;
        }
    }
    if (options == NULL) {
        return 0;
    }
    bool has_context = !(governed->flags & PULSE_GOVERNED_MANUAL);
    if (options->group != NULL && has_context && publish_group(governed, options->group) < 0) {
        return -1;
    }
    if (options->priority != PULSE_UNSET) {
        governed->priority = (uint8_t)options->priority;
    }
    if (options->budget_us != PULSE_UNSET) {
        governed->flags |= PULSE_GOVERNED_BUDGET;
    }
    if (options->preemptible != PULSE_UNSET) {
        governed->flags |= PULSE_GOVERNED_OPTED;
    }
    Py_XSETREF(governed->options, Py_NewRef((PyObject *)options));
    return 0;
}

// A task made of a decorated function runs the decorator's coroutine, which awaits the governed call at once. In that case
// the options are meant for the task. `code` is the code object that all those coroutines share.
static int
is_decorator_of(const pulse_governed *outer, const pulse_governed *call)
{
    pulse_options *options = (pulse_options *)call->options;
    pulse_options *given = (pulse_options *)outer->options;
    if (options == NULL || options->code == NULL || pulse_counter_read(&outer->polls) != 0 ||
        // The decorator's options were given already: this is another decorated function, called by the first one.
        (given != NULL && given->code != NULL)) {
        return 0;
    }
    PyObject *code = PyObject_GetAttr(outer->coro, outer->governor->state->str_cr_code);
    if (code == NULL) {
        PyErr_Clear();
        return 0;
    }
    int same = code == options->code;
    Py_DECREF(code);
    return same;
}

static int
give_options_to(pulse_governed *outer, pulse_governed *call)
{
    // Options given when the task was spawned override those of the decorator.
    PyObject *merged = pulse_options_merge(outer->governor->state, outer->options, call->options);
    if (merged == NULL) {
        return -1;
    }
    int result = enter_options(outer, (pulse_options *)merged);
    Py_DECREF(merged);
    return result;
}

// Whether the task may be suspended anywhere from its first poll on, because its code asks for that, or its group's policy.
static bool
is_preemptible(const pulse_governed *outer)
{
    const pulse_options *options = (const pulse_options *)outer->options;
    return (options != NULL && options->preemptible == 1) || outer->group->preempt == PULSE_PREEMPT_ANYWHERE;
}

// A task that gets its options from its own function is already in its first poll, too late to ask that poll as they say.
// Its call can still be asked.
static void
stand_in_for(pulse_governed *outer, pulse_governed *call)
{
    outer->flags |= PULSE_GOVERNED_DELEGATES;
    call->governor = (pulse_governor *)Py_NewRef((PyObject *)outer->governor);
    call->group = (pulse_group *)Py_NewRef((PyObject *)outer->group);
    call->priority = outer->priority;
    call->flags |= PULSE_GOVERNED_OPTED | (outer->flags & PULSE_GOVERNED_BUDGET);
    Py_XSETREF(call->options, Py_XNewRef(outer->options));
}

static int
begin_call(pulse_governed *call)
{
    pulse_thread *thread = pulse_thread_find(pulse_state_of_module(call->module), false);
    pulse_governed *outer = thread == NULL ? NULL : thread->current;
    if (outer == NULL || outer->governor->flags & PULSE_GOVERNOR_UNMEASURED) {
        call->flags |= PULSE_GOVERNED_TRANSPARENT;
        return 0;
    }
    if (is_decorator_of(outer, call)) {
        if (give_options_to(outer, call) < 0) {
            return -1;
        }
        if (is_preemptible(outer)) {
            stand_in_for(outer, call);
        }
        else {
            call->flags |= PULSE_GOVERNED_TRANSPARENT;
        }
        return 0;
    }
    call->governor = (pulse_governor *)Py_NewRef(outer->governor);
    call->priority = outer->priority;
    return enter_options(call, (pulse_options *)call->options);
}

void
pulse_first_poll_begin(pulse_governed *governed)
{
    governed->flags = (governed->flags & ~(uint32_t)PULSE_GOVERNED_NEW) | PULSE_GOVERNED_BINDING;
    pulse_state *state = pulse_state_of_module(governed->module);
    int result = 0;
    if (governed->flags & PULSE_GOVERNED_CALL) {
        result = begin_call(governed);
    }
    else if (governed->governor->flags & PULSE_GOVERNOR_UNMEASURED) {
        governed->flags |= PULSE_GOVERNED_TRANSPARENT;
    }
    else {
        result = enter_options(governed, (pulse_options *)governed->options);
    }
    if (result < 0) {
        governed->flags |= PULSE_GOVERNED_TRANSPARENT;
        pulse_state_contain_error(state);
    }
    governed->flags &= ~(uint32_t)PULSE_GOVERNED_BINDING;
}

PyObject *
pulse_first_poll_update(PyObject *self, PyObject *options)
{
    pulse_governed *governed = (pulse_governed *)self;
    pulse_state *state = pulse_state_of_module(governed->module);
    if (!Py_IS_TYPE(options, state->options_type)) {
        PyErr_Format(PyExc_TypeError, "options must be Options, got %R", options);
        return NULL;
    }
    if (governed->governor == NULL || !governed->counted_alive || governed->group == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "only a governed task that has begun and not ended can be updated");
        return NULL;
    }
    pulse_thread *thread = pulse_thread_find(state, false);
    if (((pulse_options *)options)->group != NULL && (thread == NULL || thread->current != governed)) {
        // Children inherit the group through the task's context, which is in force only while the task runs.
        PyErr_SetString(PyExc_RuntimeError, "the group of a task can only be changed from inside the task");
        return NULL;
    }
    PyObject *merged = pulse_options_merge(state, options, governed->options);
    if (merged == NULL) {
        return NULL;
    }
    int result = 0;
    if (((pulse_options *)options)->group == NULL) {
        // The group has not changed, so it is not entered a second time.
        pulse_options *kept = (pulse_options *)merged;
        PyObject *group = kept->group;
        kept->group = NULL;
        result = enter_options(governed, kept);
        kept->group = group;
    }
    else {
        result = enter_options(governed, (pulse_options *)merged);
    }
    Py_DECREF(merged);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
