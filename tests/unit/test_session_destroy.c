#include "script_driver.h"

/* The arguments of LOGOUT. */
enum { LOGOUT_HASH = 5, LOGOUT_NOW };

static void a_logout_is_one_script(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char record[COAT_KEY_MAX + 1] = {0}, lock[COAT_KEY_MAX + 1] = {0};
    script_create(&t, &rec);
    memcpy(record, t.s->keys.record, t.s->keys.len);
    memcpy(lock, t.s->keys.lock, t.s->keys.len);
    script_start(&t, COAT_OP_DESTROY);
    assert_int_equal(script_commands(&t), 1);
    script_sent(&t, 0, "EVALSHA", coat_script_logout.sha1, "2", record, lock, ANY, "1700000000000",
                NULL);
    assert_int_equal(script_arg(&t, 0, LOGOUT_HASH).len, COAT_HASH_LEN);
    assert_memory_equal(script_arg(&t, 0, LOGOUT_HASH).bytes, stored_head(&rec)->current,
                        COAT_HASH_LEN);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

/* A session of a principal, about to be logged out. */
static void of_a_principal(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
    script_start(t, COAT_OP_SAVE);
    script_entered(t);
    *rec = stored_copy(script_arg(t, 0, 6));
    script_answer(t, INTEGER(1));
    script_done(t, 0);
}

static void where_one_server_holds_both_the_script_takes_it_out_of_the_index(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    struct coat_index_key key;
    char index[COAT_KEY_MAX + 1], h[COAT_H_LEN + 1];
    of_a_principal(&t, &rec);
    assert_int_equal(coat_index_key_make(&key, PREFIX, "user:42", NULL), 0);
    snprintf(index, sizeof index, "%.*s", (int)key.len, key.bytes);
    snprintf(h, sizeof h, "%.*s", COAT_H_LEN, coat_keys_member(&t.s->keys));
    script_start(&t, COAT_OP_DESTROY);
    script_sent(&t, 0, "EVALSHA", coat_script_logout.sha1, "3", ANY, ANY, index, ANY, ANY, h, NULL);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

static void in_a_cluster_that_is_a_command_of_its_own(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    of_a_principal(&t, &rec);
    t.options.connect.kind = COAT_CLUSTER;
    script_start(&t, COAT_OP_DESTROY);
    script_sent(&t, 0, "EVALSHA", coat_script_logout.sha1, "2", ANY, ANY, ANY, ANY, NULL);
    script_answer(&t, STORED(&rec));
    script_sent(&t, 0, "ZREM", ANY, ANY, NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, 1);
    script_release(&t);
}

static void what_looks_like_one_server_may_be_a_proxy_before_a_cluster(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    of_a_principal(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, REFUSED("CROSSSLOT Keys in request don't hash to the same slot"));
    script_sent(&t, 0, "EVALSHA", coat_script_logout.sha1, "2", ANY, ANY, ANY, ANY, NULL);
    script_answer(&t, STORED(&rec));
    script_sent(&t, 0, "ZREM", ANY, ANY, NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, 1);
    script_release(&t);
}

/* Ended by another request, which may have been killed before it came to the index. */
static void a_session_that_was_gone_is_taken_out_of_the_index_all_the_same(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    of_a_principal(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    script_sent(&t, 0, "ZREM", ANY, ANY, NULL);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    script_release(&t);
}

static void after_it_the_session_is_new_and_empty(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char old[COAT_SID_LEN + 1];
    script_create(&t, &rec);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    set_field(t.s, "b", "2");
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    assert_null(coat_session_id(t.s));
    assert_null(coat_session_public_id(t.s));
    assert_null(coat_session_principal(t.s));
    assert_int_equal(coat_doc_count(coat_session_doc(t.s)), 0);
    assert_int_equal(coat_session_is_new(t.s), 1);
    assert_int_equal(coat_session_modified(t.s), 0);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);

    /* another user of the same browser */
    assert_int_equal(coat_session_login(t.s, "user:7", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "SET", ANY, ANY, "NX", "PX", "1800000", NULL);
    script_answer(&t, OK);
    script_entered(&t);
    script_done(&t, 0);
    assert_memory_not_equal(coat_session_id(t.s), old, 21);
    script_release(&t);
}

static void a_session_that_was_gone_already_is_0(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    assert_int_equal(coat_session_is_new(t.s), 1);
    script_release(&t);
}

static void a_replaced_id_destroys_nothing_and_says_so(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(-1));
    script_done(&t, COAT_EREPLACED);
    assert_non_null(coat_session_id(t.s));
    assert_field(t.s, "a", "2");
    script_release(&t);
}

static void a_stale_session_says_so_without_a_command(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_reload(&t, coat_session_id(t.s));
    coat_head_rotate(stored_head(&rec), (const unsigned char *)"sixteen bytes of", NOW_MS);
    script_replies(&t, 2, STORED(&rec), INTEGER(1800000));
    script_done(&t, 2);
    script_start(&t, COAT_OP_DESTROY);
    script_done(&t, COAT_EREPLACED);
    script_release(&t);
}

static void a_new_session_has_only_its_fields_to_drop(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    set_field(t.s, "a", "1");
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_DESTROY);
    script_done(&t, 0);
    assert_int_equal(coat_doc_count(coat_session_doc(t.s)), 0);
    assert_null(coat_session_principal(t.s));
    assert_int_equal(coat_session_modified(t.s), 0);
    script_release(&t);
}

/* By an id, without a load before. */
static void unloaded(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    script_reload(t, coat_session_id(t->s));
    script_start(t, COAT_OP_DESTROY);
}

static void an_id_is_enough(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    unloaded(&t, &rec);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

static void an_unknown_id_ends_nothing_and_is_counted(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    unloaded(&t, &rec);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_UNKNOWN_ID), 1);
    assert_int_equal(coat_session_stale(t.s), 0);
    script_release(&t);
}

