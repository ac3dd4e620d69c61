/* The operations of a cache: what they send, and what they say of each reply and each loss. */
#include "cache_script.h"

#define KEY "shop:c:k:a"

/* ---- What is sent --------------------------------------------------------------------------- */

static void start_two(struct cache_script *t, enum coat_deployment kind)
{
    cache_begin(t, COAT_CACHE_GET, 2);
    t->script.options.connect.kind = kind;
    cache_key(t, "a");
    cache_key(t, "b");
    t->found_answers = 1;
    coat_cache_op_found(t->x, cache_found, t);
    cache_start(t);
}

static void many_of_a_cluster_are_read_in_one_pipeline(void **state)
{
    (void)state;
    struct cache_script t;
    start_two(&t, COAT_CLUSTER);
    assert_int_equal(script_commands(&t.script), 2);
    script_sent(&t.script, 0, "GET", KEY, NULL);
    script_sent(&t.script, 1, "GET", "shop:c:k:b", NULL);
    assert_memory_equal(t.script.step.commands[1].key.bytes, "shop:c:k:b", 10);
    script_replies(&t.script, 2, BULK(ENTRY, 6), NIL);
    script_done(&t.script, 1);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.found_count, 2);
    cache_free(&t);
}

static void many_of_one_server_are_read_by_one_command(void **state)
{
    (void)state;
    struct cache_script t;
    struct coat_reply items[] = {BULK(ENTRY, 6), NIL};
    start_two(&t, COAT_SINGLE);
    assert_int_equal(script_commands(&t.script), 1);
    script_sent(&t.script, 0, "MGET", KEY, "shop:c:k:b", NULL);
    script_answer(&t.script,
                  (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items, .count = 2});
    script_done(&t.script, 1);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.found_count, 2);
    cache_free(&t);
}

static void values_of_too_few_keys_are_anothers(void **state)
{
    (void)state;
    struct cache_script t;
    struct coat_reply item = NIL;
    start_two(&t, COAT_SINGLE);
    script_answer(&t.script,
                  (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = &item, .count = 1});
    script_done(&t.script, COAT_EFOREIGN);
    assert_int_equal(t.told, 0);
    cache_free(&t);
}

static void no_keys_are_done_without_a_round_trip(void **state)
{
    (void)state;
    struct cache_script t;
    cache_begin(&t, COAT_CACHE_GET, 0);
    cache_start(&t);
    script_done(&t.script, 0);
    cache_free(&t);
}

static void a_failure_of_the_reader_is_the_result(void **state)
{
    (void)state;
    struct cache_script t;
    cache_one(&t, COAT_CACHE_GET);
    t.found_answers = COAT_ECORRUPT;
    coat_cache_op_found(t.x, cache_found, &t);
    cache_start(&t);
    script_answer(&t.script, BULK("?", 1));
    script_done(&t.script, COAT_ECORRUPT);
    cache_free(&t);
}

static void a_write_has_its_ttl(void **state)
{
    (void)state;
    struct cache_script t;
    cache_one(&t, COAT_CACHE_SET);
    cache_value(&t, VALUE, 4, 1500);
    cache_start(&t);
    script_sent(&t.script, 0, "SET", KEY, ANY, "PX", "1500", NULL);
    assert_int_equal(script_arg(&t.script, 0, 2).len, 6);
    assert_memory_equal(script_arg(&t.script, 0, 2).bytes, ENTRY, 6);
    script_answer(&t.script, OK);
    script_done(&t.script, 1);
    cache_free(&t);
}

static void a_write_without_ttl_says_none(void **state)
{
    (void)state;
    struct cache_script t;
    cache_one(&t, COAT_CACHE_SET);
    cache_value(&t, VALUE, 4, 0);
    cache_start(&t);
    script_sent(&t.script, 0, "SET", KEY, ANY, NULL);
    cache_free(&t);
}

