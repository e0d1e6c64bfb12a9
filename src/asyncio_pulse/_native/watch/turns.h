// The turns of a loop: when it waits, how long it does not, and whether it is overdue.
//
// One slot a governed loop, owned by the state and never freed before it, so that the watchdog may look without the GIL.
// The loop's thread writes; the watchdog reads the atomic fields anywhere and the rest with the GIL.
#ifndef PULSE_TURNS_H
#define PULSE_TURNS_H

#include "model/governor.h"
#include "model/thread.h"
#include "model/worst.h"

typedef struct pulse_turns {
    struct pulse_turns *next;
    // UINT64_MAX: nobody watches; the slot may be given to another loop.
    _Atomic(uint64_t) stall_after_ticks;
    // When the loop came back from waiting, 0 while it waits. Known where we see the selector.
    _Atomic(uint64_t) busy_since;
    // When the heartbeat is due, 0 if none is. Used where we do not see the selector.
    _Atomic(uint64_t) beat_due;
    // When the loop last had nothing to do.
    _Atomic(uint64_t) last_waited;
    // The stall that was captured, named by its busy_since or beat_due.
    _Atomic(uint64_t) captured;
    // The watchdog asks what it is that spins.
    _Atomic(bool) asked;
    // The thread that runs the loop.
    _Atomic(pulse_thread *) thread;

    // Borrowed, with the GIL; NULL when the slot is free.
    pulse_governor *governor;
    // The stall being captured, until it is over and its length known.
    pulse_worst_entry pending;
    // The poll that it was captured in, named by its start; 0 if none ran.
    uint64_t pending_poll;
} pulse_turns;

// A slot for a governor; NULL with an exception on failure.
pulse_turns *pulse_turns_new(pulse_state *state, pulse_governor *governor);

// Give the slot back. What was pending is entered.
void pulse_turns_release(pulse_turns *turns);

// Watch the loop's turns no longer.
void pulse_turns_stop_watching(pulse_governor *governor);

// Enter a stall that is over, and tell the decisions of it: Python code runs, and may give the slot to another loop. Takes
// over the entry's references. In the loop's thread, outside of polls.
void pulse_turns_enter_stall(pulse_governor *governor, pulse_worst_entry *entry);

// The turn that began at `key` lasted so long: note the lag, finish the stall if one was captured, as above.
void pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks);

void pulse_turns_free_all(pulse_state *state);

// Note which thread runs the loop; called on it.
void pulse_turns_bind_thread(pulse_turns *turns);

#endif
