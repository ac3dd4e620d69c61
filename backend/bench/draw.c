#include "bench/draw.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MOST (UINT64_C(16) << 20)

/* ---- Bits ----------------------------------------------------------------------------------- */

static uint64_t spread(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void draw_seed(struct draw *draw, uint64_t seed, uint64_t stream)
{
    uint64_t x = stream;
    x = seed ^ spread(&x);
    for (size_t i = 0; i < 4; i++)
        draw->state[i] = spread(&x);
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t draw_bits(struct draw *draw)
{
    uint64_t *s = draw->state, bits = rotate(s[1] * 5, 7) * 9, kept = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= kept;
    s[3] = rotate(s[3], 45);
    return bits;
}

double draw_unit(struct draw *draw)
{
    return (double)(draw_bits(draw) >> 11) * 0x1p-53;
}

uint64_t draw_below(struct draw *draw, uint64_t limit)
{
    /* What would make the first numbers likelier is drawn again. */
    uint64_t bits, least = (0 - limit) % limit;
    do
        bits = draw_bits(draw);
    while (bits < least);
    return bits % limit;
}

/* ---- Ranks ---------------------------------------------------------------------------------- */

/* The integral of x^-s, and its inverse, both good near s = 1. */
static double over(double x, double s)
{
    double e = 1 - s, l = log(x);
    return fabs(e * l) < 1e-8 ? l : expm1(e * l) / e;
}

static double back(double y, double s)
{
    double e = 1 - s;
    if (fabs(e * y) < 1e-8)
        return exp(y);
    return exp(log1p(e * y < -1 ? -1 : e * y) / e);
}

void draw_rank_set(struct draw_rank *rank, uint64_t count, double exponent)
{
    double s = exponent;
    *rank = (struct draw_rank){.count = count, .exponent = s};
    if (s == 0)
        return;
    rank->low = over(1.5, s) - 1;
    rank->high = over((double)count + 0.5, s);
    rank->cut = 2 - back(over(2.5, s) - pow(2, -s), s);
}

uint64_t draw_rank(const struct draw_rank *rank, struct draw *draw)
{
    double s = rank->exponent;
    if (s == 0)
        return draw_below(draw, rank->count);
    for (;;) {
        double u = rank->high + draw_unit(draw) * (rank->low - rank->high), x = back(u, s);
        double k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)rank->count ? (double)rank->count : k;
        if (k - x <= rank->cut || u >= over(k + 0.5, s) - pow(k, -s))
            return (uint64_t)k - 1;
    }
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

/* Digits, and k or m for 1024 and its square. Where it ends, or NULL. */
static const char *read_bytes(uint64_t *to, const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned long long unit = *end == 'k' ? 1024 : *end == 'm' ? 1024 * 1024 : 1;
    if (errno || n > SIZE_MOST / unit)
        return NULL;
    *to = n * unit;
    return unit == 1 ? end : end + 1;
}

static int read_lognormal(struct draw_size *size, const char *text)
{
    uint64_t median;
    char *end;
    const char *rest = read_bytes(&median, text);
    if (!rest || *rest != ':' || median < 1)
        return 0;
    double sigma = strtod(rest + 1, &end);
    if (end == rest + 1 || *end || !(sigma >= 0 && sigma <= 5))
        return 0;
    uint64_t high = median * 100 < SIZE_MOST ? median * 100 : SIZE_MOST;
    *size = (struct draw_size){SIZE_LOGNORMAL, 1, high, (double)median, sigma};
    return 1;
}

int draw_size_read(struct draw_size *size, const char *text)
{
    static const char LOGNORMAL[] = "lognormal:";
    uint64_t low, high;
    if (strncmp(text, LOGNORMAL, strlen(LOGNORMAL)) == 0)
        return read_lognormal(size, text + strlen(LOGNORMAL));
    const char *rest = read_bytes(&low, text);
    if (!rest)
        return 0;
    high = low;
    int ranges = strncmp(rest, "..", 2) == 0;
    if (ranges)
        rest = read_bytes(&high, rest + 2);
    if (!rest || *rest || high < low)
        return 0;
    *size =
        (struct draw_size){.kind = ranges ? SIZE_UNIFORM : SIZE_FIXED, .low = low, .high = high};
    return 1;
}

/* Normally distributed, by Box and Muller. */
static double draw_normal(struct draw *draw)
{
    static const double TURN = 6.283185307179586;
    double u = 1 - draw_unit(draw), v = draw_unit(draw);
    return sqrt(-2 * log(u)) * cos(TURN * v);
}

uint64_t draw_size(const struct draw_size *size, struct draw *draw)
{
    if (size->kind == SIZE_FIXED)
        return size->low;
    if (size->kind == SIZE_UNIFORM)
        return size->low + draw_below(draw, size->high - size->low + 1);
    double bytes = size->median * exp(size->sigma * draw_normal(draw));
    return bytes < (double)size->low    ? size->low
           : bytes > (double)size->high ? size->high
                                        : (uint64_t)bytes;
}
