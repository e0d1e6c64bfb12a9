#include <stdio.h>

#include "base/clock.h"
#include "base/thread_clock.h"
#include "windows.h"

static int fails;

HANDLE
GetCurrentThread(void)
{
    return (HANDLE)-2;
}

BOOL
GetThreadTimes(HANDLE thread, FILETIME *created, FILETIME *ended, FILETIME *kernel, FILETIME *user)
{
    *created = *ended = (FILETIME){9, 9};
    *kernel = (FILETIME){5, 1};
    *user = (FILETIME){7, 0};
    return !fails && thread == (HANDLE)-2;
}

int
main(void)
{
    printf("%s\n", pulse_thread_clock_platform);
    uint64_t read = pulse_thread_clock_ns();
    fails = 1;
    uint64_t refused = pulse_thread_clock_ns();
    return !(read == ((1ull << 32) + 12) * 100 && refused == 0);
}
