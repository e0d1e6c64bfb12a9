// The results of preemption, by governor, and how far it may go there. Needs the GIL.
#ifndef PULSE_RECORD_H
#define PULSE_RECORD_H

#include "model/governed.h"

// A preempted poll that used no more than this, in ticks, is a forced yield.
uint64_t pulse_record_alarm(const pulse_governed *governed);

// After a poll of `own` ticks: count it, if it is a forced yield, neither good nor bad, or would have been one.
void pulse_record_count(pulse_governed *governed, uint64_t own, bool is_forced);

// A request was put off at this place.
void pulse_record_note_place(pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where);

// Whether a request was put off there before, for the same reason.
bool pulse_record_knows_place(const pulse_preemption *preemption, pulse_rule rule, const pulse_frame *where);

// The governor is deallocated: drop what it holds for preemption.
void pulse_record_forget(pulse_governor *governor);

// Methods of the governor.
PyObject *pulse_record_configure(PyObject *self, PyObject *arguments, PyObject *kwargs);
PyObject *pulse_record_show(PyObject *self, PyObject *ignored);

#endif
