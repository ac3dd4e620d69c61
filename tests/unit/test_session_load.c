#include "script_driver.h"

/* What most tests begin with: a stored session, and its id presented again. */
struct loading {
    struct script t;
    struct stored rec;
    char id[COAT_SID_LEN + 1];
};

static void begin(struct loading *l)
{
    script_create(&l->t, &l->rec);
    snprintf(l->id, sizeof l->id, "%s", coat_session_id(l->t.s));
    script_reload(&l->t, l->id);
}

static void answer(struct loading *l, struct coat_reply get, long long pttl)
{
    script_replies(&l->t, 2, get, INTEGER(pttl));
}

static uint64_t count(const struct loading *l, enum coat_count what)
{
    return coat_store_count(&l->t.store, what);
}

static void a_load_is_one_pipeline(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    char key[COAT_KEY_MAX + 1] = {0};
    memcpy(key, l.t.s->keys.record, l.t.s->keys.len);
    assert_int_equal(script_commands(&l.t), 2);
    script_sent(&l.t, 0, "GET", key, NULL);
    script_sent(&l.t, 1, "PTTL", key, NULL);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(l.t.step.commands[i].key.len, strlen(key));
        assert_memory_equal(l.t.step.commands[i].key.bytes, key, strlen(key));
    }
    script_release(&l.t);
}

static void req_08_the_id_is_not_sent(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    assert_null(memmem(l.rec.bytes, l.rec.len, l.t.s->sid.verifier, COAT_SID_HALF));
    assert_null(memmem(l.rec.bytes, l.rec.len, l.t.s->sid.selector, COAT_SID_HALF));
    assert_null(memmem(l.t.s->keys.record, l.t.s->keys.len, l.id, 8));
    script_release(&l.t);
}

static void a_stored_session_is_opened(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 1);
    assert_field(l.t.s, "a", "1");
    assert_string_equal(coat_session_id(l.t.s), l.id);
    assert_int_equal(coat_session_created_ms(l.t.s), NOW_MS);
    assert_int_equal(coat_session_deadline_ms(l.t.s), NOW_MS + 43200000);
    assert_int_equal(coat_session_idle_s(l.t.s), 1800);
    assert_null(coat_session_principal(l.t.s));
    assert_int_equal(coat_session_is_new(l.t.s), 0);
    assert_int_equal(coat_session_modified(l.t.s), 0);
    assert_int_equal(coat_session_stale(l.t.s), 0);
    script_release(&l.t);
}

static void a_principal_is_loaded(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.rec = STORED_MAKE(stored_head(&l.rec), "user:42", "\x80");
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 1);
    assert_string_equal(coat_session_principal(l.t.s), "user:42");
    script_release(&l.t);
}

static void req_03_a_malformed_id_is_no_session_and_sends_nothing(void **state)
{
    (void)state;
    struct script t;
    script_init(&t);
    assert_int_equal(coat_session_for_id(&t.store, "../../etc/passwd", 16, &t.s, NULL), 0);
    assert_null(t.s);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_MALFORMED_ID), 1);
}

static void req_04_an_id_that_opens_nothing_is_no_session(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, NIL, -2);
    script_done(&l.t, 0);
    assert_int_equal(count(&l, COAT_COUNT_UNKNOWN_ID), 1);
    assert_null(coat_session_id(l.t.s));
    script_release(&l.t);
}

static void a_record_that_ends_between_the_two_commands_is_asked_for_again(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, STORED(&l.rec), -2);
    assert_int_equal(l.t.step.kind, COAT_STEP_SEND);
    answer(&l, NIL, -2);
    script_done(&l.t, 0);
    assert_int_equal(count(&l, COAT_COUNT_UNKNOWN_ID), 1);
    script_release(&l.t);
}

static void req_61_69_no_session_is_never_said_after_one_reply_alone(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, NIL, 1800000);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);

    begin(&l);
    answer(&l, NIL, -1);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);

    begin(&l);
    answer(&l, STORED(&l.rec), -2);
    answer(&l, STORED(&l.rec), -2);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);
}

