// What thread_clock.c uses of macOS, as its documentation has it; the check program defines the functions.
#ifndef FAKE_MACH_H
#define FAKE_MACH_H

typedef int kern_return_t;
typedef unsigned mach_port_t;
typedef unsigned mach_msg_type_number_t;
typedef int *thread_info_t;
typedef struct {
    int seconds;
    int microseconds;
} time_value_t;
typedef struct {
    time_value_t user_time;
    time_value_t system_time;
    int cpu_usage;
    int policy;
    int run_state;
    int flags;
    int suspend_count;
    int sleep_time;
} thread_basic_info_data_t;

#define KERN_SUCCESS 0
#define THREAD_BASIC_INFO 3
#define THREAD_BASIC_INFO_COUNT ((mach_msg_type_number_t)(sizeof(thread_basic_info_data_t) / sizeof(int)))

mach_port_t mach_thread_self(void);
mach_port_t mach_task_self(void);
kern_return_t mach_port_deallocate(mach_port_t task, mach_port_t port);
kern_return_t thread_info(mach_port_t thread, int flavor, thread_info_t out, mach_msg_type_number_t *count);

#endif
