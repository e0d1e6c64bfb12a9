// A check that names its place and counts, for programs that the tests compile and run.
#ifndef CHECKS_H
#define CHECKS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned long checks_done;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        checks_done++;                                                                                                 \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline int
checks_report(void)
{
    printf("%lu checks\n", checks_done);
    return 0;
}

// Numbers of every magnitude. Source: splitmix64, Steele, Lea and Flood, 2014.
static inline uint64_t
random_number(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z >> (*state >> 32 & 63u);
}

#endif
