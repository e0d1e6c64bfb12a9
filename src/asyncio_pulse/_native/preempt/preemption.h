// Preemption: which coroutines are armed, and what happens when the signal comes.
//
// The state of the signal belongs to the process, because signals do: there is one handler and one thread that sends, and
// segments belong to the main thread only. Counters belong to the governor. Needs the GIL.
#ifndef PULSE_PREEMPTION_H
#define PULSE_PREEMPTION_H

#include "model/governed.h"

// Before a poll that is not plain: decide how far the coroutine may be preempted in it, and arm the coroutine if necessary.
void pulse_preemption_prepare(pulse_governed *governed, pulse_thread *thread);

// One step of an armed coroutine. `thread` is NULL if the step is not measured. `exception`, if not NULL, is raised in the
// coroutine instead of sending the value. Returns as PyIter_Send. `preempted` means that the coroutine was suspended in the
// middle of its code. The outcome is then that of a bare yield.
PySendResult pulse_preemption_send(pulse_governed *governed, pulse_thread *thread, PyObject *value, PyObject *exception,
                                   PyObject **result, bool *preempted);

// Functions of the module.
PyObject *pulse_preemption_start(PyObject *module, PyObject *arguments);
PyObject *pulse_preemption_stop(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_suspend_watchdog(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_on_signal(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *pulse_preemption_unwind(PyObject *module, PyObject *ignored);
PyObject *pulse_preemption_set_starter(PyObject *module, PyObject *starter);
PyObject *pulse_preemption_facts(PyObject *module, PyObject *ignored);

#endif