static void ints_are_written_as_digits(void **state)
{
    (void)state;
    struct cache_script t;
    cache_begin(&t, COAT_CACHE_SET, 2);
    cache_key(&t, "a");
    cache_value(&t, "\x2a", 1, 0);
    cache_key(&t, "b");
    cache_value(&t, "\xd3\x80\0\0\0\0\0\0\0", 9, 0);
    cache_start(&t);
    script_sent(&t.script, 0, "SET", KEY, "42", NULL);
    script_sent(&t.script, 1, "SET", "shop:c:k:b", "-9223372036854775808", NULL);
    cache_free(&t);
}

static void conditions_are_those_of_redis(void **state)
{
    (void)state;
    static const struct {
        enum coat_cache_do what;
        const char *word;
    } CASES[] = {{COAT_CACHE_ADD, "NX"}, {COAT_CACHE_REPLACE, "XX"}};
    for (size_t i = 0; i < 2; i++) {
        struct cache_script t;
        cache_one(&t, CASES[i].what);
        cache_value(&t, VALUE, 4, 10);
        cache_start(&t);
        script_sent(&t.script, 0, "SET", KEY, ANY, "PX", "10", CASES[i].word, NULL);
        script_answer(&t.script, NIL);
        script_done(&t.script, 0);
        cache_free(&t);
    }
}

static void what_is_touched_may_have_no_ttl_from_then_on(void **state)
{
    (void)state;
    struct cache_script t;
    cache_one(&t, COAT_CACHE_TOUCH);
    cache_value(&t, NULL, 0, 0);
    cache_start(&t);
    script_sent(&t.script, 0, "PERSIST", KEY, NULL);
    script_sent(&t.script, 1, "EXISTS", KEY, NULL);
    script_replies(&t.script, 2, INTEGER(0), INTEGER(1)); /* it had none before, either */
    script_done(&t.script, 1);
    cache_free(&t);
}

static void a_pop_takes_the_lock_along(void **state)
{
    (void)state;
    const struct {
        struct coat_reply first;
        int rc;
    } CASES[] = {{INTEGER(1), 1}, {NIL, COAT_EFOREIGN}};
    for (size_t i = 0; i < 2; i++) {
        struct cache_script t;
        cache_one(&t, COAT_CACHE_POP);
        t.found_answers = 1;
        coat_cache_op_found(t.x, cache_found, &t);
        cache_start(&t);
        script_sent(&t.script, 0, "UNLINK", "shop:c:l:{shop:c:k:a}", NULL);
        script_sent(&t.script, 1, "GETDEL", KEY, NULL);
        script_replies(&t.script, 2, CASES[i].first, BULK(ENTRY, 6));
        script_done(&t.script, CASES[i].rc);
        assert_int_equal(t.told, i == 0);
        cache_free(&t);
    }
}

static void a_delete_takes_the_locks_along_and_counts_entries(void **state)
{
    (void)state;
    struct cache_script t;
    cache_begin(&t, COAT_CACHE_DELETE, 2);
    cache_key(&t, "a");
    cache_key(&t, "b");
    cache_start(&t);
    const struct coat_reply replies[] = {INTEGER(1), INTEGER(1), INTEGER(1), INTEGER(0)};
    script_sent(&t.script, 0, "UNLINK", "shop:c:l:{shop:c:k:a}", NULL);
    script_sent(&t.script, 1, "UNLINK", KEY, NULL);
    script_answer_all(&t.script, replies);
    script_done(&t.script, 1); /* locks do not count */
    cache_free(&t);
}

static void start_incr(struct cache_script *t, int64_t by, const int64_t *initial, int64_t ttl_ms)
{
    cache_one(t, COAT_CACHE_INCR);
    assert_int_equal(coat_cache_op_incr(t->x, by, initial, ttl_ms, NULL), 0);
    cache_start(t);
}