static void a_dead_id_ends_nothing_and_is_counted(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    unloaded(&t, &rec);
    script_answer(&t, INTEGER(-1));
    script_done(&t, 0);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_DEAD_ID), 1);
    assert_int_equal(coat_session_stale(t.s), 1); /* perhaps: then no cookie may be set for it */
    script_release(&t);
}

static void req_70_a_logout_without_an_answer_says_so(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT | FINAL);
    script_done(&t, COAT_EUNCERTAIN);
    assert_non_null(coat_session_id(t.s));
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, UNSENT | FINAL);
    script_done(&t, COAT_EUNAVAILABLE);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    script_lost(&t, MAYBE_SENT);
    script_lost(&t, MAYBE_SENT);
    script_done(&t, COAT_EUNCERTAIN);
    script_release(&t);
}

static void a_logout_may_be_repeated(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    t.now_ms += 1000;
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, "1700000000000", NULL);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

/* Most likely by the send before; that it surely ended nothing can be told only where none went. */
static void what_a_repeat_finds_gone_was_ended(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, INTEGER(0));
    script_done(&t, 1);
    assert_int_equal(coat_session_is_new(t.s), 1);
    script_release(&t);
    unloaded(&t, &rec);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, INTEGER(0));
    script_done(&t, 1);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_UNKNOWN_ID), 0);
    script_release(&t);
    unloaded(&t, &rec);
    script_lost(&t, UNSENT);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    script_release(&t);
}

static void a_script_that_the_server_lacks_is_sent_in_full(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, REFUSED("NOSCRIPT No matching script. Please use EVAL."));
    script_sent(&t, 0, "EVAL", coat_script_logout.text, "2", ANY, ANY, ANY, ANY, NULL);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

static void replies_that_no_logout_gets_are_foreign(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    stored_head(&rec)->tag[7] ^= 1;
    struct coat_reply replies[] = {OK, NIL, INTEGER(1), STORED(&rec)};
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        script_start(&t, COAT_OP_DESTROY);
        script_answer(&t, replies[i]);
        script_done(&t, COAT_EFOREIGN);
    }
    script_release(&t);
}

static void refusals_are_told(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, REFUSED("NOPERM this user has no permissions"));
    script_done(&t, COAT_EDENIED);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, REFUSED("NOPERM this user has no permissions"));
    script_done(&t, COAT_EUNCERTAIN);
    script_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logout_is_one_script),
        cmocka_unit_test(where_one_server_holds_both_the_script_takes_it_out_of_the_index),
        cmocka_unit_test(in_a_cluster_that_is_a_command_of_its_own),
        cmocka_unit_test(what_looks_like_one_server_may_be_a_proxy_before_a_cluster),
        cmocka_unit_test(a_session_that_was_gone_is_taken_out_of_the_index_all_the_same),
        cmocka_unit_test(after_it_the_session_is_new_and_empty),
        cmocka_unit_test(a_session_that_was_gone_already_is_0),
        cmocka_unit_test(a_replaced_id_destroys_nothing_and_says_so),
        cmocka_unit_test(a_stale_session_says_so_without_a_command),
        cmocka_unit_test(a_new_session_has_only_its_fields_to_drop),
        cmocka_unit_test(an_id_is_enough),
        cmocka_unit_test(an_unknown_id_ends_nothing_and_is_counted),
        cmocka_unit_test(a_dead_id_ends_nothing_and_is_counted),
        cmocka_unit_test(req_70_a_logout_without_an_answer_says_so),
        cmocka_unit_test(a_logout_may_be_repeated),
        cmocka_unit_test(what_a_repeat_finds_gone_was_ended),
        cmocka_unit_test(a_script_that_the_server_lacks_is_sent_in_full),
        cmocka_unit_test(replies_that_no_logout_gets_are_foreign),
        cmocka_unit_test(refusals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
