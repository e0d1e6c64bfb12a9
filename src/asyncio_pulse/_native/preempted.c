#include "preempted.h"

PySendResult
pulse_park_preempted(pulse_governed *Py_UNUSED(governed), PyObject **result)
{
    // A bare yield: asyncio schedules the next step behind everything that is ready.
    *result = Py_NewRef(Py_None);
    return PYGEN_NEXT;
}
