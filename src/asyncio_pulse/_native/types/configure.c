#include "types/configure.h"

#include "model/governor.h"
#include "park/pump.h"
#include "park/waiting.h"
#include "watch/turns.h"

static uint64_t
from_us(unsigned long long us)
{
    return us > UINT64_MAX / 1000 ? UINT64_MAX : pulse_clock_from_ns(us * 1000);
}

PyObject *
pulse_configure_governor(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"poll_budget_us", "operation_budget",   "slow_poll_threshold_us", "cpu_sample_interval_us",
                            "max_groups",     "stall_threshold_us", "latency_target_us",      NULL};
    unsigned long long budget_us[PULSE_PRIORITIES], slow_us, sample_us, stall_us, target_us;
    Py_ssize_t max_groups;
    unsigned int operations[PULSE_PRIORITIES];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$(KKKK)(IIII)KKnKK:configure", names, &budget_us[0], &budget_us[1],
                                     &budget_us[2], &budget_us[3], &operations[0], &operations[1], &operations[2],
                                     &operations[3], &slow_us, &sample_us, &max_groups, &stall_us, &target_us)) {
        return NULL;
    }
    if (max_groups < 1) {
        PyErr_Format(PyExc_ValueError, "max_groups must be at least 1, got %zd", max_groups);
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)self;
    governor->groups.max_groups = max_groups;
    governor->groups.looks_to_skip = 0;
    governor->slow_ticks = from_us(slow_us);
    governor->cpu_sample_interval_ticks = from_us(sample_us);
    governor->stall_ticks = from_us(stall_us);
    governor->target_ticks = from_us(target_us);
    if (governor->turns != NULL) {
        atomic_store(&governor->turns->stall_after_ticks, governor->stall_ticks);
    }
    for (int i = 0; i < PULSE_PRIORITIES; i++) {
        uint64_t budget = from_us(budget_us[i]);
        governor->budget_ticks[i] = budget;
        governor->operations[i] = operations[i];
        governor->alarm_ticks[i] = budget < governor->slow_ticks ? budget : governor->slow_ticks;
    }
    // The slot may belong to another thread now.
    pulse_thread *thread = governor->thread;
    if (thread != NULL && atomic_load(&thread->python_id) == governor->python_thread_id) {
        pulse_governor_look_after(thread, governor->slow_ticks);
    }
    Py_RETURN_NONE;
}

PyObject *
pulse_configure_tiers(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"decisions", "good_cpu_ns", "evaluation_interval", "idle_decay_ms", "max_tier", "observes",
                            "off",       NULL};
    PyObject *decisions;
    unsigned long long good_ns[PULSE_TIERS], idle_ms;
    unsigned int interval[PULSE_TIERS];
    unsigned char max_tier;
    int observes, off;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O(KKKK)(IIII)Kbpp:configure_tiers", names, &decisions, &good_ns[0],
                                     &good_ns[1], &good_ns[2], &good_ns[3], &interval[0], &interval[1], &interval[2],
                                     &interval[3], &idle_ms, &max_tier, &observes, &off)) {
        return NULL;
    }
    if (max_tier >= PULSE_TIERS) {
        PyErr_Format(PyExc_ValueError, "max_tier must be 0 to %d, got %d", PULSE_TIERS - 1, max_tier);
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)self;
    if (!(governor->flags & PULSE_GOVERNOR_DETACHED)) {
        Py_XSETREF(governor->decisions, Py_IsNone(decisions) ? NULL : Py_NewRef(decisions));
    }
    for (int i = 0; i < PULSE_TIERS; i++) {
        governor->good_ticks[i] = pulse_clock_from_ns(good_ns[i]);
        governor->evaluation_interval[i] = interval[i];
    }
    governor->idle_ticks = from_us(idle_ms * 1000);
    governor->observes = observes;
    governor->max_tier = max_tier;
    if (off) {
        governor->flags |= PULSE_GOVERNOR_OFF;
        pulse_turns_stop_watching(governor);
    }
    else {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_OFF;
    }
    if (observes) {
        pulse_pump_release_all(governor);
    }
    Py_RETURN_NONE;
}

PyObject *
pulse_configure_slow_queue(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"algorithm", "max_size",       "seed",       "starvation_threshold_ms",
                            "slice_us",  "isolated_share", "breaker_ms", "turn_limit_ms",
                            NULL};
    int algorithm;
    unsigned int max_size;
    unsigned long long seed, starvation_ms, slice_us, breaker_ms, turn_limit_ms;
    double share;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$iIKKKdKK:configure_slow_queue", names, &algorithm, &max_size,
                                     &seed, &starvation_ms, &slice_us, &share, &breaker_ms, &turn_limit_ms)) {
        return NULL;
    }
    if (algorithm < PULSE_CREDIT_BASED || algorithm > PULSE_DEFICIT_ROUND_ROBIN) {
        PyErr_Format(PyExc_ValueError, "there is no algorithm %d", algorithm);
        return NULL;
    }
    pulse_pump_settings settings = {
        .algorithm = (pulse_algorithm)algorithm,
        .max_size = max_size,
        .seed = seed,
        .starvation_threshold_ns = starvation_ms * 1000000,
        .slice_ticks = from_us(slice_us),
        .isolated_share = share,
        .breaker_ticks = from_us(breaker_ms * 1000),
        .turn_ticks = from_us(turn_limit_ms * 1000),
    };
    if (pulse_waiting_configure((pulse_governor *)self, &settings) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static uint32_t
out_of_2_32(double probability)
{
    return probability >= 1 ? UINT32_MAX : (uint32_t)(probability * 4294967296.0);
}

PyObject *
pulse_configure_chaos(PyObject *self, PyObject *args)
{
    unsigned long long seed;
    double park, preempt;
    if (!PyArg_ParseTuple(args, "Kdd:set_chaos", &seed, &park, &preempt)) {
        return NULL;
    }
    if (!(park >= 0 && park <= 1 && preempt >= 0 && preempt <= 1)) {
        PyErr_SetString(PyExc_ValueError, "probabilities are 0 to 1");
        return NULL;
    }
    pulse_governor *governor = (pulse_governor *)self;
    governor->chaos = (pulse_chaos){seed, out_of_2_32(park), out_of_2_32(preempt)};
    if (park > 0 || preempt > 0) {
        governor->flags |= PULSE_GOVERNOR_CHAOS;
    }
    else {
        governor->flags &= ~(uint32_t)PULSE_GOVERNOR_CHAOS;
    }
    Py_RETURN_NONE;
}
