/* clock.h: the two clocks. Deadlines use the monotonic one only, in milliseconds. */
#ifndef COAT_BACKEND_CLOCK_H
#define COAT_BACKEND_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t coat_clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t); /* cannot fail for these two */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Never jumps, has no meaning outside this machine. */
static inline int64_t coat_monotonic_ms(void)
{
    return coat_clock_ms(CLOCK_MONOTONIC);
}

/* The same clock, in nanoseconds, and in microseconds: to measure, and for short waits. */
static inline int64_t coat_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t coat_monotonic_us(void)
{
    return coat_monotonic_ns() / 1000;
}

/* Since 1970; may jump. */
static inline int64_t coat_wall_ms(void)
{
    return coat_clock_ms(CLOCK_REALTIME);
}

#endif
