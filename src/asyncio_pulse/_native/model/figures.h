// Figures as Python shows them: numbers, accounts and histograms as dicts and lists, times in ns.
//
// Everything needs the GIL. Python code may run, because an allocation may collect garbage.
#ifndef PULSE_FIGURES_H
#define PULSE_FIGURES_H

#include "base/totals.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/histogram.h"

// Upper bound of a bucket, ns.
static inline uint64_t
pulse_figures_bound_ns(unsigned bucket)
{
    return pulse_clock_to_ns(((pulse_histogram_upper(bucket) + 1) << pulse_the_clock.histogram_shift) - 1);
}

// A new list of (upper bound in ns, count). `counted` receives the sum of the counts.
PyObject *pulse_figures_histogram(const pulse_histogram *histogram, uint64_t *counted);

// Add the numbers of an totals, in ns, or one number to a dict. -1 with an exception on failure.
int pulse_figures_set_totals(const pulse_totals *totals, PyObject *dict);
int pulse_figures_set_number(PyObject *dict, const char *key, uint64_t value);

#endif
