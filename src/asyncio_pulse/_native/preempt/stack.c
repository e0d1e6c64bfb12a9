#include "preempt/stack.h"

#include <stdlib.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#if defined(PULSE_STACK_X86_64)
#include "preempt/stack_x86_64.h"
#elif defined(PULSE_STACK_AARCH64)
#include "preempt/stack_aarch64.h"
#endif

// Known to the assembly.
_Static_assert(offsetof(pulse_stack, base) == 0, "the first field");
_Static_assert(offsetof(pulse_stack, aside) == sizeof(char *), "the second field");
_Static_assert(offsetof(pulse_stack, lowest) == 2 * sizeof(char *), "the third field");

void
pulse_stack_copy(char *to, const char *from, size_t size)
{
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
    // Slices begin and end at multiples of 16.
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        *(volatile uint64_t *)(to + i) = *(const volatile uint64_t *)(from + i);
    }
#endif
}

bool
pulse_stack_put_aside(pulse_stack *stack)
{
    size_t size = (size_t)(stack->floor - stack->base);
    stack->aside = malloc(size);
    if (stack->aside == NULL) {
        return false;
    }
    pulse_stack_copy(stack->aside, stack->base, size);
    return true;
}

// Called by the assembly with the stack pointer at `base`: everything that it restores lies above.
__attribute__((used, visibility("hidden"))) void
pulse_stack_put_back(pulse_stack *stack)
{
    char *aside = stack->aside;
    stack->aside = NULL;
    pulse_stack_copy(stack->base, aside, (size_t)(stack->floor - stack->base));
    free(aside);
}

bool
pulse_stack_is_shadowed(void)
{
#if defined(PULSE_STACK_X86_64)
    // Reads the shadow stack pointer; does nothing where there is none.
    uint64_t pointer = 0;
    __asm__ volatile(".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8" : "+a"(pointer));
    return pointer != 0;
#elif defined(PULSE_STACK_AARCH64) && defined(__linux__)
    enum { GET_SHADOW_STACK_STATUS = 74, SHADOW_STACK_ENABLE = 1 };
    unsigned long status = 0;
    return prctl(GET_SHADOW_STACK_STATUS, &status, 0UL, 0UL, 0UL) == 0 && (status & SHADOW_STACK_ENABLE);
#else
    return false;
#endif
}
