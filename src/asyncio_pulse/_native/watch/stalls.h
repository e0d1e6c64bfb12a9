// The stalls that the watchdog captures: what it notes before it asks for the GIL, and what it captures with the GIL.
//
// The GIL may come late. The thread that kept it is often the loop's own, and may have ended the poll or the whole stall.
// The notes show whether a stack belongs to the stall. A late stack is given to nobody.
#ifndef PULSE_STALLS_H
#define PULSE_STALLS_H

#include "base/diagnosis.h"
#include "watch/turns.h"

// What the watchdog knows once it has the GIL.
typedef struct {
    const pulse_os_snapshot *before;
    const pulse_os_snapshot *after;
    pulse_evidence evidence;
    // How long the last request for the GIL took, ticks; and whether that is long enough for a stack to be late.
    uint64_t gil_wait_ticks;
    bool kept_long;
    // Whether the last request found the GIL taken, if only for a moment.
    bool kept_last;
} pulse_sighting;

// Note the turn and the poll of every loop. Needs no GIL, and is called just before the watchdog asks for it.
void pulse_stalls_notice(pulse_state *state);

// The loop came back only now from a wait that was due to end at `due`; `wait` names it, by the end of the wait before. In the
// loop's thread, outside polls. Runs no Python code.
void pulse_stalls_note_late_wait(pulse_turns *turns, uint64_t wait, uint64_t due);

// Capture the stalls that go on or that the watchdog missed. Needs the GIL. Contains its errors.
void pulse_stalls_capture(pulse_state *state, pulse_sighting *sighting);

// Whether a loop has a stall that is to be captured: what its thread does is of interest.
bool pulse_stalls_is_in_question(pulse_turns *turns);

#endif
