// What is overdue: a poll that was not looked at for a while, a loop that did not come back. Needs no GIL.
#ifndef PULSE_OVERDUE_H
#define PULSE_OVERDUE_H

#include "watch/turns.h"

// How long ago that was, in ticks; 0 for 0, and for what is still to come.
uint64_t pulse_overdue_age(uint64_t since);

bool pulse_overdue_has_poll(pulse_thread *thread);

// The field that names the stall of a loop that is overdue, or NULL; and whether that stall was captured already.
_Atomic(uint64_t) *pulse_overdue_field(pulse_turns *turns);
bool pulse_overdue_is_captured(pulse_turns *turns, _Atomic(uint64_t) *field);

#endif
