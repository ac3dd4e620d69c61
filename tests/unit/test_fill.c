/* Making a value once: what a fetch decides, and what is stored by whom. */
#include "cache_script.h"

#include "api/fill.h"

#define KEY  "shop:c:k:a"
#define LOCK "shop:c:l:{shop:c:k:a}"

/* Entries of "two": cost 0, stale for the last 100 ms; one that cost 49 days, never stale. */
#define STALE_100          "\xc1\x01\0\0\0\0\0\0\0\x64" VALUE
#define COSTLY             "\xc1\x01\xff\xff\xff\xff\0\0\0\0" VALUE
#define ENTRY_REPLY(entry) BULK(entry, sizeof(entry) - 1)

struct filling {
    struct cache_script cache; /* its own operation is not used */
    struct coat_cache_fill *fill;
};

#define SCRIPT (&t.cache.script)

static void fetch(struct filling *t)
{
    t->cache.script.op = coat_cache_fetch_op(t->fill, cache_found, &t->cache);
    cache_start(&t->cache);
}

static void begin_key(struct filling *t, const char *key)
{
    memset(t, 0, sizeof *t);
    script_init(&t->cache.script);
    t->cache.found_answers = 1;
    assert_int_equal(
        coat_cache_fill_new(&t->fill, &t->cache.script.store, key, strlen(key), 30000, NULL), 0);
    fetch(t);
}

static void begin(struct filling *t)
{
    begin_key(t, "a");
}

/* The reply to a claim. */
static void claimed(struct filling *t, int ours, struct coat_reply entry, int ttl)
{
    struct coat_reply items[] = {INTEGER(ours), entry, INTEGER(ttl)};
    script_answer(&t->cache.script,
                  (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items, .count = 3});
}

static void end(struct filling *t)
{
    coat_cache_fill_free(t->fill);
}

/* A lock that is ours, and nothing there. */
static void begin_with_lock(struct filling *t)
{
    begin(t);
    script_replies(&t->cache.script, 2, NIL, INTEGER(-2));
    claimed(t, 1, NIL, -2);
    script_done(&t->cache.script, COAT_FETCH_MAKE);
}

/* ---- Fetch ---------------------------------------------------------------------------------- */

static void a_fresh_value_is_one_round_trip(void **state)
{
    (void)state;
    static const int TTLS[] = {60000, 1, -1};
    for (size_t i = 0; i < 3; i++) {
        struct filling t;
        begin(&t);
        script_sent(SCRIPT, 0, "GET", KEY, NULL);
        script_sent(SCRIPT, 1, "PTTL", KEY, NULL);
        script_replies(SCRIPT, 2, ENTRY_REPLY(ENTRY), INTEGER(TTLS[i]));
        script_done(SCRIPT, COAT_FETCH_VALUE);
        assert_int_equal(t.cache.told, 1);
        assert_int_equal(coat_cache_fill_is_stale(t.fill), 0);
        end(&t);
    }
}

static void what_is_missing_is_claimed(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    script_sent(SCRIPT, 0, "EVALSHA", coat_script_claim.sha1, "2", LOCK, KEY, ANY, "30000", NULL);
    assert_int_equal(script_arg(SCRIPT, 0, 5).len, 16);
    claimed(&t, 1, NIL, -2);
    script_done(SCRIPT, COAT_FETCH_MAKE);
    assert_int_equal(t.cache.told, 0);
    end(&t);
}

static void who_comes_second_waits(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    claimed(&t, 0, NIL, -2);
    script_done(SCRIPT, COAT_FETCH_BUSY);
    fetch(&t); /* and asks again */
    script_replies(SCRIPT, 2, ENTRY_REPLY(ENTRY), INTEGER(60000));
    script_done(SCRIPT, COAT_FETCH_VALUE);
    end(&t);
}

static void what_was_made_in_between_is_taken_and_the_lock_given_back(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    claimed(&t, 1, ENTRY_REPLY(ENTRY), 60000);
    script_sent(SCRIPT, 0, "EVALSHA", coat_script_fill.sha1, "2", LOCK, KEY, ANY, "", "1", NULL);
    script_answer(SCRIPT, INTEGER(1));
    script_done(SCRIPT, COAT_FETCH_VALUE);
    assert_int_equal(t.cache.told, 1);
    end(&t);
}

static void a_lock_that_cannot_be_given_back_is_no_failure(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    claimed(&t, 1, ENTRY_REPLY(ENTRY), 60000);
    script_lost(SCRIPT, FINAL);
    script_done(SCRIPT, COAT_FETCH_VALUE);
    end(&t);
}

