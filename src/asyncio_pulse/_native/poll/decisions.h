// Reports polls to the decisions about tiers, which are made in Python.
//
// A bad poll is reported before a later poll begins, when it is known whether others waited for it. It is not reported if
// it can change nothing. Bad polls are reported at once if there were few reports lately; otherwise together, for at most
// half a per cent of the CPU time of bad polls. Good polls are reported only for accounts above Monitor, in batches. Needs
// the GIL. Python code runs in here, and its exceptions are contained.
#ifndef PULSE_DECISIONS_H
#define PULSE_DECISIONS_H

#include "model/governed.h"

// End the runs of good polls, because of a bad poll that ended at `ended`. Returns whether this poll can change a tier. If it
// cannot, it is counted, and need not be noted.
bool pulse_decisions_are_open(pulse_governed *governed, const pulse_verdict *verdict, uint64_t ended);

// Note a bad poll that can change a tier. `slow`: it took long by its own doing. `stack` may be NULL. Never calls Python code.
void pulse_decisions_note(pulse_governed *governed, const pulse_verdict *verdict, bool slow, PyObject *stack,
                          uint64_t ended);

// Report what is due, if it is time and it is known whether others waited. `next` is the coroutine about to be polled, or
// NULL.
void pulse_decisions_tell(pulse_governor *governor, pulse_governed *next);
void pulse_decisions_forget(pulse_governor *governor);

// Called before and after the polls of accounts above Monitor. A poll no longer than `alarm_ticks` was neither a violation
// nor slow.
void pulse_decisions_before_poll(pulse_governed *governed);
void pulse_decisions_after_poll(pulse_governed *governed, uint64_t own_ticks, uint64_t alarm_ticks);

#endif
