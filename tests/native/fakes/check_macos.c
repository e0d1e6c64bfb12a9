#include <stdio.h>

#include "base/clock.h"
#include "base/thread_clock.h"
#include "mach/mach.h"

static int ports;
static int fails;

mach_port_t
mach_thread_self(void)
{
    ports++;
    return 77;
}

mach_port_t
mach_task_self(void)
{
    return 1;
}

kern_return_t
mach_port_deallocate(mach_port_t task, mach_port_t port)
{
    ports -= task == 1 && port == 77;
    return KERN_SUCCESS;
}

kern_return_t
thread_info(mach_port_t thread, int flavor, thread_info_t out, mach_msg_type_number_t *count)
{
    thread_basic_info_data_t *info = (thread_basic_info_data_t *)out;
    if (fails || thread != 77 || flavor != THREAD_BASIC_INFO || *count != THREAD_BASIC_INFO_COUNT) {
        return 4;
    }
    info->user_time = (time_value_t){3, 250};
    info->system_time = (time_value_t){1, 5};
    return KERN_SUCCESS;
}

int
main(void)
{
    printf("%s\n", pulse_thread_clock_platform);
    uint64_t read = pulse_thread_clock_ns();
    fails = 1;
    uint64_t refused = pulse_thread_clock_ns();
    return !(read == 4000255000u && refused == 0 && ports == 0);
}
