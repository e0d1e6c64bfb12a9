#include "model/governor.h"

void
pulse_governor_look_after(pulse_thread *thread, uint64_t ticks)
{
    if (ticks < atomic_load(&thread->sample_after_ticks)) {
        atomic_store(&thread->sample_after_ticks, ticks);
    }
}

pulse_thread *
pulse_governor_bind_thread(pulse_governor *governor)
{
    pulse_thread *thread = pulse_thread_find(governor->state, true);
    if (thread == NULL) {
        return NULL;
    }
    governor->thread = thread;
    governor->python_thread_id = PyThreadState_GetID(PyThreadState_Get());
    pulse_governor_look_after(thread, governor->slow_ticks);
    return thread;
}

void
pulse_governor_settle_decisions(pulse_governor *governor, PyObject *result)
{
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        pulse_state_settle(governor->state, NULL);
        Py_CLEAR(governor->decisions);
        return;
    }
    pulse_state_settle(governor->state, result);
}
