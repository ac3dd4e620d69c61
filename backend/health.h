/*
 * health.h: whether it is worth trying to connect to a node. After a connect that failed, nobody
 * tries for a short time, and then one at a time, while all others fail at once. Without a clock or
 * lock of its own: its owner guards it.
 */
#ifndef COAT_BACKEND_HEALTH_H
#define COAT_BACKEND_HEALTH_H

#include <stdint.h>

#include "coat_error.h"

/* A pause is drawn from all between the floor and 100 ms, which doubles with each failure to 2 s.
 */
#define COAT_DOWN_FLOOR_MS 50
#define COAT_DOWN_MIN_MS   100
#define COAT_DOWN_MAX_MS   2000

/* A probe that takes longer may have been given up without a word, as by an event loop that ended.
 */
#define COAT_PROBE_MS 2000

/* All zeros: nothing is known against it. */
struct coat_health {
    int failures;          /* in a row */
    unsigned news;         /* how often something was learnt */
    int64_t down_until_ms; /* of the monotonic clock: nobody else tries before */
    struct coat_error why; /* of the last failure */
};

/* What was known when a connect began; one that began before a failure is no probe after it. */
typedef unsigned coat_trial;

/*
 * May the caller try to connect? 0: yes, and then one of the next three must follow. Otherwise
 * COAT_EUNAVAILABLE or COAT_ETIMEOUT, as the last failure.
 */
int coat_health_ask(struct coat_health *h, int64_t now_ms, coat_trial *trial,
                    struct coat_error *err);

/* It connected. 1 if it was down. */
int coat_health_good(struct coat_health *h);

/* It did not; random: any number, for the jitter. 1 if this is news. */
int coat_health_bad(struct coat_health *h, coat_trial trial, int64_t now_ms, uint32_t random,
                    const struct coat_error *why);

/* Gave up for a reason that says nothing about the node. */
void coat_health_unknown(struct coat_health *h, coat_trial trial);

#endif