static void an_addition_names_what_a_new_entry_is(void **state)
{
    (void)state;
    struct cache_script t;
    int64_t ten = 10;
    start_incr(&t, -3, &ten, 500);
    script_sent(&t.script, 0, "EVALSHA", coat_script_incr.sha1, "1", KEY, "-3", "7", "500", NULL);
    script_answer(&t.script, BULK("7", 1));
    script_done(&t.script, 1);
    assert_int_equal(coat_cache_op_number(t.x), 7);
    cache_free(&t);
}

static void an_addition_may_make_nothing(void **state)
{
    (void)state;
    struct cache_script t;
    start_incr(&t, 1, NULL, 0);
    script_sent(&t.script, 0, "EVALSHA", coat_script_incr.sha1, "1", KEY, "1", "", "0", NULL);
    script_answer(&t.script, NIL);
    script_done(&t.script, 0);
    cache_free(&t);
}

static void a_first_sum_beyond_64_bits_is_refused_where_it_would_be_made(void **state)
{
    (void)state;
    struct cache_script t;
    int64_t most = INT64_MAX;
    start_incr(&t, 1, &most, 0);
    script_sent(&t.script, 0, "EVALSHA", coat_script_incr.sha1, "1", KEY, "1", "", "0", NULL);
    script_answer(&t.script, NIL);
    script_done(&t.script, COAT_EUSAGE);
    cache_free(&t);
}

static void a_first_sum_beyond_64_bits_does_not_matter_where_there_is_an_entry(void **state)
{
    (void)state;
    struct cache_script t;
    int64_t most = INT64_MAX;
    start_incr(&t, 1, &most, 0);
    script_answer(&t.script, BULK("8", 1));
    script_done(&t.script, 1);
    cache_free(&t);
}

static void what_is_no_int_cannot_be_added_to(void **state)
{
    (void)state;
    struct cache_script t;
    start_incr(&t, 1, NULL, 0);
    script_answer(&t.script, REFUSED("ERR value is not an integer or out of range"));
    script_done(&t.script, COAT_EUSAGE);
    cache_free(&t);
}

static void the_ttl_is_told(void **state)
{
    (void)state;
    static const struct {
        int reply, rc;
    } CASES[] = {{-2, 0}, {-1, 1}, {300, 1}};
    for (size_t i = 0; i < 3; i++) {
        struct cache_script t;
        cache_one(&t, COAT_CACHE_TTL);
        cache_start(&t);
        script_sent(&t.script, 0, "PTTL", KEY, NULL);
        script_answer(&t.script, INTEGER(CASES[i].reply));
        script_done(&t.script, CASES[i].rc);
        if (CASES[i].rc)
            assert_int_equal(coat_cache_op_number(t.x), CASES[i].reply);
        cache_free(&t);
    }
}

/* ---- Compare and set ------------------------------------------------------------------------ */

#define VERSION "da39a3ee5e6b4b0d3255bfef95601890afd80709" /* of no bytes */

static void start_swap(struct cache_script *t, int64_t ttl_ms)
{
    cache_one(t, COAT_CACHE_SWAP);
    assert_int_equal(coat_cache_op_version(t->x, VERSION, 40, NULL), 0);
    cache_value(t, VALUE, 4, ttl_ms);
    cache_start(t);
}

static void a_version_is_the_sha1_of_an_entry(void **state)
{
    (void)state;
    char version[COAT_CACHE_VERSION_LEN + 1];
    assert_int_equal(coat_cache_version(&BULK("", 0), version, NULL), 0);
    assert_string_equal(version, VERSION);
}

static void a_version_is_replaced_by_a_script(void **state)
{
    (void)state;
    static const char *const TTLS[] = {"0", "10"};
    for (int i = 0; i < 2; i++) {
        struct cache_script t;
        start_swap(&t, 10 * i);
        script_sent(&t.script, 0, "EVALSHA", coat_script_swap.sha1, "1", KEY, VERSION, ANY, TTLS[i],
                    NULL);
        script_answer(&t.script, INTEGER(1));
        script_done(&t.script, 1);
        cache_free(&t);
    }
}

