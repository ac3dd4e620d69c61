/* A wall clock that is wrong, for a process that preloads this. For shifted_clock.py.
 *
 * Only the time of day is shifted: no monotonic clock is, so deadlines and waits stay as they are.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long shift_s;

void shift_clock(long seconds)
{
    atomic_store(&shift_s, seconds);
}

__attribute__((constructor)) static void shift_from_the_start(void)
{
    const char *seconds = getenv("COAT_TEST_CLOCK_SHIFT");

    if (seconds != NULL)
        shift_clock(atol(seconds));
}

/* The system call, for the function of this name is what is replaced here. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);

    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += atomic_load(&shift_s);
    return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return -1;
    *now = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *at)
{
    struct timespec t;

    if (clock_gettime(CLOCK_REALTIME_COARSE, &t) != 0)
        return -1;
    if (at != NULL)
        *at = t.tv_sec;
    return t.tv_sec;
}
