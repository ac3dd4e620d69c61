/* Looking at all keys of a cache: the pattern, the pieces, what is deleted. */
#include "script_driver.h"

#include "api/cache.h"

/* An item of a SCAN. */
#define KEY(text) BULK(text, sizeof(text) - 1)

struct look {
    struct script script;
    struct coat_cache_scan *scan;
};

static void open_at(struct look *t, enum coat_cache_scan_do what, const char *prefix,
                    const char *pattern)
{
    script_init(&t->script);
    t->script.options.prefix = (char *)prefix;
    assert_int_equal(
        coat_cache_scan_new(&t->scan, &t->script.store, what, pattern, strlen(pattern), NULL), 0);
    t->script.op = coat_cache_scan_op(t->scan);
}

static void start(struct look *t)
{
    script_event(&t->script, (struct coat_event){.kind = COAT_EVENT_START});
}

/* A piece with these keys; the cursor of the next one, "0" at the end. */
static void answer(struct look *t, const char *cursor, struct coat_reply *keys, size_t count)
{
    struct coat_reply items[] = {BULK(cursor, strlen(cursor)),
                                 {.kind = COAT_REPLY_ARRAY, .items = keys, .count = count}};
    script_answer(&t->script,
                  (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items, .count = 2});
}

static void assert_key(const struct look *t, size_t index, const char *text)
{
    size_t len;
    const char *key = coat_cache_scan_key(t->scan, index, &len);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(key, text, len);
}

static void the_prefix_is_no_pattern(void **state)
{
    (void)state;
    struct look t;
    open_at(&t, COAT_CACHE_SCAN_KEYS, "a*?[^]\\", "user:*");
    start(&t);
    script_sent(&t.script, 0, "SCAN", "0", "MATCH", "a\\*\\?\\[\\^\\]\\\\c:k:user:*", "COUNT",
                "500", NULL);
    coat_cache_scan_free(t.scan);
}

static void each_piece_is_an_operation(void **state)
{
    (void)state;
    struct look t;
    struct coat_reply keys[] = {KEY("shop:c:k:a"), KEY("shop:c:k:bc")};
    open_at(&t, COAT_CACHE_SCAN_KEYS, PREFIX, "*");
    start(&t);
    answer(&t, "18446744073709551615", keys, 2);
    script_done(&t.script, 1);
    assert_int_equal(coat_cache_scan_count(t.scan), 2);
    assert_key(&t, 0, "a");
    assert_key(&t, 1, "bc");
    start(&t);
    script_sent(&t.script, 0, "SCAN", "18446744073709551615", "MATCH", "shop:c:k:*", "COUNT", "500",
                NULL);
    assert_int_equal(coat_cache_scan_count(t.scan), 0);
    answer(&t, "0", keys, 1);
    script_done(&t.script, 0);
    assert_int_equal(coat_cache_scan_count(t.scan), 1);
    start(&t);
    script_done(&t.script, 0);
    coat_cache_scan_free(t.scan);
}

static void a_piece_that_failed_comes_again(void **state)
{
    (void)state;
    struct look t;
    open_at(&t, COAT_CACHE_SCAN_KEYS, PREFIX, "*");
    start(&t);
    answer(&t, "5", NULL, 0);
    script_done(&t.script, 1);
    start(&t);
    for (int i = 0; i < 3; i++)
        script_lost(&t.script, MAYBE_SENT);
    script_done(&t.script, COAT_EUNAVAILABLE);
    start(&t);
    script_sent(&t.script, 0, "SCAN", "5", "MATCH", "shop:c:k:*", "COUNT", "500", NULL);
    coat_cache_scan_free(t.scan);
}

static void what_is_found_is_cleared_by_key(void **state)
{
    (void)state;
    struct look t;
    struct coat_reply keys[] = {KEY("shop:c:k:a"), KEY("shop:c:l:b"), KEY("shop:c:k:c")};
    const struct coat_reply replies[] = {INTEGER(1), INTEGER(0), INTEGER(1)};
    open_at(&t, COAT_CACHE_SCAN_CLEAR, PREFIX, "*");
    start(&t);
    script_sent(&t.script, 0, "SCAN", "0", "MATCH", "shop:c:*", "COUNT", "500", NULL);
    answer(&t, "9", keys, 3);
    assert_int_equal(script_commands(&t.script), 3);
    script_sent(&t.script, 1, "UNLINK", "shop:c:l:b", NULL);
    assert_memory_equal(t.script.step.commands[1].key.bytes, "shop:c:l:b", 10);
    script_answer_all(&t.script, replies);
    script_done(&t.script, 1);
    assert_int_equal(coat_cache_scan_count(t.scan), 2);
    start(&t);
    script_sent(&t.script, 0, "SCAN", "9", "MATCH", "shop:c:*", "COUNT", "500", NULL);
    answer(&t, "0", NULL, 0);
    script_done(&t.script, 0);
    assert_int_equal(coat_cache_scan_count(t.scan), 0);
    coat_cache_scan_free(t.scan);
}

static void a_cursor_that_is_none_is_anothers_reply(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "x", "-1", "184467440737095516150"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct look t;
        open_at(&t, COAT_CACHE_SCAN_KEYS, PREFIX, "*");
        start(&t);
        answer(&t, BAD[i], NULL, 0);
        script_done(&t.script, COAT_EFOREIGN);
        coat_cache_scan_free(t.scan);
    }
}

static void what_is_no_scan_is_anothers_reply(void **state)
{
    (void)state;
    struct coat_reply short_key = KEY("shop:");
    struct look t;
    open_at(&t, COAT_CACHE_SCAN_KEYS, PREFIX, "*");
    start(&t);
    script_answer(&t.script, INTEGER(1));
    script_done(&t.script, COAT_EFOREIGN);
    start(&t);
    answer(&t, "0", &short_key, 1);
    script_done(&t.script, COAT_EFOREIGN);
    coat_cache_scan_free(t.scan);
}

static void an_unlink_that_counts_two_is_anothers_reply(void **state)
{
    (void)state;
    struct look t;
    struct coat_reply key = KEY("shop:c:k:a");
    open_at(&t, COAT_CACHE_SCAN_CLEAR, PREFIX, "*");
    start(&t);
    answer(&t, "0", &key, 1);
    script_answer(&t.script, INTEGER(2));
    script_done(&t.script, COAT_EFOREIGN);
    coat_cache_scan_free(t.scan);
}

static void patterns_have_a_length(void **state)
{
    (void)state;
    static char pattern[1025];
    struct look t;
    memset(pattern, '*', sizeof pattern);
    script_init(&t.script);
    for (size_t len = 0; len <= 1025; len += 1025) {
        assert_int_equal(
            coat_cache_scan_new(&t.scan, &t.script.store, COAT_CACHE_SCAN_KEYS, pattern, len, NULL),
            COAT_EUSAGE);
        assert_null(t.scan);
    }
    assert_int_equal(
        coat_cache_scan_new(&t.scan, &t.script.store, COAT_CACHE_SCAN_KEYS, pattern, 1024, NULL),
        0);
    coat_cache_scan_free(t.scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prefix_is_no_pattern),
        cmocka_unit_test(each_piece_is_an_operation),
        cmocka_unit_test(a_piece_that_failed_comes_again),
        cmocka_unit_test(what_is_found_is_cleared_by_key),
        cmocka_unit_test(a_cursor_that_is_none_is_anothers_reply),
        cmocka_unit_test(what_is_no_scan_is_anothers_reply),
        cmocka_unit_test(an_unlink_that_counts_two_is_anothers_reply),
        cmocka_unit_test(patterns_have_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