static void another_version_stays(void **state)
{
    (void)state;
    for (int reply = -2; reply <= 0; reply++) { /* also where it happens to be the same as ours */
        struct cache_script t;
        start_swap(&t, 10);
        script_answer(&t.script, INTEGER(reply));
        script_done(&t.script, 0);
        cache_free(&t);
    }
}

static void after_a_lost_reply_ours_is_ours(void **state)
{
    (void)state;
    static const int RESULTS[] = {1, COAT_EUNCERTAIN, COAT_EUNCERTAIN, 1};
    for (int reply = -2; reply <= 1; reply++) {
        struct cache_script t;
        start_swap(&t, 10);
        script_lost(&t.script, MAYBE_SENT);
        script_answer(&t.script, INTEGER(reply));
        script_done(&t.script, RESULTS[reply + 2]);
        cache_free(&t);
    }
}

static void a_swap_that_nobody_answers_is_uncertain(void **state)
{
    (void)state;
    struct cache_script t;
    start_swap(&t, 10);
    for (int i = 0; i < 3; i++)
        script_lost(&t.script, MAYBE_SENT);
    script_done(&t.script, COAT_EUNCERTAIN);
    cache_free(&t);
}

static void a_swap_knows_a_reply_of_another(void **state)
{
    (void)state;
    struct coat_reply bad[] = {OK, INTEGER(2), INTEGER(-3), NIL};
    for (int i = 0; i < 4; i++) {
        struct cache_script t;
        start_swap(&t, 10);
        script_answer(&t.script, bad[i]);
        script_done(&t.script, COAT_EFOREIGN);
        cache_free(&t);
    }
}

static void what_is_no_version_is_refused(void **state)
{
    (void)state;
    struct cache_script t;
    cache_one(&t, COAT_CACHE_SWAP);
    assert_int_equal(coat_cache_op_version(t.x, "1", 1, NULL), COAT_EUSAGE);
    cache_free(&t);
}

/* ---- Losses --------------------------------------------------------------------------------- */

/* An operation that was started, with a reply that it can have. */
static struct coat_reply start_any(struct cache_script *t, enum coat_cache_do what)
{
    cache_one(t, what);
    switch (what) {
    case COAT_CACHE_SET:
    case COAT_CACHE_ADD:
    case COAT_CACHE_REPLACE:
        cache_value(t, VALUE, 4, 10);
        break;
    case COAT_CACHE_TOUCH:
        cache_value(t, NULL, 0, 10);
        break;
    case COAT_CACHE_INCR:
        assert_int_equal(coat_cache_op_incr(t->x, 1, NULL, 0, NULL), 0);
        break;
    case COAT_CACHE_GET:
    case COAT_CACHE_POP:
        t->found_answers = 1;
        coat_cache_op_found(t->x, cache_found, t);
        break;
    default:
        break;
    }
    cache_start(t);
    switch (what) {
    case COAT_CACHE_SET:
    case COAT_CACHE_ADD:
    case COAT_CACHE_REPLACE:
        return OK;
    case COAT_CACHE_GET:
    case COAT_CACHE_POP:
        return BULK(ENTRY, 6);
    case COAT_CACHE_INCR:
        return BULK("1", 1);
    default:
        return INTEGER(1);
    }
}

static int is_once(enum coat_cache_do what)
{
    return what == COAT_CACHE_ADD || what == COAT_CACHE_POP || what == COAT_CACHE_INCR;
}

#define EACH_KIND(what)                                                                            \
    for (enum coat_cache_do what = COAT_CACHE_GET; what <= COAT_CACHE_INCR; what++)

static void what_may_be_repeated_is(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        struct coat_reply reply = start_any(&t, what);
        if (!is_once(what)) {
            script_lost(&t.script, MAYBE_SENT);
            script_lost(&t.script, MAYBE_SENT);
            cache_answer(&t, reply);
            script_done(&t.script, 1);
        }
        cache_free(&t);
    }
}

