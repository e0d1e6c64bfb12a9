#include "preempt/eval_hook.h"

#include "base/clock.h"
#include "bytecode/frame_layout.h"

enum {
    // Bounds what the calls cost in all. Time does not: something else may have the processor for a while.
    MOST_CALLS = 5000,
    MOST_STACK = 64 * 1024,
};

// The hook belongs to the interpreter. Only the main interpreter has one of ours.
static struct {
    // NULL while it is not set.
    pulse_eval_hook hook;
    pulse_eval_hook_ended ended;
    PyThreadState *thread_state;
    uint64_t until;
    int calls_left;
} set;

// The stack of each thread at its first call since the hook was set until `until`.
static _Thread_local struct {
    uint64_t until;
    const char *stack;
} first_call;

static PyObject *evaluate(PyThreadState *thread_state, pulse_frame_layout *frame, int throws);

void
pulse_eval_hook_end(void)
{
    if (set.hook == NULL) {
        return;
    }
    set.hook = NULL;
    PyInterpreterState *interpreter = PyInterpreterState_Main();
    if (_PyInterpreterState_GetEvalFrameFunc(interpreter) == evaluate) {
        _PyInterpreterState_SetEvalFrameFunc(interpreter, _PyEval_EvalFrameDefault);
    }
    set.ended(MOST_CALLS - set.calls_left);
}

// Without the hook, calls of Python functions by Python code take no room on the C stack, and a thread may have little of
// it. So the hook ends for all threads before nested calls of one of them take much.
static bool
is_over(void)
{
    if (first_call.until != set.until) {
        first_call.until = set.until;
        first_call.stack = PULSE_STACK_HERE();
    }
    return first_call.stack - PULSE_STACK_HERE() > MOST_STACK || set.calls_left == 0 || pulse_clock_ticks() > set.until;
}

static PyObject *
evaluate(PyThreadState *thread_state, pulse_frame_layout *frame, int throws)
{
    if (set.hook != NULL && is_over()) {
        pulse_eval_hook_end();
    }
    else if (set.hook != NULL) {
        set.calls_left--;
        pulse_frame seen;
        throws =
            throws || (thread_state == set.thread_state && pulse_frame_starting(&seen, frame) && set.hook(&seen) < 0);
    }
    return _PyEval_EvalFrameDefault(thread_state, frame, throws);
}

bool
pulse_eval_hook_set(pulse_eval_hook hook, pulse_eval_hook_ended ended)
{
    PyInterpreterState *interpreter = PyInterpreterState_Main();
    if (_PyInterpreterState_GetEvalFrameFunc(interpreter) != _PyEval_EvalFrameDefault) {
        return false;
    }
    set.thread_state = PyThreadState_Get();
    _PyInterpreterState_SetEvalFrameFunc(interpreter, evaluate);
    set.hook = hook;
    set.ended = ended;
    set.until = pulse_clock_ticks() + pulse_clock_from_ns(PULSE_EVAL_HOOK_NS);
    set.calls_left = MOST_CALLS;
    return true;
}
