/*
 * histogram.h: how long operations took. Log-linear buckets: a time below 2048 ns is kept exactly;
 * above, each doubling has 1024 buckets, and a percentile is the middle of one, so it is wrong by
 * at most 1 part in 2048 (0.05 %). Mean and maximum are exact. One thread at a time.
 */
#ifndef COAT_BENCH_HISTOGRAM_H
#define COAT_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_BITS = 10,         /* of a time that a bucket tells apart */
    HISTOGRAM_LONGEST_BITS = 42, /* 73 minutes; what is longer counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_LONGEST_BITS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS
};

/* 264 KiB. All zeros: empty. */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
    double sum_ns;
};

/* Negative times count as 0. */
void histogram_add(struct histogram *h, int64_t ns);

/* All of `from` is in `to`, too. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The time that `percent` (0 to 100) of the operations did not exceed, never above the maximum; 0
 * where there are none. */
double histogram_percentile(const struct histogram *h, double percent);

/* 0 where there are none. */
double histogram_mean(const struct histogram *h);

/* The shortest time that the bucket holds, and the one that the next bucket begins with. */
uint64_t histogram_from(size_t bucket);

#endif
