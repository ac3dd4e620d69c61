/*
 * draw.h: chance that a seed repeats: the same seed gives the same keys, sizes and values on every
 * machine. Not for secrets.
 */
#ifndef COAT_BENCH_DRAW_H
#define COAT_BENCH_DRAW_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256** (Blackman and Vigna), its state spread from a seed by splitmix64. One thread. */
struct draw {
    uint64_t state[4];
};

/* stream: another sequence of the same seed, as for each thread. */
void draw_seed(struct draw *draw, uint64_t seed, uint64_t stream);

uint64_t draw_bits(struct draw *draw);
double draw_unit(struct draw *draw);                    /* from 0, below 1 */
uint64_t draw_below(struct draw *draw, uint64_t limit); /* limit: at least 1; each as likely */

/*
 * Which of `count` is used: each as likely (exponent 0), or by Zipf's law: the nth with a weight of
 * n to the power of -exponent. By rejection (Hoermann and Derflinger), so that any count costs the
 * same and needs no table. Read only once it is set: threads may share it.
 */
struct draw_rank {
    uint64_t count;
    double exponent, low, high, cut;
};
void draw_rank_set(struct draw_rank *rank, uint64_t count, double exponent);
uint64_t draw_rank(const struct draw_rank *rank, struct draw *draw); /* from 0, below count */

/* How large something is. */
struct draw_size {
    enum { SIZE_FIXED, SIZE_UNIFORM, SIZE_LOGNORMAL } kind;
    uint64_t low, high; /* FIXED: both the same; else the bounds of what is drawn */
    double median, sigma;
};

/*
 * "64", "2k" (2048), "1m"; "16..4k": each as likely; "lognormal:MEDIAN:SIGMA", as sessions often
 * are, between 1 and a hundred times the median. 1; 0: it is none of these, or above 16 MiB.
 */
int draw_size_read(struct draw_size *size, const char *text);
uint64_t draw_size(const struct draw_size *size, struct draw *draw);

#endif
