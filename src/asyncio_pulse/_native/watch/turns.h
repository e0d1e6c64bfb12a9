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

// What the watchdog saw of the loop's thread at its last look. Only the watchdog uses it.
typedef struct {
    pulse_os_thread thread;
    uint64_t taken_ns;
    // The wait in the selector, identified by the end of the wait before; 0 if the loop was busy.
    uint64_t wait;
    // The wait began after the look before.
    bool is_new;
    // The last wait that was reported as a wait for the GIL.
    uint64_t told;
    // The loop began to wait for the GIL at this time at the earliest, ticks.
    uint64_t gil_since;
} pulse_turns_look;

// The beginning of the time over which the watchdog sums up blocked time.
typedef struct {
    pulse_os_thread thread;
    uint64_t began_ns;
    uint64_t busy_ticks;
} pulse_turns_window;

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
    // How long the loop was busy since it is watched, and how much of this was stalls.
    pulse_counter busy_ticks;
    pulse_counter stalled_ticks;
    // The captured stall, identified by its busy_since or beat_due; 0 if there is none.
    _Atomic(uint64_t) captured;
    // The watchdog has asked what makes the loop spin, or has left a stall to report.
    _Atomic(bool) asked;
    // The thread that runs the loop.
    _Atomic(pulse_thread *) thread;

    // Borrowed, with the GIL; NULL when the slot is free.
    pulse_governor *governor;
    // The captured stall, kept here until it is over and its length is known.
    pulse_worst_entry pending;
    // The poll in which the stall was captured, identified by its start; 0 if no poll ran.
    uint64_t pending_poll;
    // What the system knew of the thread when the stall was captured, and when that was; 0 if it knew nothing.
    pulse_os_thread pending_thread;
    uint64_t pending_seen_ns;
    // The longest poll that has ended in the turn: its group, task and place, how much of the turn it took, and the
    // turn's key. Noted only if the poll took half the threshold.
    pulse_worst_entry longest;
    uint64_t longest_ticks;
    uint64_t longest_key;
    // The last stall that ended before the watchdog had the GIL, and its key; 0 if the watchdog did not ask for the GIL.
    pulse_worst_entry missed;
    _Atomic(uint64_t) missed_key;
    // A stall that the watchdog leaves to the loop's thread to report. It is complete, or goes on since `late_since`.
    pulse_worst_entry late;
    uint64_t late_since;
    // As noted before the watchdog asked for the GIL: the turn's key, the innermost poll, and since when the loop waited
    // for the GIL. Only the watchdog writes them.
    _Atomic(uint64_t) noticed_key;
    uint64_t noticed_poll;
    _Atomic(uint64_t) noticed_gil_since;
    // No stack of the captured stall was seen in time, so the watchdog looks again.
    _Atomic(bool) is_vague;
    pulse_turns_look look;
    pulse_turns_window window;
    // Since when the loop has waited for the GIL in its selector; 0 if it does not seem to.
    _Atomic(uint64_t) gil_since;
    // The loop was blocked for `blocked_ticks` within this time, in turns too short to be stalls; 0 once reported.
    _Atomic(uint64_t) blocked_within_ticks;
    uint64_t blocked_ticks;
    // What polls since the last turn or heartbeat added to the time beyond the target.
    uint64_t late_by_polls;
} pulse_turns;

// A slot for a governor; NULL with an exception on failure.
pulse_turns *pulse_turns_new(pulse_state *state, pulse_governor *governor);

// Forget what was seen of stalls so far.
void pulse_turns_forget(pulse_turns *turns);

// Give the slot back. A pending stall is recorded.
void pulse_turns_release(pulse_turns *turns);

// Stop watching the loop's turns.
void pulse_turns_stop_watching(pulse_governor *governor);

// Record a stall that is over and report it to the decisions. Python code runs, and may give the slot to another loop.
// Takes over the entry's references. Called in the loop's thread, outside polls.
void pulse_turns_enter_stall(pulse_governor *governor, pulse_worst_entry *entry);

// The key of the turn that goes on: when the loop came back from waiting, or when its heartbeat is due. 0 if it waits.
uint64_t pulse_turns_key(pulse_turns *turns);

// Note a poll of `ticks` that ended at `ended`. `place` has its group, task and place; it stays the caller's. Called in the
// loop's thread.
void pulse_turns_note_poll(pulse_turns *turns, const pulse_worst_entry *place, uint64_t ticks, uint64_t ended);

// Report the stall that the watchdog left, if there is one. If it was not over then, it ended at `ended`. Called in the
// loop's thread, outside polls.
void pulse_turns_tell_late(pulse_turns *turns, uint64_t ended);

// Note the lag of the turn that began at `key`. If a stall was captured in that turn, record it, as above. Where turns are not
// seen, the lag is a sample that stands for `sampled_ticks`; otherwise this is 0.
void pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks, uint64_t sampled_ticks);

// Note that what was due while the loop waited ran so much later.
void pulse_turns_note_late_wait(pulse_turns *turns, uint64_t late_ticks);

void pulse_turns_free_all(pulse_state *state);

// Note the calling thread as the one that runs the loop. Called in every turn or heartbeat, because another thread may run
// the loop now.
void pulse_turns_bind_thread(pulse_turns *turns);

#endif