static void a_stale_value_is_made_anew_by_one(void **state)
{
    (void)state;
    for (int ours = 0; ours <= 1; ours++) {
        struct filling t;
        begin(&t);
        script_replies(SCRIPT, 2, ENTRY_REPLY(STALE_100), INTEGER(100));
        claimed(&t, ours, ENTRY_REPLY(STALE_100), 99);
        script_done(SCRIPT, ours ? COAT_FETCH_MAKE_AGAIN : COAT_FETCH_VALUE);
        assert_int_equal(coat_cache_fill_is_stale(t.fill), 1);
        assert_int_equal(t.cache.told, 1);
        end(&t);
    }
}

static void a_value_is_not_stale_before_its_ttl_is_over(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, ENTRY_REPLY(STALE_100), INTEGER(101));
    script_done(SCRIPT, COAT_FETCH_VALUE);
    assert_int_equal(coat_cache_fill_is_stale(t.fill), 0);
    end(&t);
}

static void a_costly_value_is_made_anew_early_by_one(void **state)
{
    (void)state;
    for (int ours = 0; ours <= 1; ours++) {
        struct filling t;
        begin(&t);
        script_replies(SCRIPT, 2, ENTRY_REPLY(COSTLY), INTEGER(1));
        claimed(&t, ours, ENTRY_REPLY(COSTLY), 1);
        script_done(SCRIPT, ours ? COAT_FETCH_MAKE_AGAIN : COAT_FETCH_VALUE);
        assert_int_equal(coat_cache_fill_is_stale(t.fill), 0);
        end(&t);
    }
}

/* 64 ln 2 is the most that chance can say. */
static void nothing_is_made_anew_much_too_early(void **state)
{
    (void)state;
    static const char entry[] = "\xc1\x01\0\0\0\x0a\0\0\0\0" VALUE; /* 10 ms */
    for (int i = 0; i < 1000; i++) {
        struct filling t;
        begin(&t);
        script_replies(SCRIPT, 2, ENTRY_REPLY(entry), INTEGER(450));
        script_done(SCRIPT, COAT_FETCH_VALUE);
        end(&t);
    }
}

static void what_cannot_be_used_counts_as_missing(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    t.cache.found_answers = 0;
    script_replies(SCRIPT, 2, BULK("pickle", 6), INTEGER(60000));
    claimed(&t, 1, BULK("pickle", 6), 60000);
    script_done(SCRIPT, COAT_FETCH_MAKE);
    end(&t);
}

static void what_the_reader_fails_with_is_the_result(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    t.cache.found_answers = COAT_ECORRUPT;
    script_replies(SCRIPT, 2, BULK("pickle", 6), INTEGER(60000));
    script_done(SCRIPT, COAT_ECORRUPT);
    end(&t);
}

static void each_step_of_a_fetch_is_repeated_with_the_same_token(void **state)
{
    (void)state;
    struct filling t;
    unsigned char token[16];
    begin(&t);
    script_lost(SCRIPT, MAYBE_SENT);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    memcpy(token, script_arg(SCRIPT, 0, 5).bytes, 16);
    script_lost(SCRIPT, MAYBE_SENT);
    assert_memory_equal(script_arg(SCRIPT, 0, 5).bytes, token, 16);
    script_lost(SCRIPT, MAYBE_SENT);
    script_lost(SCRIPT, MAYBE_SENT);
    script_done(SCRIPT, COAT_EUNAVAILABLE);
    end(&t);
}

