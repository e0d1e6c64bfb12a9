// The budget of a turn: while somebody urgent lives, whatever is not waits for a later turn once this one is overlong.
//
// Only the selector knows whether an urgent task is ready, and a loop asks it once a turn: before it has, nobody can see that
// a timer fell due or a socket became readable. So it is enough that a CRITICAL or HIGH task lives: the turn is cut short,
// and the loop comes round. What waits does so in one line, those of last turn before those who would come again, so
// that equal tasks stay equal. Needs the GIL; in the loop's thread, but for counting.
#ifndef PULSE_TURN_BUDGET_H
#define PULSE_TURN_BUDGET_H

#include "park/park.h"

// Whether a resumption of who is no offender has to wait. Only with PULSE_GOVERNOR_CUTS_TURNS; Python code may run.
bool pulse_turn_is_over(pulse_governed *governed);

// A turn begins: release what it has room for. Whether the next one is to be told, too.
bool pulse_turn_begin(pulse_governor *governor);

#endif
