// The turns of a loop: when it waits, how long it works, and whether it is overdue.
//
// Each governed loop has one slot. The state owns the slots and never frees one before itself, so that the watchdog may
// read them without the GIL. The loop's thread writes; the watchdog reads the atomic fields at any time and the rest with
// the GIL.
#ifndef PULSE_TURNS_H
#define PULSE_TURNS_H

#include "model/governor.h"
#include "model/thread.h"
#include "model/worst.h"

typedef struct pulse_turns {
    struct pulse_turns *next;
    // UINT64_MAX while no loop is watched; the slot may then be given to another loop.
    _Atomic(uint64_t) stall_after_ticks;
    // When the loop came back from waiting; 0 while it waits. Used where we see the selector.
    _Atomic(uint64_t) busy_since;
    // When the heartbeat is due; 0 if there is none. Used where we do not see the selector.
    _Atomic(uint64_t) beat_due;
    // When the loop last had nothing to do.
    _Atomic(uint64_t) last_waited;
    // The captured stall, identified by its busy_since or beat_due; 0 if there is none.
    _Atomic(uint64_t) captured;
    // The watchdog has asked what makes the loop spin.
    _Atomic(bool) asked;
    // The thread that runs the loop.
    _Atomic(pulse_thread *) thread;

    // Borrowed, with the GIL; NULL when the slot is free.
    pulse_governor *governor;
    // The captured stall, kept here until it is over and its length is known.
    pulse_worst_entry pending;
    // The poll in which the stall was captured, identified by its start; 0 if no poll ran.
    uint64_t pending_poll;
} pulse_turns;

// A slot for a governor; NULL with an exception on failure.
pulse_turns *pulse_turns_new(pulse_state *state, pulse_governor *governor);

// Give the slot back. A pending stall is recorded.
void pulse_turns_release(pulse_turns *turns);

// Stop watching the loop's turns.
void pulse_turns_stop_watching(pulse_governor *governor);

// Record a stall that is over and report it to the decisions. Python code runs, and may give the slot to another loop.
// Takes over the entry's references. Called in the loop's thread, outside polls.
void pulse_turns_enter_stall(pulse_governor *governor, pulse_worst_entry *entry);

// Note the lag of the turn that began at `key`. If a stall was captured in that turn, record it, as above.
void pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks);

void pulse_turns_free_all(pulse_state *state);

// Note the calling thread as the one that runs the loop. Called in every turn or heartbeat, because another thread may run
// the loop now.
void pulse_turns_bind_thread(pulse_turns *turns);

#endif
