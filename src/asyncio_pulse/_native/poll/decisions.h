// What the decisions about tiers, which are made in Python, are told of polls.
//
// Bad polls are told before a later poll begins, when it is known whether anybody waited for them, except where they can
// change nothing: at once if few were told lately, otherwise together, for half a per cent of the time at most; good ones only
// for accounts above Monitor, in bunches. Needs the GIL; Python code runs in here, and what it raises goes nowhere.
#ifndef PULSE_DECISIONS_H
#define PULSE_DECISIONS_H

#include "model/governed.h"

// A judged poll that was bad; `slow` says that it took long by its own doing, `stack` may be NULL. Never calls Python.
void pulse_decisions_note(pulse_governed *governed, const pulse_verdict *verdict, bool slow, PyObject *stack, uint64_t ended);

// Tell what is due, if it is time, unless it is not yet known whether anybody waited. `next` is about to be polled, or NULL if nothing is.
void pulse_decisions_tell(pulse_governor *governor, pulse_governed *next);
void pulse_decisions_forget(pulse_governor *governor);

// Round the polls of accounts above Monitor. A poll no longer than `alarm_ticks` was neither a violation nor slow.
void pulse_decisions_before_poll(pulse_governed *governed);
void pulse_decisions_after_poll(pulse_governed *governed, uint64_t own_ticks, uint64_t alarm_ticks);

#endif
