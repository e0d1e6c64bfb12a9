// Figures as Python shows them: numbers, accounts and histograms as dicts and lists, times in ns.
//
// Everything needs the GIL. Python code may run: allocating may collect garbage.
#ifndef PULSE_FIGURES_H
#define PULSE_FIGURES_H

#include "base/account.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/histogram.h"

// Upper bound of a bucket.
static inline uint64_t
pulse_figures_bound_ns(unsigned bucket)
{
    return pulse_clock_to_ns(((pulse_histogram_upper(bucket) + 1) << pulse_the_clock.histogram_shift) - 1);
}

// New list of (upper bound in ns, count), and how many were counted.
PyObject *pulse_figures_histogram(const pulse_histogram *histogram, uint64_t *counted);

// Add the numbers of an account, in ns, to a dict.
int pulse_figures_set_account(const pulse_account *account, PyObject *dict);
int pulse_figures_set_number(PyObject *dict, const char *key, uint64_t value);

#endif
