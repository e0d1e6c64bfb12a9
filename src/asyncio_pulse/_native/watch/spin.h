// What makes a loop spin: it goes round and never waits.
#ifndef PULSE_SPIN_H
#define PULSE_SPIN_H

#include "watch/turns.h"

// Whether the loop goes round without ever waiting. Needs no GIL.
bool pulse_spin_is_seen(pulse_turns *turns);

// Without the GIL: have the loop's own thread find out what makes it spin, at its next opportunity.
void pulse_spin_ask(pulse_turns *turns);

// Enter what makes the loop spin; in its own thread, between two turns.
void pulse_spin_name(pulse_turns *turns);

#endif
