// Account: the tier of a task or of an explicit group, where the core looks it up. Python decides the tier, and adds how
// it came about.
//
// Coroutines and groups have none until they first misbehave. Needs the GIL; runs no Python code.
#ifndef PULSE_ACCOUNT_H
#define PULSE_ACCOUNT_H

#include "model/state.h"

// The base of an account. Python adds the rest.
typedef struct {
    PyObject_HEAD
    uint8_t tier;
    // The tier is decided and counted, but not acted upon.
    bool observed;
    // Good polls in a row, and how many of them were not yet reported to the decisions.
    uint32_t good_run;
    uint32_t untold;
    // Ticks; kept up to date only above Monitor.
    uint64_t last_poll;
    // Good polls before this time cannot change the tier, so they are not reported.
    uint64_t quiet_until;
    // The same for bad polls. Those over budget are counted, and reported with the next bad poll.
    uint64_t settled_until;
    uint32_t untold_violations;
} pulse_account;

extern PyType_Spec pulse_account_spec;

static inline pulse_account *
pulse_account_of(PyObject *account)
{
    return (pulse_account *)account;
}

// 0 without an account.
static inline unsigned
pulse_account_tier(PyObject *account)
{
    return account == NULL ? 0 : pulse_account_of(account)->tier;
}

// -1 with an exception unless the object is an Account or None.
int pulse_account_check(pulse_state *state, PyObject *account);

#endif