static void after_three_losses_it_fails(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        start_any(&t, what);
        for (int i = 0; !is_once(what) && i < 3; i++)
            script_lost(&t.script, MAYBE_SENT);
        if (!is_once(what))
            script_done(&t.script, COAT_EUNAVAILABLE);
        cache_free(&t);
    }
}

static void what_is_done_once_is_uncertain_after_a_loss(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        start_any(&t, what);
        if (is_once(what)) {
            script_lost(&t.script, MAYBE_SENT);
            script_done(&t.script, COAT_EUNCERTAIN);
        }
        cache_free(&t);
    }
}

static void what_was_surely_not_sent_is_no_uncertainty(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        start_any(&t, what);
        script_lost(&t.script, FINAL);
        script_done(&t.script, COAT_EUNAVAILABLE);
        cache_free(&t);
    }
}

static void a_delete_whose_reply_was_lost_counts_as_done(void **state)
{
    (void)state;
    struct cache_script t;
    start_any(&t, COAT_CACHE_DELETE);
    script_lost(&t.script, MAYBE_SENT);
    cache_answer(&t, INTEGER(0));
    script_done(&t.script, 1);
    cache_free(&t);
}

static void a_delete_that_was_not_sent_counts_what_its_repeat_says(void **state)
{
    (void)state;
    struct cache_script t;
    start_any(&t, COAT_CACHE_DELETE);
    script_lost(&t.script, UNSENT);
    cache_answer(&t, INTEGER(0));
    script_done(&t.script, 0);
    cache_free(&t);
}

/* ---- Refusals, and replies to another ------------------------------------------------------- */

static void a_refusal_is_the_servers(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        start_any(&t, what);
        cache_answer(&t, REFUSED("OOM command not allowed"));
        script_done(&t.script, COAT_EUNAVAILABLE);
        assert_string_equal(t.script.err.reason, "OOM");
        cache_free(&t);
    }
}

static void a_script_that_is_not_known_is_sent_whole(void **state)
{
    (void)state;
    struct cache_script t;
    start_incr(&t, 1, NULL, 0);
    script_answer(&t.script, REFUSED("NOSCRIPT No matching script"));
    script_sent(&t.script, 0, "EVAL", coat_script_incr.text, "1", KEY, "1", "", "0", NULL);
    script_answer(&t.script, BULK("5", 1));
    script_done(&t.script, 1);
    cache_free(&t);
}

static void a_reply_of_another_kind_is_anothers(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        start_any(&t, what);
        coat_cache_op_found(t.x, NULL, NULL); /* its reader would say so: coat_cache_value */
        script_answer(&t.script, (struct coat_reply){.kind = COAT_REPLY_ARRAY});
        if (what != COAT_CACHE_GET && what != COAT_CACHE_POP)
            script_done(&t.script, COAT_EFOREIGN);
        cache_free(&t);
    }
}

static void too_many_replies_are_anothers(void **state)
{
    (void)state;
    EACH_KIND(what)
    {
        struct cache_script t;
        struct coat_reply reply = start_any(&t, what);
        struct coat_reply replies[] = {reply, reply, reply};
        script_event(&t.script, (struct coat_event){.kind = COAT_EVENT_REPLIES,
                                                    .replies = replies,
                                                    .count = script_commands(&t.script) + 1});
        script_done(&t.script, COAT_EFOREIGN);
        cache_free(&t);
    }
}

