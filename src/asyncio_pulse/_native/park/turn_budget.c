#include "park/turn_budget.h"

#include "park/holders.h"
#include "park/pump.h"

// Turns are told apart, at the cost of a callback each, while their polls take this part of the budget.
enum { TRACKED_PART = 4 };

// What the polls of this turn have used, ticks.
static uint64_t
used_in_turn(const pulse_governor *governor)
{
    return pulse_counter_read(&governor->account.wall_ticks) - governor->pump->used_before_turn;
}

// Somebody urgent waits for it, or is a call inside of it.
static bool
is_needed(pulse_governed *governed)
{
    unsigned priority = governed->priority;
    (void)pulse_is_waited_for(governed, &priority);
    return priority < PULSE_PRIORITY_NORMAL || pulse_has_urgent_call(governed);
}

bool
pulse_turn_is_over(pulse_governed *governed)
{
    pulse_governor *governor = governed->governor;
    pulse_pump *pump = governor->pump;
    // A call is a part of a step that has begun.
    if (governor->observes || governed->flags & PULSE_GOVERNED_CALL || governed->priority < PULSE_PRIORITY_NORMAL) {
        return false;
    }
    if (pump->armed == NULL) {
        // Nobody knows when this turn began: it begins now, if there has been enough to do.
        if (used_in_turn(governor) * TRACKED_PART >= governor->turn_ticks) {
            pulse_pump_arm_here(governor);
        }
        return false;
    }
    bool is_overlong = used_in_turn(governor) > governor->turn_ticks;
    return (is_overlong || pulse_pump_waiting(pump, PULSE_WAITS_FOR_TURN) > 0) && !is_needed(governed);
}

bool
pulse_turn_begin(pulse_governor *governor)
{
    pulse_pump *pump = governor->pump;
    bool cuts = governor->flags & PULSE_GOVERNOR_CUTS_TURNS;
    bool was_busy = cuts && used_in_turn(governor) * TRACKED_PART >= governor->turn_ticks;
    pump->used_before_turn = pulse_counter_read(&governor->account.wall_ticks);
    if (pulse_pump_waiting(pump, PULSE_WAITS_FOR_TURN) == 0) {
        return was_busy;
    }
    pulse_pump_release(governor, PULSE_WAITS_FOR_TURN, cuts ? (int64_t)governor->turn_ticks : INT64_MAX);
    return true;
}
