/* Figures for monitoring, counted and shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coat_stats.h"
#include "store.h"

/* Of a store that was opened, and has not connected. */
static int open_store(void **state)
{
    struct coat_options *options;
    struct coat_store *store;
    assert_int_equal(coat_options_new(&options, NULL), 0);
    assert_int_equal(coat_options_set(options, "url", "unix:/nowhere/at/all", NULL), 0);
    assert_int_equal(coat_options_set(options, "prefix", "t:", NULL), 0);
    assert_int_equal(coat_store_open(&store, options, NULL), 0);
    coat_options_free(options);
    *state = store;
    return 0;
}

static int close_store(void **state)
{
    coat_store_close(*state);
    return 0;
}

/* ---- Looking -------------------------------------------------------------------------------- */

struct search {
    const char *name; /* as Prometheus writes it */
    double value;
    int found;
};

static int look(void *context, const struct coat_sample *sample)
{
    struct search *search = context;
    char name[160];
    int bare = sample->labels[0] == 0;
    snprintf(name, sizeof name, "%s%s%s%s%s", sample->metric->name, sample->suffix, bare ? "" : "{",
             sample->labels, bare ? "" : "}");
    if (strcmp(name, search->name) == 0) {
        search->found++;
        search->value = sample->value;
    }
    return 0;
}

/* The value of a sample that is there once; -1: it is not there. */
static double value_of(struct coat_store *store, const char *name)
{
    struct search search = {.name = name};
    assert_int_equal(coat_store_stats(store, look, &search), 0);
    assert_true(search.found <= 1);
    return search.found ? search.value : -1;
}

/* ---- Counting ------------------------------------------------------------------------------- */

static void each_end_is_counted_under_its_own_name(void **state)
{
    static const struct {
        enum coat_op_kind kind;
        int rc;
        const char *name;
    } ends[] = {
        {COAT_KIND_LOAD, 1, "coatcheck_operations_total{op=\"load\",result=\"ok\"}"},
        {COAT_KIND_LOAD, 0, "coatcheck_operations_total{op=\"load\",result=\"none\"}"},
        {COAT_KIND_LOAD, 2, "coatcheck_operations_total{op=\"load\",result=\"stale\"}"},
        {COAT_KIND_LOAD, COAT_ETIMEOUT,
         "coatcheck_operations_total{op=\"load\",result=\"timeout\"}"},
        {COAT_KIND_SAVE, 0, "coatcheck_operations_total{op=\"save\",result=\"ok\"}"},
        {COAT_KIND_SAVE, -32, "coatcheck_operations_total{op=\"save\",result=\"usage\"}"},
        {COAT_KIND_SAVE, COAT_EINTR, "coatcheck_operations_total{op=\"save\",result=\"intr\"}"},
        {COAT_KIND_DESTROY, 0, "coatcheck_operations_total{op=\"destroy\",result=\"none\"}"},
        {COAT_KIND_DESTROY, 1, "coatcheck_operations_total{op=\"destroy\",result=\"ok\"}"},
        {COAT_KIND_PING, 0, "coatcheck_operations_total{op=\"ping\",result=\"ok\"}"},
    };
    struct coat_store *store = *state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_float_equal(value_of(store, ends[i].name), -1, 0);
        coat_stats_ended(&store->stats, ends[i].kind, ends[i].rc, 1);
        assert_float_equal(value_of(store, ends[i].name), 1, 0);
    }
}

static void a_call_that_nobody_waited_for_is_counted(void **state)
{
    struct coat_store *store = *state;
    coat_stats_abandoned(&store->stats, COAT_KIND_SAVE, 1);
    assert_float_equal(
        value_of(store, "coatcheck_operations_total{op=\"save\",result=\"abandoned\"}"), 1, 0);
}

