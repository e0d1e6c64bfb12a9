// For syscall under -std=c11.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/os_thread.h"

#ifdef __linux__

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void
pulse_os_thread_pause_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&time, NULL);
}

uint64_t
pulse_os_thread_self(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

// Read a file of a thread as text; false if it cannot be read. The system generates the content anew for each reading, in
// one piece.
static bool
read_file_of(uint64_t thread, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%" PRIu64 "/%s", thread, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    ssize_t length = read(file, text, size - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

bool
pulse_os_thread_read(uint64_t thread, pulse_os_thread *out)
{
    *out = (pulse_os_thread){.thread = thread};
    char text[96];
    return read_file_of(thread, "schedstat", text, sizeof text) &&
           sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &out->run_ns, &out->queued_ns, &out->runs) == 3;
}

bool
pulse_os_thread_read_run_ns(uint64_t thread, uint64_t *run_ns)
{
    // The CPU clock of a thread, in the form that pthread_getcpuclockid gives it.
    enum { THREAD_CPU_CLOCK = 6 };
    struct timespec time;
    if (clock_gettime((clockid_t)(~(unsigned)thread << 3 | THREAD_CPU_CLOCK), &time) != 0) {
        return false;
    }
    *run_ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    return true;
}

bool
pulse_os_thread_sleeps(uint64_t thread)
{
    char line[256];
    if (!read_file_of(thread, "stat", line, sizeof line)) {
        return false;
    }
    // The state follows the name, which is in parentheses and may contain any character.
    const char *name_end = strrchr(line, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] != 'R';
}

int
pulse_os_thread_read_all(pulse_os_thread *out, int most)
{
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL) {
        return 0;
    }
    int count = 0;
    struct dirent *entry;
    while (count < most && (entry = readdir(directory)) != NULL) {
        uint64_t thread = strtoull(entry->d_name, NULL, 10);
        if (thread != 0 && pulse_os_thread_read(thread, &out[count])) {
            count++;
        }
    }
    closedir(directory);
    return count;
}

#else

void
pulse_os_thread_pause_us(uint64_t us)
{
    (void)us;
}

uint64_t
pulse_os_thread_self(void)
{
    return 0;
}

bool
pulse_os_thread_read(uint64_t thread, pulse_os_thread *out)
{
    *out = (pulse_os_thread){.thread = thread};
    return false;
}

bool
pulse_os_thread_read_run_ns(uint64_t thread, uint64_t *run_ns)
{
    (void)thread;
    *run_ns = 0;
    return false;
}

bool
pulse_os_thread_sleeps(uint64_t thread)
{
    (void)thread;
    return false;
}

int
pulse_os_thread_read_all(pulse_os_thread *out, int most)
{
    (void)out;
    (void)most;
    return 0;
}

#endif
