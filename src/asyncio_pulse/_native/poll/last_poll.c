#include "poll/last_poll.h"

#include "poll/due.h"

// End the group that was set in the context. A token works only in its own context. A coroutine that was driven in several
// contexts has no context of its own to restore.
static void
restore_group(pulse_governed *governed)
{
    if (governed->group_token != NULL) {
        pulse_exception raised = pulse_exception_take();
        if (PyContextVar_Reset(governed->governor->state->group_variable, governed->group_token) < 0) {
            PyErr_Clear();
        }
        pulse_exception_put_back(raised);
        Py_CLEAR(governed->group_token);
    }
}

void
pulse_last_poll_finish(pulse_governed *governed)
{
    pulse_governed_no_longer_alive(governed);
    restore_group(governed);
    if (governed->flags & PULSE_GOVERNED_DUE) {
        pulse_due_keep(governed);
    }
}
