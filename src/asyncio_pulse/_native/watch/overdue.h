// What is overdue: a poll that has run for long and is due for a look, or a loop that has not come back in time. Needs no
// GIL.
#ifndef PULSE_OVERDUE_H
#define PULSE_OVERDUE_H

#include "watch/turns.h"

// Ticks since `since`; 0 if `since` is 0 or still to come.
uint64_t pulse_overdue_age(uint64_t since);

bool pulse_overdue_has_poll(pulse_thread *thread);

// The field that identifies the stall of an overdue loop, or NULL if the loop is not overdue; and whether that stall was
// captured already.
_Atomic(uint64_t) *pulse_overdue_field(pulse_turns *turns);
bool pulse_overdue_is_captured(pulse_turns *turns, _Atomic(uint64_t) *field);

#endif
