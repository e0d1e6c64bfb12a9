// What a loop waits for, seen without the GIL and without cost to the loop. Two looks at its thread show how long the
// thread slept and how often it woke.
//
// This finds two things that no long turn shows. A loop may wait for the GIL after its selector has returned; its thread
// then wakes every switch interval. And a loop may be blocked for most of the time in turns too short to be stalls.
#ifndef PULSE_WAITS_H
#define PULSE_WAITS_H

#include "watch/turns.h"

// Look at the loop's thread. Called by the watchdog at each of its looks; needs no GIL.
void pulse_waits_look(pulse_turns *turns, uint64_t now_ns, uint64_t switch_interval_ns);

// Whether the loop has waited for the GIL, in its selector, for longer than a stall.
bool pulse_waits_is_overdue(pulse_turns *turns);

// Whether the loop has just begun to wait, so that another look soon is worth it.
bool pulse_waits_is_new(const pulse_turns *turns);

#endif
