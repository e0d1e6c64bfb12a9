// Who may be preempted, and how far: by the settings of a coroutine, of its group, and of all. Needs the GIL.
#ifndef PULSE_CONSENT_H
#define PULSE_CONSENT_H

#include "model/governed.h"
#include "preempt/slice.h"

// Whether polls of a governor are preempted at random.
bool pulse_consent_is_chaotic(const pulse_governor *governor);

// Decide how far a coroutine may be preempted in the poll that begins, inside the poll of `outer` or of none.
void pulse_consent_decide(pulse_governed *governed, const pulse_governed *outer);

// How far, without the bits of governed.h.
pulse_preempt_mode pulse_consent_mode(const pulse_governed *governed);

// Whether the settings of the poll that runs on `slice`, if any, apply to a governed call that begins inside it.
bool pulse_consent_is_covered(const pulse_governed *governed, const pulse_slice *slice);

// The coroutine whose settings apply to the poll on this slice: its own, or that of an enclosing poll.
pulse_governed *pulse_consent_giver(const pulse_slice *slice);

// Whether the coroutine is inside no_preempt().
bool pulse_consent_is_guarded(const pulse_governed *governed);

#endif
