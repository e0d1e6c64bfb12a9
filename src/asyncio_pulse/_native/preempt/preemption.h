// Preemption: which coroutines are armed, and what happens when the signal comes.
//
// The state of the signal belongs to the process, because signals do: one handler, one thread that sends, and segments of
// the main thread only. What is counted belongs to the governor. Needs the GIL.
#ifndef PULSE_PREEMPTION_H
#define PULSE_PREEMPTION_H

#include "model/governed.h"

// Before a poll that is not plain: decide how far the coroutine may be preempted in it, and arm it if it may and is not.
void pulse_preemption_prepare(pulse_governed *governed, pulse_thread *thread);

// One step of an armed coroutine; `thread` is NULL if it is not measured. `exception`, if not NULL, is raised in it instead
// of sending the value. As PyIter_Send; `preempted` tells that it was left in the middle of its code: then the outcome is
// that of a bare yield.
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
