// What groups show. The counters of a group are one block of numbers, so that a thousand groups are read within a
// millisecond.
//
// Everything needs the GIL. Python code may run, because an allocation may collect garbage.
#ifndef PULSE_GROUP_REPORT_H
#define PULSE_GROUP_REPORT_H

#include "model/group.h"

// A new list of (group, its Account or None, bytes), most wall time first. The bytes are native 64-bit numbers: polls;
// wall, CPU and collector's time; violations; slow polls; forced yields; longest poll; tasks; tasks alive; then the upper
// bound and the count of each bucket of the histogram that is not empty. Times are in ns.
PyObject *pulse_group_report_of(pulse_group_table *table);

// `GroupTotals`: the groups of several governors, added up by name.
extern PyType_Spec pulse_group_report_totals_spec;

#endif
