#include "types/factory.h"

#include <stddef.h>
#include <structmember.h>

#include "model/governed.h"

enum { MOST_KEYWORDS = 16 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pulse_governor *governor;
    PyObject *earlier;
} pulse_factory;

// The object to make the task of. New reference; NULL with an exception on failure. An object that is no coroutine passes
// through, so that asyncio rejects it in its own words.
static PyObject *
govern(pulse_governor *governor, PyObject *coro)
{
    pulse_state *state = governor->state;
    if (governor->flags & PULSE_GOVERNOR_UNMEASURED) {
        return Py_NewRef(coro);
    }
    if (Py_IS_TYPE(coro, state->governed_type)) {
        pulse_governed *governed = (pulse_governed *)coro;
        if (governed->governor == NULL && governed->flags & PULSE_GOVERNED_NEW) {
            pulse_governed_become_task(governed, governor);
        }
        return Py_NewRef(coro);
    }
    int is_coroutine = pulse_governed_is_coroutine(state, coro);
    if (is_coroutine < 0) {
        PyErr_Clear();
    }
    return is_coroutine > 0 ? pulse_governed_new_task(governor, coro) : Py_NewRef(coro);
}

// In debug mode BaseEventLoop.create_task removes its own frame from the traceback of a task that it made itself. A task
// made by a factory keeps the frame, so it is removed here.
static void
trim_source_traceback(pulse_state *state, PyObject *task)
{
    PyObject *traceback = PyObject_GetAttr(task, state->str_source_traceback);
    if (traceback == NULL) {
        PyErr_Clear();
        return;
    }
    Py_ssize_t count = PyList_Check(traceback) ? PyList_GET_SIZE(traceback) : 0;
    if (count > 0) {
        PyObject *filename = PyObject_GetAttrString(PyList_GET_ITEM(traceback, count - 1), "filename");
        PyObject *suffix = PyUnicode_FromString("base_events.py");
        bool ours = filename != NULL && suffix != NULL && PyUnicode_Check(filename) &&
                    PyUnicode_Tailmatch(filename, suffix, 0, PyUnicode_GET_LENGTH(filename), 1) == 1;
        Py_XDECREF(filename);
        Py_XDECREF(suffix);
        if (ours) {
            PyList_SetSlice(traceback, count - 1, count, NULL);
        }
        PyErr_Clear();
    }
    Py_DECREF(traceback);
}

static PyObject *
names_with_loop(pulse_state *state, PyObject *keywords)
{
    Py_ssize_t count = PyTuple_GET_SIZE(keywords);
    PyObject *names = PyTuple_New(count + 1);
    if (names != NULL) {
        PyTuple_SET_ITEM(names, 0, Py_NewRef(PyTuple_GET_ITEM(state->loop_keyword, 0)));
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(names, i + 1, Py_NewRef(PyTuple_GET_ITEM(keywords, i)));
        }
    }
    return names;
}

// The class that makes the task, looked up as BaseEventLoop.create_task does. A program may have put another class into
// asyncio.tasks, such as the one written in Python. New reference.
static PyObject *
task_type(pulse_state *state)
{
    PyObject *type = PyDict_GetItemWithError(state->tasks_namespace, state->str_task);
    return Py_NewRef(type == NULL || type == state->stock_task ? state->task_type : type);
}

static PyObject *
make_task(pulse_state *state, PyObject *loop, PyObject *coro, PyObject *const *values, PyObject *keywords)
{
    Py_ssize_t count = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    PyObject *stack[MOST_KEYWORDS + 2] = {coro, loop};
    for (Py_ssize_t i = 0; i < count; i++) {
        stack[i + 2] = values[i];
    }
    PyObject *names = count == 0 ? Py_NewRef(state->loop_keyword) : names_with_loop(state, keywords);
    if (names == NULL) {
        return NULL;
    }
    PyObject *type = task_type(state);
    PyObject *task = PyObject_Vectorcall(type, stack, 1, names);
    Py_DECREF(type);
    Py_DECREF(names);
    if (task != NULL) {
        trim_source_traceback(state, task);
    }
    return task;
}

static PyObject *
factory_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    pulse_factory *factory = (pulse_factory *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Py_ssize_t keyword_count = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    if (count != 2 || keyword_count > MOST_KEYWORDS) {
        PyErr_Format(PyExc_TypeError, "a task factory takes a loop, a coroutine and keywords, got %zd arguments",
                     count);
        return NULL;
    }
    PyObject *coro = govern(factory->governor, args[1]);
    if (coro == NULL) {
        return NULL;
    }
    PyObject *task;
    if (factory->earlier == NULL) {
        task = make_task(factory->governor->state, args[0], coro, args + 2, keywords);
    }
    else {
        PyObject *stack[MOST_KEYWORDS + 2] = {args[0], coro};
        for (Py_ssize_t i = 0; i < keyword_count; i++) {
            stack[i + 2] = args[i + 2];
        }
        task = PyObject_Vectorcall(factory->earlier, stack, 2, keywords);
    }
    Py_DECREF(coro);
    return task;
}

PyObject *
pulse_factory_new(pulse_governor *governor, PyObject *earlier)
{
    if (earlier != NULL && !PyCallable_Check(earlier)) {
        PyErr_Format(PyExc_TypeError, "the earlier task factory must be callable or None, got %R", earlier);
        return NULL;
    }
    PyTypeObject *type = governor->state->task_factory_type;
    pulse_factory *factory = (pulse_factory *)type->tp_alloc(type, 0);
    if (factory != NULL) {
        factory->vectorcall = factory_call;
        factory->governor = (pulse_governor *)Py_NewRef(governor);
        factory->earlier = Py_XNewRef(earlier);
    }
    return (PyObject *)factory;
}

static int
factory_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((pulse_factory *)self)->earlier);
    return 0;
}

static int
factory_clear(PyObject *self)
{
    Py_CLEAR(((pulse_factory *)self)->earlier);
    return 0;
}

static void
factory_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    factory_clear(self);
    Py_DECREF(((pulse_factory *)self)->governor);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
get_governor(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)((pulse_factory *)self)->governor);
}

static PyObject *
get_earlier(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *earlier = ((pulse_factory *)self)->earlier;
    return Py_NewRef(earlier != NULL ? earlier : Py_None);
}

// Marks that other libraries leave on their factories are found through ours. Sentry, for one, marks that it is there
// already.
static PyObject *
factory_getattro(PyObject *self, PyObject *name)
{
    PyObject *earlier = ((pulse_factory *)self)->earlier;
    PyObject *value = PyObject_GenericGetAttr(self, name);
    if (value == NULL && earlier != NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(earlier, name);
    }
    return value;
}

static PyGetSetDef factory_getset[] = {
    {"governor", get_governor, NULL, "Who governs the tasks that it makes.", NULL},
    {"earlier", get_earlier, NULL, "The factory that it chains to, or None.", NULL},
    {NULL},
};

static PyMemberDef factory_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(pulse_factory, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot factory_slots[] = {
    {Py_tp_doc, "The task factory of a governed loop."},
    {Py_tp_dealloc, factory_dealloc},
    {Py_tp_traverse, factory_traverse},
    {Py_tp_clear, factory_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, factory_getattro},
    {Py_tp_getset, factory_getset},
    {Py_tp_members, factory_members},
    {0, NULL},
};

PyType_Spec pulse_factory_spec = {
    .name = "asyncio_pulse._core.TaskFactory",
    .basicsize = sizeof(pulse_factory),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = factory_slots,
};
