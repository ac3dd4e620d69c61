/* stats.h: counting what coat_stats.h shows. Any number of threads. */
#ifndef COAT_BACKEND_STATS_H
#define COAT_BACKEND_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "api/op.h"

/* Times in microseconds, or sizes in bytes. */
enum coat_measure { COAT_TIMES, COAT_SIZES };

/* How many values were at most a bound, and above all of them; and their sum. */
#define COAT_BOUNDS 12
struct coat_histogram {
    _Atomic uint64_t buckets[COAT_BOUNDS + 1];
    _Atomic uint64_t sum;
};

void coat_histogram_add(struct coat_histogram *h, enum coat_measure measure, uint64_t value);

/* Ways that an operation can end: -rc of a failure, or one of these. */
enum { COAT_ENDED_OK = 32, COAT_ENDED_NONE, COAT_ENDED_STALE, COAT_ENDED_ABANDONED, COAT_ENDS };

struct coat_stats {
    struct {
        _Atomic uint64_t ends[COAT_ENDS];
        struct coat_histogram duration;
        struct coat_histogram bytes; /* of records */
    } ops[COAT_OP_KINDS];
    _Atomic uint64_t round_trips;
};

/* An operation has ended. rc: its result. */
void coat_stats_ended(struct coat_stats *stats, enum coat_op_kind kind, int rc, int64_t took_us);

/* Its caller did not wait for the end. */
void coat_stats_abandoned(struct coat_stats *stats, enum coat_op_kind kind, int64_t took_us);

/* A record was read or written by it. */
void coat_stats_record(struct coat_stats *stats, enum coat_op_kind kind, size_t bytes);

/* A pipeline goes to a node. */
void coat_stats_round_trip(struct coat_stats *stats);

#endif