static void a_bucket_holds_all_up_to_its_bound(void **state)
{
    static const struct {
        const char *le;
        double count;
    } buckets[] = {{"5e-05", 0}, {"0.0001", 2}, {"0.00025", 3}, {"5", 3}, {"+Inf", 4}};
    static const int64_t took_us[] = {51, 100, 101, 5000001};
    struct coat_store *store = *state;
    char name[96];
    for (size_t i = 0; i < sizeof took_us / sizeof took_us[0]; i++)
        coat_stats_ended(&store->stats, COAT_KIND_LOAD, 1, took_us[i]);
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        snprintf(name, sizeof name,
                 "coatcheck_operation_duration_seconds_bucket{le=\"%s\",op=\"load\"}",
                 buckets[i].le);
        assert_float_equal(value_of(store, name), buckets[i].count, 0);
    }
    assert_float_equal(value_of(store, "coatcheck_operation_duration_seconds_sum{op=\"load\"}"),
                       5.000253, 1e-9);
    assert_float_equal(value_of(store, "coatcheck_operation_duration_seconds_count{op=\"load\"}"),
                       4, 0);
}

static void a_clock_that_stood_still_counts_as_no_time(void **state)
{
    struct coat_store *store = *state;
    coat_stats_ended(&store->stats, COAT_KIND_LOAD, 1, -1);
    assert_float_equal(value_of(store, "coatcheck_operation_duration_seconds_sum{op=\"load\"}"), 0,
                       0);
}

static void sizes_are_in_bytes(void **state)
{
    struct coat_store *store = *state;
    coat_stats_record(&store->stats, COAT_KIND_SAVE, 128);
    coat_stats_record(&store->stats, COAT_KIND_SAVE, 129);
    assert_float_equal(value_of(store, "coatcheck_record_bytes_bucket{le=\"128\",op=\"save\"}"), 1,
                       0);
    assert_float_equal(value_of(store, "coatcheck_record_bytes_sum{op=\"save\"}"), 257, 0);
}

static void without_an_event_there_is_no_series(void **state)
{
    struct coat_store *store = *state;
    assert_float_equal(value_of(store, "coatcheck_record_bytes_count{op=\"save\"}"), -1, 0);
    assert_float_equal(value_of(store, "coatcheck_connections{state=\"idle\"}"), 0, 0);
    assert_float_equal(value_of(store, "coatcheck_conflicts_total"), 0, 0);
}

/* ---- The form ------------------------------------------------------------------------------- */

struct form {
    const struct coat_metric *metric;
    int metrics;
};

static int is_in_form(void *context, const struct coat_sample *sample)
{
    static const char TOTAL[] = "_total";
    struct form *form = context;
    const char *name = sample->metric->name;
    size_t len = strlen(name);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), len);
    assert_int_equal(strncmp(name, "coatcheck_", 10), 0);
    assert_int_equal(strcmp(name + len - (sizeof TOTAL - 1), TOTAL) == 0,
                     sample->metric->kind == COAT_COUNTER);
    assert_int_equal(sample->suffix[0] != 0, sample->metric->kind == COAT_HISTOGRAM);
    assert_true(sample->metric->help[0]);
    form->metrics += sample->metric != form->metric;
    form->metric = sample->metric;
    return 0;
}

static void names_are_those_of_prometheus_and_come_together(void **state)
{
    struct coat_store *store = *state;
    struct form form = {0};
    for (int kind = 0; kind < COAT_OP_KINDS; kind++) {
        coat_stats_ended(&store->stats, (enum coat_op_kind)kind, 0, 1);
        coat_stats_record(&store->stats, (enum coat_op_kind)kind, 1);
    }
    assert_int_equal(coat_store_stats(store, is_in_form, &form), 0);
    assert_int_equal(form.metrics, 6 + COAT_COUNTS);
}

static int stop_at_third(void *context, const struct coat_sample *sample)
{
    (void)sample;
    return ++*(int *)context == 3 ? -7 : 0;
}

static void a_visitor_may_end_the_visit(void **state)
{
    int seen = 0;
    assert_int_equal(coat_store_stats(*state, stop_at_third, &seen), -7);
    assert_int_equal(seen, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
    const struct CMUnitTest tests[] = {
        TEST(each_end_is_counted_under_its_own_name),
        TEST(a_call_that_nobody_waited_for_is_counted),
        TEST(a_bucket_holds_all_up_to_its_bound),
        TEST(a_clock_that_stood_still_counts_as_no_time),
        TEST(sizes_are_in_bytes),
        TEST(without_an_event_there_is_no_series),
        TEST(names_are_those_of_prometheus_and_come_together),
        TEST(a_visitor_may_end_the_visit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
