/* Chance and times as the benchmark tool has them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/draw.h"
#include "bench/histogram.h"

/* ---- Times ---------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles_are_those_of_the_sorted_times(void **state)
{
    enum { COUNT = 100000 };
    static const double percents[] = {0, 0.1, 10, 50, 90, 99, 99.9, 99.99, 100};
    (void)state;
    struct histogram *h = calloc(1, sizeof *h);
    int64_t *times = calloc(COUNT, sizeof *times);
    struct draw draw;
    double sum = 0;
    assert_true(h && times);
    draw_seed(&draw, 1, 0);
    for (size_t i = 0; i < COUNT; i++) { /* from nanoseconds to a minute */
        times[i] = (int64_t)exp(draw_unit(&draw) * log(60e9));
        sum += (double)times[i];
        histogram_add(h, times[i]);
    }
    qsort(times, COUNT, sizeof *times, by_size);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        size_t rank = (size_t)ceil(percents[i] / 100 * COUNT);
        double exact = (double)times[rank ? rank - 1 : 0];
        double said = histogram_percentile(h, percents[i]);
        assert_true(fabs(said - exact) <= exact / 2048 + 0.5);
    }
    assert_true(fabs(histogram_mean(h) - sum / COUNT) < 1);
    assert_int_equal(h->max_ns, times[COUNT - 1]);
    free(times);
    free(h);
}

static void buckets_join_without_gaps(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        struct histogram *h = i % 997 ? NULL : calloc(1, sizeof *h);
        assert_true(histogram_from(i) < histogram_from(i + 1));
        if (!h)
            continue;
        histogram_add(h, (int64_t)histogram_from(i));
        histogram_add(h, (int64_t)histogram_from(i + 1) - 1);
        assert_int_equal(h->buckets[i], 2);
        free(h);
    }
}

static void times_beyond_the_buckets(void **state)
{
    (void)state;
    struct histogram *h = calloc(1, sizeof *h);
    assert_non_null(h);
    assert_true(histogram_percentile(h, 50) == 0 && histogram_mean(h) == 0);
    histogram_add(h, -5);
    assert_true(histogram_percentile(h, 100) == 0);
    histogram_add(h, INT64_MAX);
    assert_true(histogram_percentile(h, 100) == (double)INT64_MAX);
    free(h);
}

static void merged_as_if_added(void **state)
{
    (void)state;
    struct histogram *a = calloc(3, sizeof *a), *b = a + 1, *both = a + 2;
    assert_non_null(a);
    for (int64_t i = 0; i < 5000; i++) {
        histogram_add(i % 3 ? a : b, i * i);
        histogram_add(both, i * i);
    }
    histogram_merge(a, b);
    assert_memory_equal(a, both, sizeof *a);
    free(a);
}

/* ---- Chance --------------------------------------------------------------------------------- */

static void a_seed_repeats_and_streams_differ(void **state)
{
    (void)state;
    struct draw a, b, c;
    draw_seed(&a, 42, 0);
    draw_seed(&b, 42, 0);
    draw_seed(&c, 42, 1);
    for (int i = 0; i < 100; i++) {
        uint64_t bits = draw_bits(&a);
        assert_true(bits == draw_bits(&b) && bits != draw_bits(&c));
    }
}

/* The first ten ranks come as often as the law says, within 5 standard deviations. */
static void check_ranks(uint64_t count, double exponent)
{
    enum { DRAWS = 400000, SHOWN = 10 };
    struct draw_rank rank;
    struct draw draw;
    double total = 0, seen[SHOWN] = {0};
    draw_rank_set(&rank, count, exponent);
    draw_seed(&draw, 7, 0);
    for (uint64_t k = 1; k <= count; k++)
        total += pow((double)k, -exponent);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = draw_rank(&rank, &draw);
        assert_true(n < count);
        if (n < SHOWN)
            seen[n]++;
    }
    for (uint64_t k = 1; k <= SHOWN && k <= count; k++) {
        double p = pow((double)k, -exponent) / total;
        assert_true(fabs(seen[k - 1] - DRAWS * p) <= 5 * sqrt(DRAWS * p * (1 - p)) + 1e-9);
    }
}

static void ranks_follow_their_law(void **state)
{
    (void)state;
    check_ranks(1, 1);
    check_ranks(2, 0);
    check_ranks(1000, 0);
    check_ranks(1000, 0.5);
    check_ranks(1000, 0.99);
    check_ranks(1000, 1);
    check_ranks(100000, 1.2);
    check_ranks(3, 3);
}

static void sizes_as_written(void **state)
{
    static const char *const wrong[] = {"",
                                        "k",
                                        "-1",
                                        "1..",
                                        "2..1",
                                        "1kb",
                                        "17m",
                                        "0x1",
                                        " 1",
                                        "1 ",
                                        "lognormal:0:1",
                                        "1.5",
                                        "1..2..",
                                        "1..k",
                                        "nan",
                                        "lognormal:9:",
                                        "lognormal:9:-1",
                                        "lognormal:9:nan",
                                        "99999999999999999999"};
    (void)state;
    struct draw_size size;
    struct draw draw;
    draw_seed(&draw, 1, 0);
    assert_true(draw_size_read(&size, "0") && draw_size(&size, &draw) == 0);
    assert_true(draw_size_read(&size, "2k") && draw_size(&size, &draw) == 2048);
    assert_true(draw_size_read(&size, "16m") && draw_size(&size, &draw) == 16 * 1024 * 1024);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(draw_size_read(&size, wrong[i]));
}

static void sizes_as_distributed(void **state)
{
    enum { DRAWS = 20000 };
    (void)state;
    struct draw_size size;
    struct draw draw;
    int low = 0, below = 0;
    draw_seed(&draw, 1, 0);
    assert_true(draw_size_read(&size, "3..4"));
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = draw_size(&size, &draw);
        assert_true(n == 3 || n == 4);
        low += n == 3;
    }
    assert_true(abs(low - DRAWS / 2) < 400);
    assert_true(draw_size_read(&size, "lognormal:1k:0.8"));
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = draw_size(&size, &draw);
        assert_true(n >= 1 && n <= 102400);
        below += n < 1024;
    }
    assert_true(abs(below - DRAWS / 2) < 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_those_of_the_sorted_times),
        cmocka_unit_test(buckets_join_without_gaps),
        cmocka_unit_test(times_beyond_the_buckets),
        cmocka_unit_test(merged_as_if_added),
        cmocka_unit_test(a_seed_repeats_and_streams_differ),
        cmocka_unit_test(ranks_follow_their_law),
        cmocka_unit_test(sizes_as_written),
        cmocka_unit_test(sizes_as_distributed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
