#include "bytecode/exception_table.h"

static int
read_number(const uint8_t **at)
{
    int number = *(*at)++;
    int value = number & 63;
    while (number & 64) {
        number = *(*at)++;
        value = value << 6 | (number & 63);
    }
    return value;
}

int
pulse_exception_table_read(pulse_exception_table *table, PyCodeObject *code)
{
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(code->co_exceptiontable);
    const uint8_t *end = at + PyBytes_GET_SIZE(code->co_exceptiontable);
    // An entry has four numbers of at least one byte each.
    table->ranges = PyMem_Calloc((size_t)(end - at) / 4 + 1, sizeof *table->ranges);
    if (table->ranges == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    while (at < end) {
        pulse_handler_range *range = &table->ranges[table->count++];
        range->start = read_number(&at);
        range->end = range->start + read_number(&at);
        range->target = read_number(&at);
        int depth_and_kind = read_number(&at);
        range->depth = depth_and_kind >> 1;
        range->keeps_position = depth_and_kind & 1;
    }
    return 0;
}

const pulse_handler_range *
pulse_exception_table_range(const pulse_exception_table *table, int position)
{
    // Ranges are sorted and do not overlap.
    int low = 0, high = table->count;
    while (low < high) {
        int middle = (low + high) / 2;
        const pulse_handler_range *range = &table->ranges[middle];
        if (position < range->start) {
            high = middle;
        }
        else if (position >= range->end) {
            low = middle + 1;
        }
        else {
            return range;
        }
    }
    return NULL;
}

int
pulse_exception_table_find(const pulse_exception_table *table, int position)
{
    const pulse_handler_range *range = pulse_exception_table_range(table, position);
    return range == NULL ? -1 : range->target;
}