static void replies_of_another_kind_are_anothers(void **state)
{
    (void)state;
    struct filling t;
    begin(&t);
    script_replies(SCRIPT, 2, NIL, NIL);
    script_done(SCRIPT, COAT_EFOREIGN);
    fetch(&t);
    script_replies(SCRIPT, 2, INTEGER(1), INTEGER(1));
    script_done(SCRIPT, COAT_EFOREIGN);
    fetch(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    script_answer(SCRIPT, INTEGER(1));
    script_done(SCRIPT, COAT_EFOREIGN);
    fetch(&t);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    claimed(&t, 1, OK, 1);
    script_done(SCRIPT, COAT_EFOREIGN);
    end(&t);
}

/* ---- Fill and release ----------------------------------------------------------------------- */

static void fill_with(struct filling *t, int64_t ttl_ms, int64_t stale_ms, int64_t cost_ms)
{
    assert_int_equal(coat_cache_fill_value(t->fill, VALUE, 4, ttl_ms, stale_ms, cost_ms, NULL), 0);
    t->cache.script.op = coat_cache_fill_op(t->fill);
    cache_start(&t->cache);
}

static void assert_entry_is(struct filling *t, const char *entry, size_t len)
{
    struct coat_arg arg = script_arg(&t->cache.script, 0, 6);
    assert_int_equal(arg.len, len);
    assert_memory_equal(arg.bytes, entry, len);
}

static void a_fill_lives_for_its_ttl_and_then_stale(void **state)
{
    (void)state;
    struct filling t;
    begin_with_lock(&t);
    fill_with(&t, 500, 100, 0);
    script_sent(SCRIPT, 0, "EVALSHA", coat_script_fill.sha1, "2", LOCK, KEY, ANY, ANY, "600", NULL);
    assert_entry_is(&t, STALE_100, sizeof STALE_100 - 1);
    script_answer(SCRIPT, INTEGER(1));
    script_done(SCRIPT, 1);
    end(&t);
}

static void numbers_of_a_fill_are_cut_to_what_fits(void **state)
{
    (void)state;
    struct filling t;
    begin_with_lock(&t);
    fill_with(&t, 500, -1, INT64_MAX);
    assert_entry_is(&t, COSTLY, sizeof COSTLY - 1);
    end(&t);
}

static void a_fill_without_end_is_never_stale(void **state)
{
    (void)state;
    struct filling t;
    begin_with_lock(&t);
    fill_with(&t, 0, 100, 100);
    script_sent(SCRIPT, 0, "EVALSHA", coat_script_fill.sha1, "2", LOCK, KEY, ANY, ANY, "0", NULL);
    assert_entry_is(&t, ENTRY, 6);
    end(&t);
}

static void a_late_fill_says_so(void **state)
{
    (void)state;
    for (int reply = -1; reply <= 0; reply++) {
        struct filling t;
        begin_with_lock(&t);
        fill_with(&t, 500, 0, 0);
        script_answer(SCRIPT, INTEGER(reply));
        script_done(SCRIPT, 0);
        end(&t);
    }
}

static void a_fill_whose_reply_was_lost_counts_as_done(void **state)
{
    (void)state;
    struct filling t;
    begin_with_lock(&t);
    fill_with(&t, 500, 0, 0);
    script_lost(SCRIPT, MAYBE_SENT);
    script_answer(SCRIPT, INTEGER(0));
    script_done(SCRIPT, 1);
    end(&t);
}

static void a_release_stores_nothing(void **state)
{
    (void)state;
    for (int reply = -1; reply <= 1; reply++) {
        struct filling t;
        begin_with_lock(&t);
        t.cache.script.op = coat_cache_release_op(t.fill);
        cache_start(&t.cache);
        script_sent(SCRIPT, 0, "EVALSHA", coat_script_fill.sha1, "2", LOCK, KEY, ANY, "", "1",
                    NULL);
        script_answer(SCRIPT, INTEGER(reply));
        script_done(SCRIPT, reply != 0);
        end(&t);
    }
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static void assert_lock(const char *key, const char *lock)
{
    struct filling t;
    begin_key(&t, key);
    script_replies(SCRIPT, 2, NIL, INTEGER(-2));
    script_sent(SCRIPT, 0, "EVALSHA", ANY, "2", lock, ANY, ANY, ANY, NULL);
    end(&t);
}

static void a_lock_has_the_slot_of_its_entry(void **state)
{
    (void)state;
    assert_lock("a", LOCK);
    assert_lock("a{b", "shop:c:l:{shop:c:k:a{b}");
    assert_lock("a{b}c", "shop:c:l:a{b}c");
    assert_lock("a}b", "shop:c:l:a}b"); /* no other key can have its slot by a hash tag */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_value_is_one_round_trip),
        cmocka_unit_test(what_is_missing_is_claimed),
        cmocka_unit_test(who_comes_second_waits),
        cmocka_unit_test(what_was_made_in_between_is_taken_and_the_lock_given_back),
        cmocka_unit_test(a_lock_that_cannot_be_given_back_is_no_failure),
        cmocka_unit_test(a_stale_value_is_made_anew_by_one),
        cmocka_unit_test(a_value_is_not_stale_before_its_ttl_is_over),
        cmocka_unit_test(a_costly_value_is_made_anew_early_by_one),
        cmocka_unit_test(nothing_is_made_anew_much_too_early),
        cmocka_unit_test(what_cannot_be_used_counts_as_missing),
        cmocka_unit_test(what_the_reader_fails_with_is_the_result),
        cmocka_unit_test(each_step_of_a_fetch_is_repeated_with_the_same_token),
        cmocka_unit_test(replies_of_another_kind_are_anothers),
        cmocka_unit_test(a_fill_lives_for_its_ttl_and_then_stale),
        cmocka_unit_test(numbers_of_a_fill_are_cut_to_what_fits),
        cmocka_unit_test(a_fill_without_end_is_never_stale),
        cmocka_unit_test(a_late_fill_says_so),
        cmocka_unit_test(a_fill_whose_reply_was_lost_counts_as_done),
        cmocka_unit_test(a_release_stores_nothing),
        cmocka_unit_test(a_lock_has_the_slot_of_its_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
