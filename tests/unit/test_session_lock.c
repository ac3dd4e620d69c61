/* The lock of a session: whoever takes it loads after it, and saves only while it is held. */
#include "script_driver.h"

enum { TOKEN = 2, TOKEN_LEN = 16, SAVE_TOKEN = 8 };

struct locking {
    struct script t;
    struct stored rec;
    unsigned char token[TOKEN_LEN];
};

static void keep_token(struct locking *l)
{
    struct coat_arg token = script_arg(&l->t, 0, TOKEN);
    assert_int_equal(token.len, TOKEN_LEN);
    memcpy(l->token, token.bytes, TOKEN_LEN);
}

/* A stored session whose lock is asked for. */
static void begin(struct locking *l)
{
    char id[COAT_SID_LEN + 1];
    script_create(&l->t, &l->rec);
    memcpy(id, coat_session_id(l->t.s), sizeof id);
    script_release(&l->t);
    assert_int_equal(coat_session_for_id(&l->t.store, id, COAT_SID_LEN, &l->t.s, NULL), 1);
    script_start(&l->t, COAT_OP_LOCK);
    keep_token(l);
}

/* The lock is held and the session loaded. */
static void take(struct locking *l)
{
    begin(l);
    script_answer(&l->t, OK);
    script_replies(&l->t, 2, STORED(&l->rec), INTEGER(1800000));
    script_done(&l->t, 1);
}

/* The try that was just sent has another token than the one before. */
static void assert_new_token(struct locking *l)
{
    script_sent(&l->t, 0, "SET", ANY, ANY, "NX", "PX", "30000", NULL);
    assert_memory_not_equal(script_arg(&l->t, 0, TOKEN).bytes, l->token, TOKEN_LEN);
    keep_token(l);
}

static void timer(struct locking *l)
{
    assert_int_equal(l->t.step.kind, COAT_STEP_WAIT);
    assert_in_range(l->t.step.until_ms - l->t.monotonic_ms, 1, 100);
    l->t.monotonic_ms = l->t.step.until_ms;
    script_event(&l->t, (struct coat_event){.kind = COAT_EVENT_TIMER});
}

static void the_session_is_loaded_after_its_lock_was_taken(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    script_sent(&l.t, 0, "SET", ANY, ANY, "NX", "PX", "30000", NULL);
    assert_memory_equal(script_arg(&l.t, 0, 1).bytes, l.t.s->keys.lock, l.t.s->keys.len);
    script_answer(&l.t, OK);
    script_sent(&l.t, 0, "GET", ANY, NULL);
    script_replies(&l.t, 2, STORED(&l.rec), INTEGER(1800000));
    script_done(&l.t, 1);
    assert_field(l.t.s, "a", "1");
    script_release(&l.t);
}

static void req_65_while_another_has_it_each_try_has_a_token_of_its_own(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    for (int i = 0; i < 5; i++) {
        script_answer(&l.t, NIL);
        timer(&l);
        assert_new_token(&l);
    }
    script_answer(&l.t, OK);
    script_sent(&l.t, 0, "GET", ANY, NULL);
    script_release(&l.t);
}

static void a_try_without_an_answer_is_repeated_with_another_token(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    for (int i = 0; i < 3; i++) {
        script_lost(&l.t, MAYBE_SENT);
        assert_new_token(&l);
    }
    script_lost(&l.t, MAYBE_SENT);
    script_done(&l.t, COAT_EUNAVAILABLE);
    script_release(&l.t);
}

static void req_65_a_wait_beyond_the_deadline_is_a_timeout_of_the_lock(void **state)
{
    (void)state;
    static const struct coat_error WHY = {.code = COAT_ETIMEOUT, .text = "too late"};
    struct locking l;
    begin(&l);
    script_answer(&l.t, NIL);
    script_event(&l.t, (struct coat_event){.kind = COAT_EVENT_LOST, .final = 1, .why = &WHY});
    script_done(&l.t, COAT_ETIMEOUT);
    assert_string_equal(l.t.err.reason, "lock");
    script_release(&l.t);

    /* also where it passes during one more try, but not during the first */
    for (int tries = 1; tries <= 2; tries++) {
        begin(&l);
        if (tries == 2) {
            script_answer(&l.t, NIL);
            timer(&l);
        }
        script_event(&l.t, (struct coat_event){.kind = COAT_EVENT_LOST, .final = 1, .why = &WHY});
        script_done(&l.t, COAT_ETIMEOUT);
        assert_string_equal(l.t.err.reason, tries == 2 ? "lock" : "");
        script_release(&l.t);
    }
}

static void where_there_is_no_session_the_lock_is_given_back(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    script_answer(&l.t, OK);
    script_replies(&l.t, 2, NIL, INTEGER(-2));
    script_sent(&l.t, 0, "EVALSHA", coat_script_unlock.sha1, "1", ANY, ANY, NULL);
    assert_memory_equal(script_arg(&l.t, 0, 4).bytes, l.token, TOKEN_LEN);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, 0);
    script_release(&l.t);
}

