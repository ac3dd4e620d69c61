/*
 * slice.h: waiting on a condition variable, within a deadline on the monotonic clock.
 *
 * A condition variable knows no signals, so a wait comes in slices, between which the caller can
 * look whether one came.
 */
#ifndef COAT_BACKEND_SLICE_H
#define COAT_BACKEND_SLICE_H

#include <pthread.h>

#include "clock.h"
#include "coat_error.h"

#define COAT_SLICE_MS 100

/* A condition variable for coat_slice_wait. */
static inline void coat_slice_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr); /* these three cannot fail with glibc and musl */
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/*
 * With the mutex held. 0: look whether it is there, and wait on if not; COAT_EINTR: a slice is
 * over; COAT_ETIMEOUT: the deadline had passed before. Describes no failure: look first.
 */
static inline int coat_slice_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ms)
{
    int64_t now = coat_monotonic_ms();
    if (now >= deadline_ms)
        return COAT_ETIMEOUT;
    int64_t until = deadline_ms - now < COAT_SLICE_MS ? deadline_ms : now + COAT_SLICE_MS;
    struct timespec t = {.tv_sec = (time_t)(until / 1000),
                         .tv_nsec = (long)(until % 1000) * 1000000};
    int woken = pthread_cond_timedwait(cond, mutex, &t) == 0;
    return woken || until == deadline_ms ? 0 : COAT_EINTR;
}

#endif
