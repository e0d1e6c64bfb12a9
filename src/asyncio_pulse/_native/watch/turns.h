// The turns of a loop: when it waits, how long it does not, and whether it is overdue.
//
// One slot a governed loop, owned by the state and never freed before it, so that the watchdog may look without the GIL.
// The loop's thread writes; the watchdog reads the atomic fields anywhere and the rest with the GIL.
#ifndef PULSE_TURNS_H
#define PULSE_TURNS_H

#include "base/histogram.h"
#include "model/thread.h"
#include "model/worst.h"

struct pulse_governor;

// What a governor keeps of its loop's turns, also when they are no longer watched.
typedef struct {
    pulse_counter turns;
    pulse_counter busy_ticks;
    pulse_counter longest_lag;
    pulse_counter watched_since;
    // 0 while they are watched.
    pulse_counter watched_until;
    pulse_histogram lag;
} pulse_turn_record;

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
    struct pulse_governor *governor;
    // The stall being captured, until it is over and its length known.
    pulse_worst_entry pending;
    // The poll that it was captured in, named by its start; 0 if none ran.
    uint64_t pending_poll;
} pulse_turns;

// A slot for a governor; NULL with an exception on failure.
pulse_turns *pulse_turns_new(pulse_state *state, struct pulse_governor *governor);

// Give the slot back. What was pending is entered.
void pulse_turns_release(pulse_turns *turns);

// Enter a stall that is over, and tell the decisions of it: Python code runs, and may give the slot to another loop. Takes
// over the entry's references. In the loop's thread, outside of polls.
void pulse_turns_enter_stall(struct pulse_governor *governor, pulse_worst_entry *entry);

// The turn that began at `key` lasted so long: note the lag, finish the stall if one was captured, as above.
void pulse_turns_note(pulse_turns *turns, uint64_t key, uint64_t lag_ticks);

// Whether the loop goes round without ever waiting. Needs no GIL.
bool pulse_turns_is_spinning(pulse_turns *turns);

// Without the GIL: have the loop's own thread find out what makes it spin, at its next opportunity.
void pulse_turns_ask_what_spins(pulse_turns *turns);

void pulse_turns_free_all(pulse_state *state);

// Watch a loop by what it waits with: a new object to put in the place of the selector's select method, or of the epoll
// object beneath it.
PyObject *pulse_turns_watch_select(struct pulse_governor *governor, PyObject *selector);
PyObject *pulse_turns_watch_epoll(struct pulse_governor *governor, PyObject *epoll);

// Watch a loop by a timer: a new callable that arms itself again every `period_us` with the loop's call_later. With the
// file of uvloop's library and its uv_loop_t (both or neither) idle time is known, too.
PyObject *pulse_heartbeat_new(struct pulse_governor *governor, PyObject *loop, uint64_t period_us, const char *library,
                              void *libuv_loop);

// Enter what makes the loop spin; in its own thread, between two turns.
void pulse_turns_name_spin(pulse_turns *turns);

// Note which thread runs the loop; called on it.
void pulse_turns_bind_thread(pulse_turns *turns);

extern PyType_Spec pulse_select_watch_spec;
extern PyType_Spec pulse_heartbeat_spec;

#endif
