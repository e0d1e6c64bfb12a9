#include "base/own_thread.h"

#include <Python.h>

#include "base/os_thread.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

void
pulse_own_thread_wait_until_gone(uint64_t thread)
{
#if defined(__linux__) && defined(SYS_tgkill)
    // A thread returns in some microseconds; a debugger may hold it for longer.
    enum { MOST_TRIES = 1000, PAUSE_US = 10 };
    for (int i = 0; i < MOST_TRIES && thread != 0; i++) {
        if (syscall(SYS_tgkill, getpid(), (pid_t)thread, 0) != 0) {
            return;
        }
        pulse_os_thread_pause_us(PAUSE_US);
    }
#else
    (void)thread;
#endif
}
