/*
 * contender.h: what is measured: this library, and beside it plain commands for the same bytes.
 *
 *     contender_of_sessions(&c, plan, payload, &err);
 *     c->prepare(c, n, &err)               for each n below c->count, from any thread
 *     c->operate(c, &choice, &err)         again and again, from all threads at once
 *     c->close(c);
 */
#ifndef COAT_BENCH_CONTENDER_H
#define COAT_BENCH_CONTENDER_H

#include "bench/payload.h"
#include "bench/plan.h"

/* What an operation is to do. It was drawn before its time is taken. */
struct choice {
    int kind;              /* which of the contender's */
    unsigned thread;       /* who does it */
    const uint64_t *which; /* of the sessions or entries; as many as plan->pipeline */
    struct draw *draw;     /* of this thread */
};

enum { CONTENDER_MISSING = 1, CONTENDER_KEY_MAX = 1024 };

struct contender {
    const char *name;
    const struct plan *plan;
    const struct payload *payload;
    uint64_t count; /* that are to be prepared */

    /* 0, or a failure. */
    int (*prepare)(struct contender *c, uint64_t n, struct coat_error *err);
    /* 0; CONTENDER_MISSING: what it was to use is not there; or a failure. */
    int (*operate)(struct contender *c, const struct choice *choice, struct coat_error *err);
    /* So far. */
    uint64_t (*round_trips)(struct contender *c);
    /* Fields of which two threads had other ideas, so far. NULL: it cannot tell. */
    uint64_t (*conflicts)(struct contender *c);
    /* Where the nth lies in Redis; a key goes into a buffer of CONTENDER_KEY_MAX. 0, or a failure.
     * NULL: nobody asks. */
    int (*key)(struct contender *c, uint64_t n, char *key, size_t *len, struct coat_error *err);
    void (*close)(struct contender *c);
};

/* 0 and *out, to be closed; or a failure. Plan and payload are borrowed. */
int contender_of_sessions(struct contender **out, const struct plan *plan,
                          const struct payload *payload, struct coat_error *err);
int contender_of_entries(struct contender **out, const struct plan *plan,
                         const struct payload *payload, struct coat_error *err);

/* What coat_stats.h says of a store. */
struct coat_store;
uint64_t contender_store_round_trips(struct coat_store *store);

/* How often updates of the workload conflict were lost, once no thread runs any more: of all that
 * succeeded those that the session does not count; below 0: some landed though their reply was
 * lost. 0 and *lost; CONTENDER_MISSING; or a failure. */
int contender_lost_updates(struct contender *sessions, uint64_t succeeded, int64_t *lost,
                           struct coat_error *err);

/* Plain GET and SET by hiredis, of the bytes that `ours` has stored, on as many connections to the
 * server. Both are borrowed. 0 and *out; COAT_ENOMEM. */
struct coat_peer;
int contender_of_commands(struct contender **out, struct contender *ours,
                          const struct coat_peer *peer, struct coat_error *err);

#endif
