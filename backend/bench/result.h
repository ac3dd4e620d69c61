/*
 * result.h: what a run has found, for those who show it (table.h). Every figure is of one round,
 * so that each has a spread: shown are the median over the rounds, and the quartiles around it.
 */
#ifndef COAT_BENCH_RESULT_H
#define COAT_BENCH_RESULT_H

#include "bench/load.h"
#include "bench/server.h"

enum measure {
    OPS_PER_S,
    MEAN_US,
    P50_US,
    P90_US,
    P99_US,
    P999_US,
    MAX_US,
    CPU_US,      /* of the server, for each operation */
    ROUND_TRIPS, /* for each operation */
    MEASURES
};

/* How it is called in files ("p50_us"), and for people ("p50, us"). */
const char *measure_name(enum measure measure);
const char *measure_title(enum measure measure);

/* The kinds of operations, and where there are several, all of them together at the end. */
enum { ROWS_MAX = KINDS_MAX + 1, SIDES_MAX = 2 };

/* Each `rounds` values of a measure; NULL where it has none. */
struct row {
    const char *name; /* "read", "all" */
    double *values[MEASURES];
    struct histogram *times; /* of all rounds */
};

/* What one contender did. */
struct side {
    const char *name;
    struct row rows[ROWS_MAX];
    uint64_t failed[FAILURES];
    struct coat_error last; /* code 0: nothing has failed */
    uint64_t done, not_begun;
    int64_t conflicts;    /* -1: it cannot tell */
    int64_t lost_updates; /* of the workload conflict; INT64_MIN: not known */
};

/* A piece of time. */
struct point {
    int side;
    double from_s, to_s; /* since the first round began */
    uint64_t done, failed;
};

struct result {
    const struct plan *plan;
    char server[256];
    size_t row_count, side_count;
    struct side sides[SIDES_MAX]; /* the second is the baseline */
    unsigned rounds;              /* that each side has completed */
    struct server_bytes bytes;
    struct point *points;
    size_t point_count, point_room;
    int64_t keys_left; /* -1: not known */
};

/* 0, or COAT_ENOMEM. To be released, whatever comes back. */
int result_begin(struct result *result, const struct plan *plan, struct coat_error *err);
void result_release(struct result *result);

/* What was measured around a round. */
struct costs {
    double cpu_us;
    uint64_t round_trips;
};

/* The round of this side that is under way, result->rounds, has ended so. */
void result_add(struct result *result, int side, const struct outcome *outcome,
                const struct costs *costs);

/* 0, or COAT_ENOMEM. */
int result_add_point(struct result *result, const struct point *point, struct coat_error *err);

/* Median and quartiles. */
struct spread {
    int known;
    double low, median, high;
};
struct spread result_spread(const struct result *result, int side, size_t row,
                            enum measure measure);

/* Of what the first side has in a round, to what the second has in it. */
struct spread result_ratio(const struct result *result, size_t row, enum measure measure);

/* "timeout" for a failure of that number, "missing" for 0. Into `to`, which it returns. */
const char *result_failure(int number, char to[24]);

/* What was asked for, and where: names and values in words, for people and files. */
typedef void result_setting_fn(void *context, const char *name, const char *value);
void result_settings(const struct result *result, result_setting_fn *fn, void *context);

#endif
