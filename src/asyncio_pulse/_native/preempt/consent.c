#include "preempt/consent.h"

bool
pulse_consent_is_chaotic(const pulse_governor *governor)
{
    return governor->flags & PULSE_GOVERNOR_CHAOS && governor->chaos.preempt != 0;
}

bool
pulse_consent_is_guarded(const pulse_governed *governed)
{
    return governed->guards > 0 || governed->flags & PULSE_GOVERNED_GUARDED;
}

// The nearest setting wins. As an exception, "off" in a group's policy, which an operator writes, overrides what code asks
// for.
static uint8_t
wanted_mode(const pulse_governed *governed)
{
    const pulse_options *options = (const pulse_options *)governed->options;
    const pulse_preemption *preemption = &governed->governor->preemption;
    int8_t of_group = governed->group->preempt, of_code = options == NULL ? PULSE_UNSET : options->preemptible;
    bool forbidden = governed->group->is_explicit ? of_group == PULSE_PREEMPT_OFF : preemption->off_without_group;
    if (forbidden || of_code == 0) {
        return PULSE_PREEMPT_OFF | PULSE_PREEMPT_SETTLED;
    }
    if (of_group == PULSE_PREEMPT_ANYWHERE || of_code == 1) {
        return PULSE_PREEMPT_ANYWHERE | PULSE_PREEMPT_SETTLED;
    }
    if (pulse_consent_is_chaotic(governed->governor)) {
        // Whatever its tier, but only at the places that need no consent.
        return PULSE_PREEMPT_AWAIT;
    }
    uint8_t mode = of_group == PULSE_UNSET ? preemption->mode : (uint8_t)of_group;
    if (mode > PULSE_PREEMPT_WAITS && pulse_governed_tier(governed) < PULSE_TIER_YIELD) {
        mode = PULSE_PREEMPT_WAITS;
    }
    return of_group == PULSE_UNSET ? mode : mode | PULSE_PREEMPT_SETTLED;
}

void
pulse_consent_decide(pulse_governed *governed, const pulse_governed *outer)
{
    bool guarded = governed->flags & PULSE_GOVERNED_CALL && outer != NULL && pulse_consent_is_guarded(outer);
    governed->flags &= ~(uint32_t)PULSE_GOVERNED_GUARDED;
    governed->flags |= guarded ? PULSE_GOVERNED_GUARDED : 0;
    governed->preempt_mode = wanted_mode(governed);
    if (pulse_consent_mode(governed) != PULSE_PREEMPT_OFF && pulse_governed_is_observed(governed)) {
        governed->preempt_mode |= PULSE_PREEMPT_OBSERVED;
    }
}

pulse_preempt_mode
pulse_consent_mode(const pulse_governed *governed)
{
    return (pulse_preempt_mode)(governed->preempt_mode & ~(PULSE_PREEMPT_OBSERVED | PULSE_PREEMPT_SETTLED));
}

bool
pulse_consent_is_covered(const pulse_governed *governed, const pulse_slice *slice)
{
    return slice != NULL && governed->flags & PULSE_GOVERNED_CALL &&
           !(governed->preempt_mode & PULSE_PREEMPT_SETTLED) &&
           pulse_consent_mode(pulse_slice_owner(slice)) >= pulse_consent_mode(governed);
}

pulse_governed *
pulse_consent_giver(const pulse_slice *slice)
{
    pulse_governed *governed = pulse_slice_owner(slice);
    for (slice = pulse_slice_outer(slice); pulse_consent_is_covered(governed, slice);
         slice = pulse_slice_outer(slice)) {
        governed = pulse_slice_owner(slice);
    }
    return governed;
}