static void where_it_cannot_be_loaded_the_lock_is_given_back(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    script_answer(&l.t, OK);
    script_replies(&l.t, 2, REFUSED("NOPERM no"), INTEGER(1800000));
    script_sent(&l.t, 0, "EVALSHA", coat_script_unlock.sha1, "1", ANY, ANY, NULL);
    assert_memory_equal(script_arg(&l.t, 0, 4).bytes, l.token, TOKEN_LEN);
    script_lost(&l.t, MAYBE_SENT);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, COAT_EDENIED);
    script_release(&l.t);
    begin(&l);
    script_answer(&l.t, OK);
    script_replies(&l.t, 2, BULK("no record", 9), INTEGER(1800000));
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, COAT_ECORRUPT);
    assert_int_equal(coat_store_count(&l.t.store, COAT_COUNT_CORRUPT), 1);
    script_release(&l.t);
}

static void where_time_is_over_the_lock_ends_by_itself(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    script_answer(&l.t, OK);
    script_lost(&l.t, MAYBE_SENT | FINAL);
    script_done(&l.t, COAT_EUNAVAILABLE);
    script_release(&l.t);
    begin(&l);
    script_answer(&l.t, OK);
    script_replies(&l.t, 2, OK, INTEGER(1800000)); /* of another request */
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);
}

static void replies_that_no_lock_gets_are_foreign(void **state)
{
    (void)state;
    struct locking l;
    begin(&l);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, COAT_EFOREIGN);
    script_start(&l.t, COAT_OP_LOCK);
    script_answer(&l.t, REFUSED("NOPERM no"));
    script_done(&l.t, COAT_EDENIED);
    script_release(&l.t);
}

static void a_loaded_session_cannot_be_locked_any_more(void **state)
{
    (void)state;
    struct locking l;
    take(&l);
    script_start(&l.t, COAT_OP_LOCK);
    script_done(&l.t, COAT_EUSAGE);
    script_release(&l.t);
}

static void req_64_a_save_sends_the_token_and_lands_only_with_it(void **state)
{
    (void)state;
    struct locking l;
    take(&l);
    set_field(l.t.s, "a", "2");
    script_start(&l.t, COAT_OP_SAVE);
    assert_memory_equal(script_arg(&l.t, 0, SAVE_TOKEN).bytes, l.token, TOKEN_LEN);
    script_answer(&l.t, INTEGER(-1));
    script_done(&l.t, COAT_ELOCKLOST);
    assert_int_equal(coat_session_modified(l.t.s), 1);
    script_release(&l.t);
}

static void a_lock_that_was_lost_at_a_repeat_leaves_it_open_whether_the_save_landed(void **state)
{
    (void)state;
    struct locking l;
    take(&l);
    set_field(l.t.s, "a", "2");
    script_start(&l.t, COAT_OP_SAVE);
    script_lost(&l.t, MAYBE_SENT);
    script_answer(&l.t, INTEGER(-1));
    script_done(&l.t, COAT_EUNCERTAIN);
    script_release(&l.t);
}

static void unlock_gives_it_back_once(void **state)
{
    (void)state;
    struct locking l;
    take(&l);
    script_start(&l.t, COAT_OP_UNLOCK);
    script_sent(&l.t, 0, "EVALSHA", coat_script_unlock.sha1, "1", ANY, ANY, NULL);
    script_answer(&l.t, INTEGER(1));
    script_done(&l.t, 1);
    script_start(&l.t, COAT_OP_UNLOCK);
    script_done(&l.t, 0);
    /* and a save is one without a lock again */
    set_field(l.t.s, "a", "2");
    script_start(&l.t, COAT_OP_SAVE);
    assert_int_equal(l.t.step.commands[0].count, SAVE_TOKEN);
    script_release(&l.t);
}

static void an_unlock_may_be_repeated_and_fail(void **state)
{
    (void)state;
    struct locking l;
    take(&l);
    script_start(&l.t, COAT_OP_UNLOCK);
    script_lost(&l.t, MAYBE_SENT);
    script_answer(&l.t, INTEGER(0));
    script_done(&l.t, 0);
    script_release(&l.t);
    take(&l);
    script_start(&l.t, COAT_OP_UNLOCK);
    script_lost(&l.t, MAYBE_SENT | FINAL);
    script_done(&l.t, COAT_EUNAVAILABLE);
    script_release(&l.t);
    take(&l);
    script_start(&l.t, COAT_OP_UNLOCK);
    script_answer(&l.t, OK);
    script_done(&l.t, COAT_EFOREIGN);
    script_release(&l.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_session_is_loaded_after_its_lock_was_taken),
        cmocka_unit_test(req_65_while_another_has_it_each_try_has_a_token_of_its_own),
        cmocka_unit_test(a_try_without_an_answer_is_repeated_with_another_token),
        cmocka_unit_test(req_65_a_wait_beyond_the_deadline_is_a_timeout_of_the_lock),
        cmocka_unit_test(where_there_is_no_session_the_lock_is_given_back),
        cmocka_unit_test(where_it_cannot_be_loaded_the_lock_is_given_back),
        cmocka_unit_test(where_time_is_over_the_lock_ends_by_itself),
        cmocka_unit_test(replies_that_no_lock_gets_are_foreign),
        cmocka_unit_test(a_loaded_session_cannot_be_locked_any_more),
        cmocka_unit_test(req_64_a_save_sends_the_token_and_lands_only_with_it),
        cmocka_unit_test(a_lock_that_was_lost_at_a_repeat_leaves_it_open_whether_the_save_landed),
        cmocka_unit_test(unlock_gives_it_back_once),
        cmocka_unit_test(an_unlock_may_be_repeated_and_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
