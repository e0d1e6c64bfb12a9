#include "preempt/preemption.h"

#include "bytecode/code_marks.h"
#include "bytecode/pass_through.h"
#include "bytecode/vetted.h"
#include "preempt/eval_hook.h"
#include "preempt/signal_thread.h"
#include "preempt/slice.h"
#include "preempt/suspension.h"
#include "preempt/verdict.h"
#include "preempt/wakeup_fd.h"

pulse_preemption_process pulse_the_preemption;

PyObject *
pulse_preemption_start(PyObject *module, PyObject *arguments)
{
    int signal_number;
    PyObject *protected_modules, *library_paths, *vetted;
    if (!PyArg_ParseTuple(arguments, "iO!O!O!:start_preemption", &signal_number, &PyFrozenSet_Type, &protected_modules,
                          &PyTuple_Type, &library_paths, &PyDict_Type, &vetted)) {
        return NULL;
    }
    if (pulse_the_preemption.state != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "preemption is started already");
        return NULL;
    }
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "preemption works in the main interpreter only");
        return NULL;
    }
    pulse_vetted_init(vetted);
    if (pulse_code_marks_init() < 0 || pulse_pass_through_init() < 0 || pulse_wakeup_fd_init() < 0 ||
        pulse_signal_thread_start(signal_number) < 0) {
        return NULL;
    }
    PyObject *signal_module = PyImport_ImportModule("signal");
    Py_XSETREF(pulse_the_preemption.getsignal,
               signal_module == NULL ? NULL : PyObject_GetAttrString(signal_module, "getsignal"));
    Py_XDECREF(signal_module);
    Py_XSETREF(pulse_the_preemption.handler, PyObject_GetAttrString(module, "on_preempt_signal"));
    if (pulse_the_preemption.getsignal == NULL || pulse_the_preemption.handler == NULL) {
        return NULL;
    }
    pulse_the_preemption.signal_number = signal_number;
    pulse_the_preemption.main_thread = PyThread_get_thread_ident();
    pulse_verdict_set_rules(protected_modules, library_paths);
    pulse_the_preemption.state = pulse_state_of_module(module);
    Py_RETURN_NONE;
}

int
pulse_preemption_take_asked(void)
{
    return atomic_exchange(&pulse_the_aim.asked, PULSE_NOT_ASKED);
}

void
pulse_preemption_end_step(void)
{
    bool is_unheard = pulse_preemption_take_asked() == PULSE_ASKED_UNHEARD;
    pulse_eval_hook_end();
    pulse_wakeup_fd_restore(pulse_the_preemption.signal_number);
    if (is_unheard && pulse_the_preemption.state != NULL) {
        pulse_preemption_check_heard(pulse_the_preemption.state);
    }
}

PyObject *
pulse_preemption_stop(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    if (pulse_the_preemption.state == pulse_state_of_module(module)) {
        pulse_signal_thread_stop();
        // The wake-up descriptor goes back when the poll under way ends: only the main thread may set it.
        pulse_eval_hook_end();
        pulse_the_preemption.state = NULL;
        pulse_the_preemption.request = (pulse_request){0};
    }
    Py_RETURN_NONE;
}

void
pulse_preemption_after_fork(void)
{
    pulse_eval_hook_end();
    pulse_the_preemption.request = (pulse_request){0};
    pulse_the_preemption.was_running_at_fork = false;
    // The thread that forked is the child's main thread.
    pulse_the_preemption.main_thread = PyThread_get_thread_ident();
    pulse_wakeup_fd_after_fork();
}

PyObject *
pulse_preemption_suspend(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pulse_the_preemption.was_running_at_fork = pulse_signal_thread_is_running();
    pulse_the_preemption.deadline_at_fork = atomic_load(&pulse_the_aim.deadline);
    pulse_signal_thread_stop();
    Py_RETURN_NONE;
}

void
pulse_preemption_go_on(pulse_state *state)
{
    if (!pulse_the_preemption.was_running_at_fork || pulse_the_preemption.state == NULL ||
        pulse_signal_thread_is_running()) {
        return;
    }
    if (pulse_signal_thread_start(pulse_the_preemption.signal_number) < 0) {
        pulse_state_contain_error(state);
    }
    else if (pulse_the_preemption.request.poll != 0 && pulse_the_preemption.deadline_at_fork != 0) {
        // A poll that ended meanwhile left no request.
        pulse_aim_at(pulse_the_preemption.deadline_at_fork);
    }
}

PyObject *
pulse_preemption_list(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return pulse_suspension_list();
}

PyObject *
pulse_preemption_unwind(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pulse_suspension_unwind_all();
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
pulse_preemption_refusal(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("z", pulse_slice_refusal());
}

PyObject *
pulse_preemption_facts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("{sOsisK}", "active", pulse_the_preemption.state != NULL ? Py_True : Py_False, "signal_number",
                         pulse_the_preemption.state != NULL ? pulse_the_preemption.signal_number : 0, "wake_ups",
                         (unsigned long long)pulse_signal_thread_wake_ups());
}

void
pulse_preemption_check_heard(pulse_state *state)
{
    // The program may handle our signal itself by now. The next poll that may be preempted has another signal chosen.
    pulse_exception raised = pulse_exception_take();
    PyObject *handler = PyObject_CallFunction(pulse_the_preemption.getsignal, "i", pulse_the_preemption.signal_number);
    if (handler != NULL && handler != pulse_the_preemption.handler) {
        pulse_signal_thread_stop();
        pulse_the_preemption.state = NULL;
        Py_XSETREF(state->preemption_starter, Py_XNewRef(state->preemption_restarter));
    }
    Py_XDECREF(handler);
    PyErr_Clear();
    pulse_exception_put_back(raised);
}
