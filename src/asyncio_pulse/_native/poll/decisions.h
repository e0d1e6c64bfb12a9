// Tiers: what the decisions, which are made in Python, are told, and where their outcome is in force.
//
// Bad polls are told before a later poll begins, when it is known whether anybody waited for them, except where they can
// change nothing: at once if few were told lately, otherwise together, for half a per cent of the time at most; good ones only
// for accounts above Monitor, in bunches. Needs the GIL; Python code runs in here, and what it raises goes nowhere.
#ifndef PULSE_DECISIONS_H
#define PULSE_DECISIONS_H

#include "model/governed.h"

// The base of an account's standing; the rest of it is Python's.
typedef struct {
    PyObject_HEAD
    uint8_t tier;
    // Its tier is decided and counted, but not acted upon.
    bool observed;
    // Good polls in a row, and how many of them the decisions do not know of.
    uint32_t good_run;
    uint32_t untold;
    // Ticks; only kept up above Monitor.
    uint64_t last_poll;
    // Until then good polls can change nothing, and are not told.
    uint64_t quiet_until;
    // The same for bad ones: those that break the budget are counted, and told with the next.
    uint64_t settled_until;
    uint32_t untold_violations;
} pulse_standing;

extern PyType_Spec pulse_standing_spec;

// A judged poll that was bad; `slow` says that it took long by its own doing, `stack` may be NULL. Never calls Python.
void pulse_tiers_note(pulse_governed *governed, const pulse_verdict *verdict, bool slow, PyObject *stack, uint64_t ended);

// Tell what is due, if it is time, unless it is not yet known whether anybody waited. `next` is about to be polled, or NULL if nothing is.
void pulse_tiers_tell(pulse_governor *governor, pulse_governed *next);
void pulse_tiers_forget(pulse_governor *governor);

// Round the polls of accounts above Monitor. A poll no longer than `alarm_ticks` was neither a violation nor slow.
void pulse_tiers_before_poll(pulse_governed *governed);
void pulse_tiers_after_poll(pulse_governed *governed, uint64_t own_ticks, uint64_t alarm_ticks);

// The tier in force for a coroutine: the higher of its own and its explicit group's, capped; 0..3.
unsigned pulse_tiers_effective(const pulse_governed *governed);

// That of its own account, without its group.
unsigned pulse_tiers_own(const pulse_governed *governed);

// Whether its tier is only observed.
bool pulse_tiers_is_observed(const pulse_governed *governed);

// `stand(standing)` of coroutines and groups: put a standing in force, or None for none.
PyObject *pulse_governed_stand(PyObject *self, PyObject *standing);
PyObject *pulse_group_stand(PyObject *self, PyObject *standing);

#endif
