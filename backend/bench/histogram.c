#include "bench/histogram.h"

#include <math.h>

#define EACH (UINT64_C(1) << HISTOGRAM_BITS) /* buckets of a doubling */

/* Times below 2 * EACH are their own bucket; each doubling after that has EACH of them. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < 2 * EACH)
        return (size_t)ns;
    int shift = 63 - __builtin_clzll(ns) - HISTOGRAM_BITS;
    return (size_t)((uint64_t)shift * EACH + (ns >> shift));
}

uint64_t histogram_from(size_t bucket)
{
    if (bucket < 2 * EACH)
        return bucket;
    uint64_t shift = bucket / EACH - 1;
    return (bucket - shift * EACH) << shift;
}

void histogram_add(struct histogram *h, int64_t ns)
{
    uint64_t time = ns > 0 ? (uint64_t)ns : 0;
    size_t bucket = bucket_of(time);
    h->buckets[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
    h->count++;
    h->sum_ns += (double)time;
    if (time > h->max_ns)
        h->max_ns = time;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->count += from->count;
    to->sum_ns += from->sum_ns;
    if (from->max_ns > to->max_ns)
        to->max_ns = from->max_ns;
}

double histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t wanted = (uint64_t)ceil((double)h->count * percent / 100), seen = 0;
    size_t i = 0;
    if (h->count == 0)
        return 0;
    if (wanted < 1)
        wanted = 1;
    for (; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= wanted)
            break;
    }
    double middle = ((double)histogram_from(i) + (double)(histogram_from(i + 1) - 1)) / 2;
    return i == HISTOGRAM_BUCKETS - 1 || middle > (double)h->max_ns ? (double)h->max_ns : middle;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum_ns / (double)h->count : 0;
}
