/*
 * load.h: threads that use a contender, and what they have measured.
 *
 * A closed loop (the default): each thread begins an operation when its last one has ended, and a
 * time is from there to its end. A server that stands still is then seen by one operation of each
 * thread: all the others, which would have come meanwhile, were not begun. An open loop (--rate):
 * operation n is meant to begin at n / rate, whatever became of those before it, and its time
 * counts from there, so that waiting counts. The clock is CLOCK_MONOTONIC. Which session an
 * operation uses is drawn before its time begins; what it stores is made within it.
 */
#ifndef COAT_BENCH_LOAD_H
#define COAT_BENCH_LOAD_H

#include <stdatomic.h>

#include "bench/contender.h"
#include "bench/histogram.h"

/* By -code of a failure; what was missing is 0. */
enum { FAILURES = 32 };

/* What was measured: by one thread, or together. */
struct tally {
    struct histogram kinds[KINDS_MAX]; /* of operations that succeeded */
    uint64_t failed[FAILURES];
    struct coat_error last; /* code 0: nothing has failed */
};

/* Operations that failed, of whatever kind. */
uint64_t tally_failed(const struct tally *tally);
uint64_t tally_done(const struct tally *tally);
void tally_merge(struct tally *to, const struct tally *from);

/* How a round stands, from time to time, for who shows it. */
struct progress {
    double at_s; /* since the round began */
    uint64_t done, failed;
};
typedef void progress_fn(void *context, const struct progress *progress);

/* What to do. */
struct round {
    struct contender *contender;
    int prepares;      /* prepare, not operate */
    uint64_t count;    /* operations; 0: as long as the duration says */
    double duration_s; /* of an open loop: count is this long, too */
    double rate;       /* 0: closed loop */
    uint64_t seed;     /* the same seed, the same choices */
    double tick_s;     /* how often progress is told */
    progress_fn *progress;
    void *context;
    const atomic_int *stop; /* once it is not 0, nothing more begins */
};

/* How it went. */
struct outcome {
    struct tally *tally; /* owned */
    double took_s;
    uint64_t not_begun; /* of an open loop: the backlog was too long for that */
    int gave_up;        /* for GIVE_UP_S nothing has succeeded */
};
enum { GIVE_UP_S = 5 };

/* Run one to its end. 0 and *out, to be released; COAT_ENOMEM, COAT_EUNAVAILABLE: no threads. */
int load_run(const struct plan *plan, const struct round *round, struct outcome *out,
             struct coat_error *err);
void outcome_release(struct outcome *outcome);

#endif
