// Tells when the next function or coroutine of a thread begins to run, for as long as a request waits for such a place.
//
// CPython calls a function of ours in place of its evaluation loop (PEP 523) for each frame that begins or is resumed. No
// other way finds the next `await` of a coroutine that computes in between, without looking at every bytecode. While the
// hook is set, calls from Python to Python code take longer, so it ends after some thousands of calls. Code that calls nothing
// pays nothing. The hook is not set if another library has set one. Needs the GIL.
#ifndef PULSE_EVAL_HOOK_H
#define PULSE_EVAL_HOOK_H

#include "bytecode/frames.h"

// The hook ends after so long, ns: nobody calls it any more if another library sets one meanwhile.
enum { PULSE_EVAL_HOOK_NS = 1000000000 };

// A frame is about to run in the thread that set the hook. Returns 0 to let it run, or -1 with an exception to raise the
// exception in it. Python code may run, and the thread may be suspended in here.
typedef int (*pulse_eval_hook)(const pulse_frame *frame);

// The hook has ended, after so many frames of all threads.
typedef void (*pulse_eval_hook_ended)(int frames);

// Set the hook, which must not be set yet. It also ends if the C stack of any thread grows much, because nested calls take
// more of it while the hook is set. False, and nothing is called, if another library has set one.
bool pulse_eval_hook_set(pulse_eval_hook hook, pulse_eval_hook_ended ended);

void pulse_eval_hook_end(void);

#endif
