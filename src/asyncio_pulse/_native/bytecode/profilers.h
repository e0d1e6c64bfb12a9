// Detects profilers and debuggers, which follow calls and returns on one stack.
#ifndef PULSE_PROFILERS_H
#define PULSE_PROFILERS_H

#include "base/compat.h"

// Whether a profiler or debugger follows the calling thread's calls. Runs no Python code.
bool pulse_profilers_follow(void);

#endif
