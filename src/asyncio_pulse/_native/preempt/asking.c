#include "preempt/asking.h"

#include "base/thread_clock.h"

enum {
    // Bytecode boundaries that one request tries before it waits.
    BURST = 1000,
    // What one boundary costs at most. The code between two boundaries may take longer, such as a call of C code.
    BOUNDARY_NS = 10000,
    // What one signal costs, with its way through kernel and interpreter.
    SIGNAL_NS = 20000,
    // What a call of Python code costs more during a search. Measured: 75 ns.
    CALL_NS = 100,
    // Beyond this, a request in vain does not lengthen the wait.
    MOST_IN_VAIN_NS = 2000000,
};

static unsigned the_percent = 1;

// A search for a place, in the main thread. It outlives the request if another poll begins meanwhile.
static struct {
    // NULL while there is none.
    pulse_group *group;
    // What the thread's CPU clock showed at its beginning, ns. Another thread may end the search.
    uint64_t began_ns;
    uint64_t judging_ticks;
    bool is_heard;
} the_search;

static uint64_t
now_ns(void)
{
    return pulse_clock_to_ns(pulse_clock_ticks());
}

uint64_t
pulse_asking_wait_ns(const pulse_group *group)
{
    uint64_t now = now_ns();
    // The CPU clock is only read if something was asked lately.
    return now >= group->ask_allowance.latest
               ? 0
               : pulse_allowance_wait(&group->ask_allowance, 0, now, pulse_thread_clock_ns());
}

void
pulse_asking_begin_burst(pulse_request *request, bool is_hopeless)
{
    request->burst_began_ns = pulse_thread_clock_ns();
    request->boundaries_left = is_hopeless ? 0 : BURST;
}

// The CPU time of the boundaries that were tried in vain, ns.
static uint64_t
end_burst(pulse_request *request, uint64_t cpu_ns)
{
    uint64_t spent = request->burst_began_ns == 0 ? 0 : cpu_ns - request->burst_began_ns,
             most = (uint64_t)(BURST + 1 - request->boundaries_left) * BOUNDARY_NS;
    request->burst_began_ns = 0;
    return spent < most ? spent : most;
}

static void
charge(pulse_group *group, uint64_t spent, uint64_t cpu_ns)
{
    // The allowance is half a per cent.
    pulse_allowance_spend(&group->ask_allowance, spent / (2 * the_percent), now_ns(), cpu_ns);
}

static void
charge_in_vain(pulse_group *group, uint64_t spent, uint64_t cpu_ns)
{
    uint64_t doubled = 2 * group->asked_in_vain_ns, least = doubled < MOST_IN_VAIN_NS ? doubled : MOST_IN_VAIN_NS;
    group->asked_in_vain_ns = spent > least ? spent : least;
    charge(group, group->asked_in_vain_ns, cpu_ns);
}

void
pulse_asking_in_vain(pulse_request *request, pulse_group *group)
{
    uint64_t cpu_ns = pulse_thread_clock_ns();
    charge_in_vain(group, end_burst(request, cpu_ns) + SIGNAL_NS, cpu_ns);
}

void
pulse_asking_begin_search(pulse_request *request, pulse_group *group)
{
    the_search.began_ns = request->burst_began_ns;
    request->burst_began_ns = 0;
    the_search.group = (pulse_group *)Py_NewRef(group);
    the_search.judging_ticks = 0;
    the_search.is_heard = false;
}

void
pulse_asking_judged(uint64_t ticks)
{
    uint64_t most = pulse_clock_from_ns(BOUNDARY_NS);
    the_search.judging_ticks += ticks < most ? ticks : most;
}

uint64_t
pulse_asking_end_search(int calls)
{
    pulse_group *group = the_search.group;
    uint64_t spent = SIGNAL_NS + (uint64_t)calls * CALL_NS + pulse_clock_to_ns(the_search.judging_ticks);
    the_search.group = NULL;
    if (the_search.is_heard) {
        charge(group, spent, the_search.began_ns);
    }
    else {
        charge_in_vain(group, spent, the_search.began_ns);
    }
    uint64_t wait = pulse_asking_wait_ns(group);
    Py_DECREF(group);
    return wait;
}

void
pulse_asking_heard(pulse_request *request, pulse_group *group)
{
    the_search.is_heard = true;
    group->asked_in_vain_ns = 0;
    group->ask_allowance = (pulse_allowance){0};
    // Only earlier attempts in vain are charged. Without any, asking is part of the suspension.
    if (request->burst_began_ns != 0) {
        uint64_t cpu_ns = pulse_thread_clock_ns();
        charge(group, end_burst(request, cpu_ns), cpu_ns);
    }
}

PyObject *
pulse_asking_set_percent(PyObject *Py_UNUSED(module), PyObject *percent)
{
    long value = PyLong_AsLong(percent);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (value < 1 || value > 100) {
        PyErr_Format(PyExc_ValueError, "a share is 1 to 100 per cent, got %ld", value);
        return NULL;
    }
    the_percent = (unsigned)value;
    Py_RETURN_NONE;
}
