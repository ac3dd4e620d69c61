/*
 * turns.h: a program that takes turns in `make bench-redis`. It is given a number of loads on each
 * line of its input, does them, and answers with the nanoseconds that passed, and with those of
 * its processor time.
 */
#ifndef TESTS_BENCH_TURNS_H
#define TESTS_BENCH_TURNS_H

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static inline int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Until the input ends. 0, or the first result of `loads` that is not. */
static inline int take_turns(int (*loads)(void *what, long times), void *what)
{
    long times;
    while (scanf("%ld", &times) == 1) {
        int64_t begin = now_ns(CLOCK_MONOTONIC), begin_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        int rc = loads(what, times);
        if (rc != 0)
            return rc;
        int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu;
        printf("%" PRId64 " %" PRId64 "\n", now_ns(CLOCK_MONOTONIC) - begin, cpu);
        fflush(stdout);
    }
    return 0;
}

#endif
