// For syscall under -std=c11.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "os_thread.h"

#ifdef __linux__

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t
pulse_os_thread_self(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

static bool
read_schedstat(uint64_t thread, pulse_os_thread *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%" PRIu64 "/schedstat", thread);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    int found = fscanf(file, "%" SCNu64 " %" SCNu64, &out->run_ns, &out->queued_ns);
    fclose(file);
    return found == 2;
}

static bool
read_switches(uint64_t thread, pulse_os_thread *out)
{
    char line[128];
    snprintf(line, sizeof line, "/proc/self/task/%" PRIu64 "/status", thread);
    FILE *file = fopen(line, "r");
    if (file == NULL) {
        return false;
    }
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &out->voluntary_switches) == 1;
    }
    fclose(file);
    return found;
}

bool
pulse_os_thread_read(uint64_t thread, pulse_os_thread *out)
{
    *out = (pulse_os_thread){.thread = thread};
    return read_schedstat(thread, out) && read_switches(thread, out);
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

int
pulse_os_thread_read_all(pulse_os_thread *out, int most)
{
    (void)out;
    (void)most;
    return 0;
}

#endif
