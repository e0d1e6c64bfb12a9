// Preloaded, lets the monotonic clock step back and forth by up to an hour, for the core alone.
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static const long steps_s[] = {0, 3600, 1, 1800, 0, 10};

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*original)(clockid_t, struct timespec *);
    static atomic_ulong calls;
    if (original == NULL) {
        original = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = original(clock, now);
    Dl_info caller;
    if (clock == CLOCK_MONOTONIC && dladdr(__builtin_return_address(0), &caller) != 0 &&
        strstr(caller.dli_fname, "/_core.") != NULL) {
        now->tv_sec += 4000 + steps_s[atomic_fetch_add(&calls, 1) / 100 % (sizeof steps_s / sizeof *steps_s)];
    }
    return result;
}
