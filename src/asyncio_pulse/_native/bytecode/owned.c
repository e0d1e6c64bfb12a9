#include "bytecode/owned.h"

// A search for references from one object to another.
typedef struct {
    PyObject *wanted;
    Py_ssize_t found;
    // How far the search still goes.
    int depth;
} search;

static int
visit(PyObject *object, void *argument)
{
    search *under_way = argument;
    if (object == under_way->wanted) {
        under_way->found++;
    }
    else if (under_way->depth > 0 && object != NULL && PyObject_IS_GC(object) && Py_REFCNT(object) == 1 &&
             Py_TYPE(object)->tp_traverse != NULL) {
        under_way->depth--;
        Py_TYPE(object)->tp_traverse(object, visit, under_way);
        under_way->depth++;
    }
    return 0;
}

// References from `holder` to `wanted`, also through as many objects as `depth` tells that only the holder has.
static Py_ssize_t
references(PyObject *holder, PyObject *wanted, int depth)
{
    search found = {.wanted = wanted, .depth = depth};
    if (PyObject_IS_GC(holder) && Py_TYPE(holder)->tp_traverse != NULL) {
        Py_TYPE(holder)->tp_traverse(holder, visit, &found);
    }
    return found.found;
}

static bool
has_iterator(const pulse_frame *frame, int live)
{
    for (int i = 0; i < frame->code->co_nlocalsplus + live; i++) {
        PyObject *value = pulse_frame_value(frame, i);
        if (value != NULL && PyIter_Check(value)) {
            return true;
        }
    }
    return false;
}

// Whether another task can change the value while an iteration over it is under way.
static bool
is_changeable(PyObject *value)
{
    return PyList_Check(value) || PyDict_Check(value) || PyAnySet_Check(value);
}

// Whether the frame may iterate over the value, and nobody knows what that reads.
static bool
reads_something_else(const pulse_frame *frame, int live, PyObject *value)
{
    bool is_view = PyIter_Check(value) || PyDictViewSet_Check(value) || PyDictValues_Check(value);
    return is_view || (!is_changeable(value) && !PyTuple_Check(value) && has_iterator(frame, live));
}

bool
pulse_owned_note(pulse_owned *owned, const pulse_frame *frame, const pulse_vetted *vetted, int live)
{
    for (Py_ssize_t i = 0; vetted->owned != NULL && i < PyTuple_GET_SIZE(vetted->owned); i++) {
        PyObject *value = pulse_frame_variable(frame, PyTuple_GET_ITEM(vetted->owned, i));
        if (value == NULL || !PyObject_IS_GC(value)) {
            // It cannot contain anything.
            continue;
        }
        if (owned->count == PULSE_OWNED_MOST || reads_something_else(frame, live, value)) {
            return false;
        }
        owned->values[owned->count] = value;
        owned->required[owned->count] = is_changeable(value);
        owned->found[owned->count++] = 0;
    }
    return true;
}

void
pulse_owned_count(pulse_owned *owned, const pulse_frame *frame, int live)
{
    // Iterators hold what they iterate over; `enumerate` holds an iterator.
    enum { DEPTH_OF_ITERATORS = 1 };
    for (int i = 0; i < frame->code->co_nlocalsplus + live; i++) {
        PyObject *value = pulse_frame_value(frame, i);
        if (value == NULL || !pulse_frame_counts(frame, i)) {
            continue;
        }
        // An iterator or a variable that a function inside may use, but only this frame has it.
        bool is_means =
            Py_REFCNT(value) == 1 && (PyCell_Check(value) || (PyIter_Check(value) && !PyGen_CheckExact(value)));
        for (int j = 0; j < owned->count; j++) {
            owned->found[j] += value == owned->values[j];
            if (is_means) {
                owned->found[j] += references(value, owned->values[j], DEPTH_OF_ITERATORS);
            }
        }
    }
}

bool
pulse_owned_are(const pulse_owned *owned)
{
    // An object may have its attributes in a dictionary.
    enum { DEPTH_OF_OBJECTS = 1 };
    PyObject *holder = NULL;
    for (int i = owned->count - 1; i >= 0; i--) {
        PyObject *value = owned->values[i];
        Py_ssize_t others = Py_REFCNT(value) - owned->found[i];
        bool is_owned = others <= 0 || (holder != NULL && references(holder, value, DEPTH_OF_OBJECTS) >= others);
        if (owned->required[i] && !is_owned) {
            return false;
        }
        holder = is_owned ? value : NULL;
    }
    return true;
}
