#include "model/account.h"

#include <stddef.h>
#include <structmember.h>

#include "base/clock.h"

int
pulse_account_check(pulse_state *state, PyObject *account)
{
    if (!Py_IsNone(account) && !PyObject_TypeCheck(account, state->account_type)) {
        PyErr_Format(PyExc_TypeError, "an Account or None was expected, got %R", account);
        return -1;
    }
    return 0;
}

static int
account_set_tier(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    long tier = value == NULL ? -1 : PyLong_AsLong(value);
    if (tier < 0 || tier > 3) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "a tier is 0 to 3, got %R", value == NULL ? Py_None : value);
        }
        return -1;
    }
    pulse_account *account = pulse_account_of(self);
    if (account->tier == 0) {
        // Kept up to date from now on. A later change of tier does not count as a poll: it may come from idleness.
        account->last_poll = pulse_clock_ticks();
    }
    account->tier = (uint8_t)tier;
    account->good_run = account->untold = 0;
    account->quiet_until = account->settled_until = 0;
    return 0;
}

// `closure` is the offset of the time in an account.
static uint64_t *
time_of(PyObject *self, void *closure)
{
    return (uint64_t *)(void *)((char *)self + (size_t)closure);
}

static int
account_set_time(PyObject *self, PyObject *value, void *closure)
{
    unsigned long long until_ns = value == NULL ? 0 : PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    *time_of(self, closure) = pulse_clock_from_ns(until_ns);
    return 0;
}

static PyObject *
account_get_time(PyObject *self, void *closure)
{
    return PyLong_FromUnsignedLongLong(pulse_clock_to_ns(*time_of(self, closure)));
}

static PyObject *
account_get_tier(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(pulse_account_of(self)->tier);
}

static void
account_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef account_members[] = {
    {"observed", T_BOOL, offsetof(pulse_account, observed), 0, "Decided and counted, but not acted upon."},
    {"untold_violations", T_UINT, offsetof(pulse_account, untold_violations), 0,
     "Violations while `settled_until_ns` lay ahead, since this was last set to 0."},
    {NULL},
};

static PyGetSetDef account_getset[] = {
    {"tier", account_get_tier, account_set_tier, "The tier in force once the account is set; 0..3.", NULL},
    {"quiet_until_ns", account_get_time, account_set_time,
     "Good polls before this time are not reported; ns of monotonic_ns, 0 for always.",
     (void *)offsetof(pulse_account, quiet_until)},
    {"settled_until_ns", account_get_time, account_set_time,
     "The same for bad polls, if it holds for group and task; ns of monotonic_ns, 0 for always.",
     (void *)offsetof(pulse_account, settled_until)},
    {"last_poll_ns", account_get_time, NULL, "Its last poll, while above Monitor; ns of monotonic_ns.",
     (void *)offsetof(pulse_account, last_poll)},
    {NULL},
};

static PyType_Slot account_slots[] = {
    {Py_tp_doc, "The tier of an account, where the core looks it up; Python adds how it came about."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, account_dealloc},
    {Py_tp_members, account_members},
    {Py_tp_getset, account_getset},
    {0, NULL},
};

PyType_Spec pulse_account_spec = {
    .name = "asyncio_pulse._core.Account",
    .basicsize = sizeof(pulse_account),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = account_slots,
};