static void req_18_a_record_beyond_its_deadline_is_no_session(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.t.now_ms = NOW_MS + 43200000;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 0);
    script_release(&l.t);

    begin(&l);
    l.t.now_ms = NOW_MS + 43200000 - 1;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 1);
    script_release(&l.t);
}

static void req_09_a_known_selector_with_another_verifier_opens_nothing(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.t.s->work.hash[COAT_HASH_LEN - 1] ^= 1;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 0);
    assert_int_equal(count(&l, COAT_COUNT_DEAD_ID), 1);
    assert_int_equal(count(&l, COAT_COUNT_UNKNOWN_ID), 0);
    script_release(&l.t);
}

/* ---- Stale ids ------------------------------------------------------------------------------ */

/* The id is presented so long after it was replaced. Returns the result. */
static int load_replaced(struct loading *l, int64_t passed_ms)
{
    begin(l);
    coat_head_rotate(stored_head(&l->rec), (const unsigned char *)"sixteen bytes of", NOW_MS);
    l->t.now_ms = NOW_MS + passed_ms;
    answer(l, STORED(&l->rec), 1800000);
    assert_int_equal(l->t.step.kind, COAT_STEP_DONE);
    return l->t.step.rc;
}

static void an_id_replaced_moments_ago_gives_an_empty_session(void **state)
{
    (void)state;
    struct loading l;
    assert_int_equal(load_replaced(&l, 29999), 2);
    assert_int_equal(coat_session_stale(l.t.s), 1);
    assert_null(coat_session_id(l.t.s));
    assert_null(coat_session_principal(l.t.s));
    assert_int_equal(coat_doc_count(coat_session_doc(l.t.s)), 0);
    assert_int_equal(count(&l, COAT_COUNT_DEAD_ID), 1);
    script_release(&l.t);
}

static void an_id_replaced_long_ago_is_no_session(void **state)
{
    (void)state;
    struct loading l;
    assert_int_equal(load_replaced(&l, 30000), 0);
    assert_int_equal(count(&l, COAT_COUNT_DEAD_ID), 1);
    script_release(&l.t);
}

static void what_a_stale_session_is_given_is_not_stored(void **state)
{
    (void)state;
    struct loading l;
    assert_int_equal(load_replaced(&l, 0), 2);
    set_field(l.t.s, "a", "2");
    assert_int_equal(coat_session_rotate(l.t.s, NULL), 0);
    assert_int_equal(coat_session_modified(l.t.s), 0);
    script_start(&l.t, COAT_OP_SAVE);
    script_done(&l.t, 0);
    assert_int_equal(coat_session_stale(l.t.s), 1);
    script_release(&l.t);
}

static void a_login_in_a_stale_session_starts_one_of_its_own(void **state)
{
    (void)state;
    struct loading l;
    assert_int_equal(load_replaced(&l, 0), 2);
    assert_int_equal(coat_session_login(l.t.s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_modified(l.t.s), 1);
    script_start(&l.t, COAT_OP_SAVE);
    script_sent(&l.t, 0, "SET", ANY, ANY, "NX", "PX", "1800000", NULL);
    script_answer(&l.t, OK);
    script_entered(&l.t);
    script_done(&l.t, 0);
    assert_int_equal(coat_session_stale(l.t.s), 0);
    assert_string_not_equal(coat_session_id(l.t.s), l.id);
    script_release(&l.t);
}

/* ---- The TTL -------------------------------------------------------------------------------- */

static void req_21_a_missing_ttl_is_repaired_and_counted(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.t.now_ms = NOW_MS + 43200000 - 5000;
    answer(&l, STORED(&l.rec), -1);
    script_sent(&l.t, 0, "PEXPIRE", ANY, "5000", NULL);
    assert_int_equal(count(&l, COAT_COUNT_NO_TTL), 0);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, 1);
    assert_int_equal(count(&l, COAT_COUNT_NO_TTL), 1);
    assert_field(l.t.s, "a", "1");
    script_start(&l.t, COAT_OP_SAVE); /* the idle clock is not due */
    script_done(&l.t, 0);
    script_release(&l.t);
}