static void a_sum_that_is_no_number_is_anothers(void **state)
{
    (void)state;
    struct cache_script t;
    start_incr(&t, 1, NULL, 0);
    script_answer(&t.script, BULK("1.5", 3));
    script_done(&t.script, COAT_EFOREIGN);
    cache_free(&t);
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static int try_key(const char *key, size_t len)
{
    struct cache_script t;
    cache_begin(&t, COAT_CACHE_GET, 1);
    int rc = coat_cache_op_key(t.x, key, len, NULL);
    cache_free(&t);
    return rc;
}

static void keys_have_a_length(void **state)
{
    (void)state;
    char key[513];
    memset(key, 'k', sizeof key);
    assert_int_equal(try_key(key, 0), COAT_EUSAGE);
    assert_int_equal(try_key(key, 1), 0);
    assert_int_equal(try_key(key, 512), 0);
    assert_int_equal(try_key(key, 513), COAT_EUSAGE);
}

static void keys_are_text_without_control_characters(void **state)
{
    (void)state;
    assert_int_equal(try_key("\xc3\xa4 {1}*", 7), 0);
    assert_int_equal(try_key("a\nb", 3), COAT_EUSAGE);
    assert_int_equal(try_key("a\0b", 3), COAT_EUSAGE);
    assert_int_equal(try_key("a\x7f", 2), COAT_EUSAGE);
    assert_int_equal(try_key("\xff", 1), COAT_EUSAGE);
    assert_int_equal(try_key("\xed\xa0\x80", 3), COAT_EUSAGE); /* a surrogate */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_of_a_cluster_are_read_in_one_pipeline),
        cmocka_unit_test(many_of_one_server_are_read_by_one_command),
        cmocka_unit_test(values_of_too_few_keys_are_anothers),
        cmocka_unit_test(no_keys_are_done_without_a_round_trip),
        cmocka_unit_test(a_failure_of_the_reader_is_the_result),
        cmocka_unit_test(a_write_has_its_ttl),
        cmocka_unit_test(a_write_without_ttl_says_none),
        cmocka_unit_test(ints_are_written_as_digits),
        cmocka_unit_test(conditions_are_those_of_redis),
        cmocka_unit_test(what_is_touched_may_have_no_ttl_from_then_on),
        cmocka_unit_test(a_pop_takes_the_lock_along),
        cmocka_unit_test(a_delete_takes_the_locks_along_and_counts_entries),
        cmocka_unit_test(an_addition_names_what_a_new_entry_is),
        cmocka_unit_test(an_addition_may_make_nothing),
        cmocka_unit_test(a_first_sum_beyond_64_bits_is_refused_where_it_would_be_made),
        cmocka_unit_test(a_first_sum_beyond_64_bits_does_not_matter_where_there_is_an_entry),
        cmocka_unit_test(what_is_no_int_cannot_be_added_to),
        cmocka_unit_test(the_ttl_is_told),
        cmocka_unit_test(a_version_is_the_sha1_of_an_entry),
        cmocka_unit_test(a_version_is_replaced_by_a_script),
        cmocka_unit_test(another_version_stays),
        cmocka_unit_test(after_a_lost_reply_ours_is_ours),
        cmocka_unit_test(a_swap_that_nobody_answers_is_uncertain),
        cmocka_unit_test(a_swap_knows_a_reply_of_another),
        cmocka_unit_test(what_is_no_version_is_refused),
        cmocka_unit_test(what_may_be_repeated_is),
        cmocka_unit_test(after_three_losses_it_fails),
        cmocka_unit_test(what_is_done_once_is_uncertain_after_a_loss),
        cmocka_unit_test(what_was_surely_not_sent_is_no_uncertainty),
        cmocka_unit_test(a_delete_whose_reply_was_lost_counts_as_done),
        cmocka_unit_test(a_delete_that_was_not_sent_counts_what_its_repeat_says),
        cmocka_unit_test(a_refusal_is_the_servers),
        cmocka_unit_test(a_script_that_is_not_known_is_sent_whole),
        cmocka_unit_test(a_reply_of_another_kind_is_anothers),
        cmocka_unit_test(too_many_replies_are_anothers),
        cmocka_unit_test(a_sum_that_is_no_number_is_anothers),
        cmocka_unit_test(keys_have_a_length),
        cmocka_unit_test(keys_are_text_without_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
