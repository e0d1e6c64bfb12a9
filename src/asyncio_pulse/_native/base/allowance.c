#include "base/allowance.h"

enum {
    // The overhead may take 1/SHARE of the CPU time. The rest belongs to the work.
    SHARE = 200,
    // Spending once per wait of this length takes only a small share of a processor.
    LONGEST_WAIT_NS = 500000000,
};

static uint64_t
owed_at(const pulse_allowance *allowance, uint64_t cpu)
{
    // The CPU clock starts again in a forked child.
    uint64_t earned = cpu > allowance->cpu ? (cpu - allowance->cpu) / (SHARE - 1) : 0;
    return allowance->owed > earned ? allowance->owed - earned : 0;
}

void
pulse_allowance_spend(pulse_allowance *allowance, uint64_t spent, uint64_t now, uint64_t cpu)
{
    allowance->owed = owed_at(allowance, cpu) + spent;
    allowance->cpu = cpu;
    allowance->latest = now + LONGEST_WAIT_NS;
}

uint64_t
pulse_allowance_wait(const pulse_allowance *allowance, uint64_t credit, uint64_t now, uint64_t cpu)
{
    uint64_t owed = owed_at(allowance, cpu);
    if (owed <= credit || now >= allowance->latest) {
        return 0;
    }
    uint64_t most = allowance->latest - now, wait = most;
    if (owed - credit < LONGEST_WAIT_NS / (SHARE - 1)) {
        wait = (owed - credit) * (SHARE - 1);
    }
    return wait < most ? wait : most;
}
