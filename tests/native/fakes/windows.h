// What thread_clock.c uses of Windows, as its documentation has it; the check program defines the functions.
#ifndef FAKE_WINDOWS_H
#define FAKE_WINDOWS_H

typedef int BOOL;
typedef void *HANDLE;
typedef struct {
    unsigned dwLowDateTime;
    unsigned dwHighDateTime;
} FILETIME;

HANDLE GetCurrentThread(void);
BOOL GetThreadTimes(HANDLE thread, FILETIME *created, FILETIME *ended, FILETIME *kernel, FILETIME *user);

#endif
