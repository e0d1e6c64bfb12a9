#include "model/thread.h"

#include <string.h>

#include "base/thread_clock.h"

static pulse_thread *
first(pulse_state *state)
{
    return atomic_load_explicit(&state->threads, memory_order_acquire);
}

static bool
is_alive(uint64_t python_id)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    for (PyThreadState *each = PyInterpreterState_ThreadHead(interpreter); each != NULL;
         each = PyThreadState_Next(each)) {
        if (PyThreadState_GetID(each) == python_id) {
            return true;
        }
    }
    return false;
}

// Call it in the thread with that number, or with 0 for no thread.
static void
give_to(pulse_thread *thread, uint64_t python_id)
{
    atomic_store_explicit(&thread->poll_started, 0, memory_order_relaxed);
    thread->current = NULL;
    thread->clocked_task = NULL;
    thread->os_thread = python_id == 0 ? 0 : pulse_os_thread_self();
    thread->preemption_tried = 0;
    // Not freed: coroutines of an ended thread may be suspended on them.
    thread->slices = NULL;
    thread->nested_ticks = thread->nested_off_cpu_ticks = thread->gc_ticks = 0;
    atomic_store(&thread->gc_started, 0);
    thread->cpu_sampled_at = thread->cpu_sampled_ns = 0;
    thread->off_cpu = (pulse_off_cpu_reading){0};
    thread->off_cpu_allowance = (pulse_allowance){0};
    atomic_store(&thread->sample_after_ticks, UINT64_MAX);
    atomic_store_explicit(&thread->python_id, python_id, memory_order_relaxed);
}

static pulse_thread *
new_slot(pulse_state *state, uint64_t python_id)
{
    pulse_thread *thread = PyMem_RawCalloc(1, sizeof *thread);
    if (thread == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    give_to(thread, python_id);
    thread->next = first(state);
    atomic_store_explicit(&state->threads, thread, memory_order_release);
    return thread;
}

pulse_thread *
pulse_thread_find(pulse_state *state, bool create)
{
    uint64_t python_id = PyThreadState_GetID(PyThreadState_Get());
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        if (atomic_load_explicit(&each->python_id, memory_order_relaxed) == python_id) {
            return each;
        }
    }
    if (!create) {
        return NULL;
    }
    // Slots of threads that ended are reused, so their number is bounded by the threads alive at one time.
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        if (!is_alive(atomic_load_explicit(&each->python_id, memory_order_relaxed))) {
            give_to(each, python_id);
            return each;
        }
    }
    return new_slot(state, python_id);
}

uint64_t
pulse_thread_sample_cpu(pulse_thread *thread)
{
    thread->cpu_sampled_ns = pulse_thread_clock_ns();
    thread->cpu_samples++;
    thread->cpu_sampled_at = pulse_clock_ticks();
    return thread->cpu_sampled_at;
}

bool
pulse_thread_modules_grew(pulse_thread *thread)
{
    // Borrowed.
    PyObject *modules = PyImport_GetModuleDict();
    Py_ssize_t before = thread->modules;
    thread->modules = modules != NULL && PyDict_Check(modules) ? PyDict_GET_SIZE(modules) : 0;
    return before != 0 && thread->modules > before;
}

uint64_t
pulse_threads_collected(pulse_state *state)
{
    uint64_t ticks = 0, now = pulse_clock_ticks();
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        uint64_t started = atomic_load(&each->gc_started);
        ticks += pulse_counter_read(&each->collected_ticks) + (started != 0 && now > started ? now - started : 0);
    }
    return ticks;
}

void
pulse_threads_after_fork(pulse_state *state)
{
    uint64_t python_id = PyThreadState_GetID(PyThreadState_Get());
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        each->cpu_sampled_at = each->cpu_sampled_ns = each->cpu_samples = 0;
        each->off_cpu = (pulse_off_cpu_reading){0};
        each->off_cpu_allowance = (pulse_allowance){0};
        pulse_samples_clear(&each->samples);
        // The thread that forked is the child's main thread, and has a new number.
        each->os_thread = pulse_os_thread_self();
        each->preemption_tried = 0;
        if (atomic_load_explicit(&each->python_id, memory_order_relaxed) != python_id) {
            give_to(each, 0);
        }
    }
}

int
pulse_threads_traverse(pulse_state *state, visitproc visit, void *arg)
{
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        for (int i = 0; i < each->samples.places; i++) {
            Py_VISIT(each->samples.stacks[i]);
        }
    }
    return 0;
}

void
pulse_threads_clear_samples(pulse_state *state)
{
    for (pulse_thread *each = first(state); each != NULL; each = each->next) {
        pulse_samples_clear(&each->samples);
    }
}

void
pulse_threads_free(pulse_state *state)
{
    pulse_thread *thread = first(state);
    atomic_store_explicit(&state->threads, NULL, memory_order_relaxed);
    while (thread != NULL) {
        pulse_thread *next = thread->next;
        pulse_samples_clear(&thread->samples);
        PyMem_RawFree(thread);
        thread = next;
    }
}
