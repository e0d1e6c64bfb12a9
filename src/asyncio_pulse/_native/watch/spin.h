// Finds what makes a loop spin, that is, go round without ever waiting.
#ifndef PULSE_SPIN_H
#define PULSE_SPIN_H

#include "watch/turns.h"

// Whether the loop spins. Needs no GIL.
bool pulse_spin_is_seen(pulse_turns *turns);

// Ask the loop's own thread to find out, at its next opportunity, what makes the loop spin. Needs no GIL.
void pulse_spin_ask(pulse_turns *turns);

// Record what makes the loop spin. Called in the loop's thread, between two turns.
void pulse_spin_name(pulse_turns *turns);

#endif
