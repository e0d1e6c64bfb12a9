// What groups show: their counters as one block of numbers each, so that a thousand of them are read within a millisecond.
//
// Everything needs the GIL. Python code may run: allocating may collect garbage.
#ifndef PULSE_GROUP_REPORT_H
#define PULSE_GROUP_REPORT_H

#include "model/group.h"

// New list of (upper bound in ns, count), and how many were counted.
PyObject *pulse_histogram_to_list(const pulse_histogram *histogram, uint64_t *counted);

// Add the numbers of an account, in ns, to a dict.
int pulse_account_to_dict(const pulse_account *account, PyObject *dict);
int pulse_dict_set_number(PyObject *dict, const char *key, uint64_t value);

// A new list of (group, its Standing or None, bytes), most wall time first. The bytes are native 64-bit numbers: polls, wall,
// CPU and collector's time, violations, slow polls, forced yields, longest poll, tasks, tasks alive, then upper bound and
// count of each bucket of the histogram that is not empty. Times are in ns.
PyObject *pulse_groups_report(pulse_group_table *table);

// `GroupTotals`: the groups of several governors added up by name.
extern PyType_Spec pulse_group_totals_spec;

#endif
