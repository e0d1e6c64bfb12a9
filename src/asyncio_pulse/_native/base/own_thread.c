#include "base/own_thread.h"

#include <Python.h>

#ifndef _WIN32

#include <signal.h>

// A new thread inherits the signal mask of its creator.
static void
block_signals(sigset_t *before)
{
    // Signals raised by a fault of the thread itself must reach the handlers that report crashes.
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

bool
pulse_own_thread_start(void (*run)(void *), void *argument)
{
    sigset_t before;
    block_signals(&before);
    bool started = PyThread_start_new_thread(run, argument) != PYTHREAD_INVALID_THREAD_ID;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

#else

bool
pulse_own_thread_start(void (*run)(void *), void *argument)
{
    return PyThread_start_new_thread(run, argument) != PYTHREAD_INVALID_THREAD_ID;
}

#endif
