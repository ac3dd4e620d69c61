/*
 * turns.h: a program that takes turns in `make bench-redis`. It is given a number of loads on each
 * line of its input, does them, and answers with the nanoseconds that they took.
 */
#ifndef TESTS_BENCH_TURNS_H
#define TESTS_BENCH_TURNS_H

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Until the input ends. 0, or the first result of `loads` that is not. */
static inline int take_turns(int (*loads)(void *what, long times), void *what)
{
    long times;
    while (scanf("%ld", &times) == 1) {
        int64_t begin = now_ns();
        int rc = loads(what, times);
        if (rc != 0)
            return rc;
        printf("%" PRId64 "\n", now_ns() - begin);
        fflush(stdout);
    }
    return 0;
}

#endif
