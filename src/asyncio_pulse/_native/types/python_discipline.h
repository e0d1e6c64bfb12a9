// Disciplines in Python: what they are shown, what they may answer, and what becomes of one that fails.
#ifndef PULSE_PYTHON_DISCIPLINE_H
#define PULSE_PYTHON_DISCIPLINE_H

#include "types/slow_queue.h"

extern PyStructSequence_Desc pulse_python_discipline_flow;

// New list of Flow: all that are known, or only those that wait. NULL with an exception on failure.
PyObject *pulse_python_discipline_flows(pulse_slow_queue *self, bool only_waiting, uint64_t now_ns);

// Ask the discipline that is plugged in for a flow that waits. Runs Python code, which may change the queue. NULL, and
// no exception, when there is no answer: if that was its own fault it is removed, and the failure logged.
pulse_flow *pulse_python_discipline_choose(pulse_slow_queue *self, uint64_t now_ns);

#endif
