// Runs a function on a slice of the C stack that can be copied out and back: the only code that changes the stack pointer.
//
// A slice begins at a fixed address, its floor, and grows downwards. Whatever leaves a slice finds its caller through the
// record in the heap, never through the slice, so a slice may be resumed by another caller than the one that began it.
// Callee-saved registers are pushed onto the stack that is left. No Python.h; one file of assembly per architecture.
#ifndef PULSE_STACK_H
#define PULSE_STACK_H

#include <stddef.h>

#include "base/portable.h"

#if defined(__x86_64__) && defined(__LP64__) && defined(__linux__)
#define PULSE_STACK_X86_64 1
#elif defined(__aarch64__) && defined(__LP64__) && defined(__linux__)
#define PULSE_STACK_AARCH64 1
#endif

#if defined(PULSE_STACK_X86_64) || defined(PULSE_STACK_AARCH64)
#define PULSE_STACK_SUPPORTED 1
#else
#define PULSE_STACK_SUPPORTED 0
#endif

// The address sanitizer keeps variables elsewhere, and marks the stack of functions that are left without a return.
#if defined(__SANITIZE_ADDRESS__)
void __asan_handle_no_return(void);
#define PULSE_LEAVES_STACK() __asan_handle_no_return()
#define PULSE_IN_SLICE __attribute__((no_sanitize_address, noinline))
#elif defined(__GNUC__) || defined(__clang__)
#define PULSE_LEAVES_STACK() ((void)0)
#define PULSE_IN_SLICE __attribute__((noinline))
#else
#define PULSE_LEAVES_STACK() ((void)0)
#define PULSE_IN_SLICE
#endif

// The assembly knows the offsets of the first three.
typedef struct {
    // Where the caller waits; renewed at each resumption.
    char *base;
    // Live stack that the slice had to overwrite, or NULL.
    char *aside;
    // Lower end of the slice, where the registers of the suspended code are.
    char *lowest;
    // Upper end of the slice.
    char *floor;
} pulse_stack;

// Call `body(stack)` with the stack pointer at `sp`. Returns when the body does, or when the code that it runs is captured.
void pulse_stack_enter(pulse_stack *stack, char *sp, void (*body)(pulse_stack *stack));

// Push the registers and call `save(stack)`. If that returns 0, pulse_stack_enter returns to its caller, and this function
// returns 0 when the slice is continued. Any other result is returned at once.
int pulse_stack_capture(pulse_stack *stack, int (*save)(pulse_stack *stack));

// Go on where the slice was captured. Its bytes must be in place, and the stack pointer below them.
#if defined(__GNUC__) || defined(__clang__)
__attribute__((noreturn))
#endif
void pulse_stack_continue(pulse_stack *stack);

// Copy a part of the stack. Sanitizers and fortified functions would object to the frames in it.
void pulse_stack_copy(char *to, const char *from, size_t size);

// Where the caller waits lies within the place of the slice. Put that part of the stack aside; it comes back when the
// slice is left. False if there is no memory.
bool pulse_stack_put_aside(pulse_stack *stack);

// Whether the processor checks return addresses against a second stack, which would have to be copied, too.
bool pulse_stack_is_shadowed(void);

#endif