static void an_expired_record_without_ttl_is_given_time_for_slow_clocks(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.t.now_ms = NOW_MS + 43200000;
    answer(&l, STORED(&l.rec), -1);
    script_sent(&l.t, 0, "PEXPIRE", ANY, "120000", NULL);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, 0);
    script_release(&l.t);
}

static void a_dead_id_makes_no_difference_to_the_repair(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    coat_head_rotate(stored_head(&l.rec), (const unsigned char *)"sixteen bytes of", NOW_MS);
    answer(&l, STORED(&l.rec), -1);
    script_sent(&l.t, 0, "PEXPIRE", ANY, "1800000", NULL);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, 2);
    script_release(&l.t);
}

static void a_failed_repair_does_not_spoil_the_load(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct loading l;
        begin(&l);
        answer(&l, STORED(&l.rec), -1);
        if (how == 0)
            script_lost(&l.t, MAYBE_SENT | FINAL);
        else
            script_answer(&l.t, how == 1 ? REFUSED("NOPERM no") : INTEGER(0));
        script_done(&l.t, 1);
        assert_int_equal(count(&l, COAT_COUNT_NO_TTL), 0);
        assert_field(l.t.s, "a", "1");
        script_release(&l.t);
    }
}

static void a_foreign_reply_to_the_repair_closes_the_connection(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, STORED(&l.rec), -1);
    script_answer(&l.t, OK);
    assert_int_equal(l.t.step.kind, COAT_STEP_DONE);
    assert_int_equal(l.t.step.rc, 1);
    assert_int_equal(l.t.step.close, 1);
    script_release(&l.t);
}

/* ---- What goes wrong ------------------------------------------------------------------------ */

static void req_61_a_record_with_another_tag_is_foreign(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    stored_head(&l.rec)->tag[0] ^= 1;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);
}

static void replies_that_no_load_gets_are_foreign(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, INTEGER(1), 1800000);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);

    begin(&l);
    script_replies(&l.t, 2, STORED(&l.rec), OK);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);

    begin(&l);
    script_replies(&l.t, 1, STORED(&l.rec), NIL);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);
}

static void a_damaged_record_is_corrupt_and_counted(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.rec.bytes[2] = 0;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, COAT_ECORRUPT);
    assert_int_equal(l.t.err.offset, 2);
    assert_non_null(strstr(l.t.err.text, l.t.s->keys.public_id));
    assert_int_equal(count(&l, COAT_COUNT_CORRUPT), 1);
    script_release(&l.t);
}

static void damaged_fields_are_told_by_their_offset_in_the_record(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.rec = STORED_MAKE(stored_head(&l.rec), "",
                        "\x81\xa1"
                        "a\xc1");
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, COAT_ECORRUPT);
    assert_int_equal(l.t.err.offset, COAT_HEAD_LEN + 1 + 3);
    assert_int_equal(count(&l, COAT_COUNT_CORRUPT), 1);
    assert_int_equal(coat_session_is_new(l.t.s), 0);
    script_release(&l.t);
}

static void something_else_than_a_string_is_corrupt(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    answer(&l, REFUSED("WRONGTYPE Operation against a key holding the wrong kind of value"), -1);
    script_done(&l.t, COAT_ECORRUPT);
    assert_int_equal(count(&l, COAT_COUNT_CORRUPT), 1);
    script_release(&l.t);
}

static void a_newer_format_is_left_alone(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.rec.bytes[1] = 2;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, COAT_EFORMAT);
    assert_int_equal(count(&l, COAT_COUNT_CORRUPT), 0);
    script_release(&l.t);
}

static void req_57_fields_over_the_limit_are_refused(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    l.t.options.limits.max_bytes = 1;
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, COAT_ELIMIT);
    script_release(&l.t);
}

static void a_refusal_is_not_no_session(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    script_replies(&l.t, 2, REFUSED("LOADING Redis is loading the dataset in memory"),
                   REFUSED("LOADING Redis is loading the dataset in memory"));
    script_done(&l.t, COAT_EUNAVAILABLE);
    assert_string_equal(l.t.err.reason, "LOADING");
    script_release(&l.t);
}

