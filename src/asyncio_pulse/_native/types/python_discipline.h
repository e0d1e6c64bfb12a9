// Disciplines written in Python: what they see, what they may answer, and what happens to one that fails.
#ifndef PULSE_PYTHON_DISCIPLINE_H
#define PULSE_PYTHON_DISCIPLINE_H

#include "types/slow_queue.h"

extern PyStructSequence_Desc pulse_python_discipline_flow;

// New list of Flow: all known flows, or only those in which something waits. NULL with an exception on failure.
PyObject *pulse_python_discipline_flows(pulse_slow_queue *self, bool only_waiting, uint64_t now_ns);

// Ask the discipline in Python for a flow in which something waits. Runs Python code, which may change the queue. NULL
// without an exception if there is no answer. If this is the discipline's own fault, it is removed and the failure is
// logged.
pulse_flow *pulse_python_discipline_choose(pulse_slow_queue *self, uint64_t now_ns);

#endif
