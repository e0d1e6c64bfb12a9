// Preemption: which coroutines are armed, what happens when the signal comes, and what came of it.
//
// The state of the signal belongs to the process, because signals do: one handler, one thread that sends, and segments of
// the main thread only. What is counted belongs to the governor. Needs the GIL.
#ifndef PULSE_PREEMPTION_H
#define PULSE_PREEMPTION_H

#include "model/governed.h"

// In a coroutine's mode: only decided and counted.
enum { PULSE_PREEMPT_OBSERVED = 1u << 7 };

// Before a poll that is not plain: decide how far the coroutine may be preempted in it, and arm it if it may and is not.
void pulse_preemption_prepare(pulse_governed *governed, pulse_thread *thread);

// One step of an armed coroutine; `thread` is NULL if it is not measured. `exception`, if not NULL, is raised in it instead
// of sending the value. As PyIter_Send; `preempted` tells that it was left in the middle of its code: then the outcome is
// that of a bare yield.
PySendResult pulse_preemption_send(pulse_governed *governed, pulse_thread *thread, PyObject *value, PyObject *exception,
                                   PyObject **result, bool *preempted);

// A preempted poll that used no more, ticks, is a forced yield.
uint64_t pulse_preemption_alarm(const pulse_governed *governed);

// After a poll of `own` ticks: count it, if it is a forced yield, neither good nor bad, or would have been one.
void pulse_preemption_count(pulse_governed *governed, uint64_t own, bool is_forced);

// Functions of the module.
PyObject *pulse_preemption_start(PyObject *module, PyObject *arguments);
PyObject *pulse_preemption_stop(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_suspend_watchdog(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_on_signal(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *pulse_preemption_unwind(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_set_starter(PyObject *module, PyObject *starter);
PyObject *pulse_preemption_enter_guard(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_leave_guard(PyObject *module, PyObject *governed);
PyObject *pulse_preemption_facts(PyObject *module, PyObject *ignored);

// Methods of the governor and of groups.
PyObject *pulse_governor_configure_preemption(PyObject *self, PyObject *arguments, PyObject *kwargs);
PyObject *pulse_governor_preemption_record(PyObject *self, PyObject *ignored);
// A request was put off at this place.
void pulse_preemption_note_place(pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where);
// Whether one was put off there before, for the same reason.
bool pulse_preemption_knows_place(const pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where);
// Whether a profiler or debugger follows the calling thread's calls. Runs no Python code.
bool pulse_is_profiled(void);
void pulse_preemption_forget(pulse_governor *governor);

#endif