static void a_lost_reply_is_asked_for_again_three_times_in_all(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    script_lost(&l.t, MAYBE_SENT);
    script_sent(&l.t, 0, "GET", ANY, NULL);
    script_lost(&l.t, UNSENT);
    script_sent(&l.t, 1, "PTTL", ANY, NULL);
    script_lost(&l.t, MAYBE_SENT);
    script_done(&l.t, COAT_EUNAVAILABLE);
    assert_string_equal(l.t.err.reason, "reset");
    script_release(&l.t);
}

static void req_69_no_answer_is_the_drivers_reason(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    script_lost(&l.t, MAYBE_SENT | FINAL);
    script_done(&l.t, COAT_EUNAVAILABLE);
    script_release(&l.t);
}

static void a_loaded_session_is_not_loaded_again(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_start(&t, COAT_OP_LOAD);
    script_done(&t, COAT_EUSAGE);
    script_release(&t);
}

static void an_unloaded_session_is_not_saved_nor_changed(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    assert_null(coat_session_doc(l.t.s));
    assert_int_equal(coat_session_modified(l.t.s), 0);
    assert_int_equal(coat_session_login(l.t.s, "u", NULL, 0, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_rotate(l.t.s, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_set_idle(l.t.s, 1, NULL), COAT_EUSAGE);
    script_start(&l.t, COAT_OP_SAVE);
    script_done(&l.t, COAT_EUSAGE);
    script_release(&l.t);
}

static void an_abandoned_load_can_be_begun_again(void **state)
{
    (void)state;
    struct loading l;
    begin(&l);
    script_start(&l.t, COAT_OP_LOAD);
    answer(&l, STORED(&l.rec), 1800000);
    script_done(&l.t, 1);
    script_release(&l.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_one_pipeline),
        cmocka_unit_test(req_08_the_id_is_not_sent),
        cmocka_unit_test(a_stored_session_is_opened),
        cmocka_unit_test(a_principal_is_loaded),
        cmocka_unit_test(req_03_a_malformed_id_is_no_session_and_sends_nothing),
        cmocka_unit_test(req_04_an_id_that_opens_nothing_is_no_session),
        cmocka_unit_test(a_record_that_ends_between_the_two_commands_is_asked_for_again),
        cmocka_unit_test(req_61_69_no_session_is_never_said_after_one_reply_alone),
        cmocka_unit_test(req_18_a_record_beyond_its_deadline_is_no_session),
        cmocka_unit_test(req_09_a_known_selector_with_another_verifier_opens_nothing),
        cmocka_unit_test(an_id_replaced_moments_ago_gives_an_empty_session),
        cmocka_unit_test(an_id_replaced_long_ago_is_no_session),
        cmocka_unit_test(what_a_stale_session_is_given_is_not_stored),
        cmocka_unit_test(a_login_in_a_stale_session_starts_one_of_its_own),
        cmocka_unit_test(req_21_a_missing_ttl_is_repaired_and_counted),
        cmocka_unit_test(an_expired_record_without_ttl_is_given_time_for_slow_clocks),
        cmocka_unit_test(a_dead_id_makes_no_difference_to_the_repair),
        cmocka_unit_test(a_failed_repair_does_not_spoil_the_load),
        cmocka_unit_test(a_foreign_reply_to_the_repair_closes_the_connection),
        cmocka_unit_test(req_61_a_record_with_another_tag_is_foreign),
        cmocka_unit_test(replies_that_no_load_gets_are_foreign),
        cmocka_unit_test(a_damaged_record_is_corrupt_and_counted),
        cmocka_unit_test(damaged_fields_are_told_by_their_offset_in_the_record),
        cmocka_unit_test(something_else_than_a_string_is_corrupt),
        cmocka_unit_test(a_newer_format_is_left_alone),
        cmocka_unit_test(req_57_fields_over_the_limit_are_refused),
        cmocka_unit_test(a_refusal_is_not_no_session),
        cmocka_unit_test(a_lost_reply_is_asked_for_again_three_times_in_all),
        cmocka_unit_test(req_69_no_answer_is_the_drivers_reason),
        cmocka_unit_test(a_loaded_session_is_not_loaded_again),
        cmocka_unit_test(an_unloaded_session_is_not_saved_nor_changed),
        cmocka_unit_test(an_abandoned_load_can_be_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
