#include "preempt/wakeup_fd.h"

#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>
#endif

// Python writes each signal that it notes, as one byte, to the descriptor of signal.set_wakeup_fd. The signals of a burst,
// or of a poll that goes on for seconds, would fill that pipe: some 280 bytes fill that of asyncio. The bytes of the
// program's own signals would then be lost.
static struct {
    int sink[2];
    // signal.set_wakeup_fd; the C function behind it is hidden.
    PyObject *set_wakeup_fd;
    PyObject *sink_number;
    // warn_on_full_buffer=False.
    PyObject *silently;
    // What was in force, new reference; NULL while nothing is diverted.
    PyObject *diverted;
} wakeup = {.sink = {-1, -1}};

#ifndef _WIN32
static void
set_flags(void)
{
    for (int i = 0; i < 2; i++) {
        fcntl(wakeup.sink[i], F_SETFL, O_NONBLOCK);
        fcntl(wakeup.sink[i], F_SETFD, FD_CLOEXEC);
    }
}
#endif

int
pulse_wakeup_fd_init(void)
{
#ifndef _WIN32
    if (wakeup.sink[0] >= 0) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("signal");
    wakeup.set_wakeup_fd = module == NULL ? NULL : PyObject_GetAttrString(module, "set_wakeup_fd");
    Py_XDECREF(module);
    if (wakeup.set_wakeup_fd == NULL) {
        return -1;
    }
    if (pipe(wakeup.sink) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    set_flags();
    wakeup.sink_number = PyLong_FromLong(wakeup.sink[1]);
    wakeup.silently = Py_BuildValue("{sO}", "warn_on_full_buffer", Py_False);
    return wakeup.sink_number == NULL || wakeup.silently == NULL ? -1 : 0;
#else
    return 0;
#endif
}

void
pulse_wakeup_fd_after_fork(void)
{
#ifndef _WIN32
    int own[2];
    // Keep the numbers, because signals may be diverted just now.
    if (wakeup.sink[0] >= 0 && pipe(own) == 0) {
        for (int i = 0; i < 2; i++) {
            dup2(own[i], wakeup.sink[i]);
            close(own[i]);
        }
        set_flags();
    }
#endif
}

// Set a descriptor, and return the earlier one: a new reference, or NULL with an exception. Python would warn of a full pipe:
// its signal handler would take a lock for that, and the main thread would wait for ever if the signal came while it had the
// lock itself. The earlier setting of this cannot be read.
static PyObject *
set_fd(PyObject *descriptor)
{
    PyObject *arguments = PyTuple_Pack(1, descriptor);
    PyObject *earlier = arguments == NULL ? NULL : PyObject_Call(wakeup.set_wakeup_fd, arguments, wakeup.silently);
    Py_XDECREF(arguments);
    return earlier;
}

void
pulse_wakeup_fd_divert(void)
{
    if (wakeup.diverted == NULL) {
        wakeup.diverted = set_fd(wakeup.sink_number);
        PyErr_Clear();
    }
}

// Pass on the contents of the pipe, or discard them if there is no descriptor.
static void
empty_sink(int signal_number, long descriptor)
{
#ifndef _WIN32
    unsigned char bytes[256];
    ssize_t count;
    // The program may have taken our pipe for its own descriptor and put it back.
    descriptor = descriptor == wakeup.sink[1] ? -1 : descriptor;
    while ((count = read(wakeup.sink[0], bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < count && descriptor >= 0; i++) {
            // A byte that cannot be written would have been lost without us, too: that pipe is full.
            if (bytes[i] != signal_number && write((int)descriptor, &bytes[i], 1) < 0) {
                break;
            }
        }
    }
#else
    (void)signal_number;
    (void)descriptor;
#endif
}

void
pulse_wakeup_fd_pass_on(int signal_number)
{
    if (wakeup.diverted != NULL) {
        empty_sink(signal_number, PyLong_AsLong(wakeup.diverted));
    }
}

// Put the earlier descriptor back in force. False if this must be tried again: code near the recursion limit can call
// nothing.
static bool
put_back(PyObject **earlier)
{
    PyObject *found = set_fd(*earlier);
    bool is_tried = found != NULL || !PyErr_ExceptionMatches(PyExc_RecursionError);
    if (found != NULL && PyObject_RichCompareBool(found, wakeup.sink_number, Py_EQ) == 0) {
        // The program has set another descriptor meanwhile, which stays in force.
        Py_SETREF(*earlier, Py_NewRef(found));
        Py_XDECREF(set_fd(*earlier));
    }
    // A descriptor that was closed meanwhile is refused. Then there is none.
    PyErr_Clear();
    Py_XDECREF(found);
    return is_tried;
}

void
pulse_wakeup_fd_restore(int signal_number)
{
    if (wakeup.diverted == NULL) {
        return;
    }
    pulse_exception raised = pulse_exception_take();
    if (put_back(&wakeup.diverted)) {
        empty_sink(signal_number, PyLong_AsLong(wakeup.diverted));
        Py_CLEAR(wakeup.diverted);
    }
    pulse_exception_put_back(raised);
}
