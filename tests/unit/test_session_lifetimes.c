/* How long ids and sessions live; the renewal of an id, which works beside the old one at first. */
#include "script_driver.h"

enum { SAVE_RECORD = 6, PERIOD_S = 600, GRACE_MS = 10000 };

/* A session, what lies in Redis, and the ids that a browser has had. */
struct renewal {
    struct script t;
    struct stored rec;
    char old_id[COAT_SID_LEN + 1], new_id[COAT_SID_LEN + 1];
};

static void keep_id(const struct script *t, char id[COAT_SID_LEN + 1])
{
    memcpy(id, coat_session_id(t->s), COAT_SID_LEN + 1);
}

/* Stored, and almost a period old. */
static void begin(struct renewal *r)
{
    script_create(&r->t, &r->rec);
    r->t.options.renew_s = PERIOD_S;
    r->t.options.grace_ms = GRACE_MS;
    keep_id(&r->t, r->old_id);
    r->t.now_ms += PERIOD_S * 1000 - 1;
}

/* The save that was started lands. */
static void land(struct renewal *r)
{
    r->rec = stored_copy(script_arg(&r->t, 0, SAVE_RECORD));
    script_answer(&r->t, INTEGER(1));
    script_done(&r->t, 0);
}

/* A request with this id reads the session: what the load returns. */
static int request(struct renewal *r, const char *id)
{
    script_reload(&r->t, id);
    script_replies(&r->t, 2, STORED(&r->rec), INTEGER(1800000));
    assert_int_equal(r->t.step.kind, COAT_STEP_DONE);
    return r->t.step.rc;
}

/* Renewed: an offer lies there. */
static void offer(struct renewal *r)
{
    begin(r);
    r->t.now_ms++;
    assert_int_equal(request(r, r->old_id), 1);
    script_start(&r->t, COAT_OP_SAVE);
    land(r);
    keep_id(&r->t, r->new_id);
}

/* A save has nothing to send, or only renews the idle clock. */
static void assert_saves_nothing(struct renewal *r)
{
    script_start(&r->t, COAT_OP_SAVE);
    if (r->t.step.kind == COAT_STEP_SEND) {
        script_sent(&r->t, 0, "PEXPIRE", ANY, ANY, NULL);
        script_answer(&r->t, INTEGER(1));
    }
    script_done(&r->t, 0);
}

static void no_id_is_renewed_before_its_time_or_without_the_option(void **state)
{
    (void)state;
    struct renewal r;
    begin(&r);
    assert_int_equal(request(&r, r.old_id), 1);
    assert_saves_nothing(&r);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    r.t.options.renew_s = 0;
    r.t.now_ms += PERIOD_S * 1000;
    assert_int_equal(request(&r, r.old_id), 1);
    assert_saves_nothing(&r);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    script_release(&r.t);
}

static void after_a_period_a_save_offers_another_id_and_both_work(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    assert_string_not_equal(r.new_id, r.old_id);
    assert_int_equal(request(&r, r.new_id), 1);
    assert_int_equal(request(&r, r.old_id), 1);
    assert_field(r.t.s, "a", "1");
    script_release(&r.t);
}

static void the_request_that_was_told_of_an_offer_does_not_use_it_up(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    set_field(r.t.s, "a", "2");
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    r.t.now_ms += 2 * GRACE_MS;
    assert_int_equal(request(&r, r.old_id), 1);
    assert_field(r.t.s, "a", "2");
    assert_saves_nothing(&r);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    script_release(&r.t);
}

static void req_13_the_first_use_of_an_offer_ends_the_old_id_after_its_grace(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    assert_int_equal(request(&r, r.new_id), 1);
    assert_int_equal(coat_session_modified(r.t.s), 0);
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    assert_string_equal(coat_session_id(r.t.s), r.new_id);
    r.t.now_ms += GRACE_MS - 1;
    assert_int_equal(request(&r, r.old_id), 1);
    assert_saves_nothing(&r);
    r.t.now_ms++;
    assert_int_equal(request(&r, r.old_id), 2);
    assert_int_equal(request(&r, r.new_id), 1);
    assert_saves_nothing(&r);
    script_release(&r.t);
}

/* The period counts from the end of the grace. */
static void an_id_that_was_renewed_is_renewed_again(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    assert_int_equal(request(&r, r.new_id), 1);
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    r.t.now_ms += GRACE_MS + PERIOD_S * 1000 - 1;
    assert_int_equal(request(&r, r.new_id), 1);
    assert_saves_nothing(&r);
    r.t.now_ms++;
    assert_int_equal(request(&r, r.new_id), 1);
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    assert_string_not_equal(coat_session_id(r.t.s), r.new_id);
    script_release(&r.t);
}

static void an_offer_that_nobody_took_is_replaced_after_a_period(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    r.t.now_ms += PERIOD_S * 1000 - 1;
    assert_int_equal(request(&r, r.old_id), 1);
    assert_saves_nothing(&r);
    r.t.now_ms++;
    assert_int_equal(request(&r, r.old_id), 1);
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    assert_int_equal(request(&r, r.new_id), 0);
    assert_int_equal(request(&r, r.old_id), 1);
    script_release(&r.t);
}

static void of_two_renewals_at_once_one_lands(void **state)
{
    (void)state;
    struct renewal r;
    begin(&r);
    r.t.now_ms++;
    set_field(r.t.s, "b", "2");
    script_start(&r.t, COAT_OP_SAVE);
    struct stored theirs = r.rec;
    coat_head_revise(stored_head(&theirs), (const unsigned char *)"revision");
    coat_head_offer(stored_head(&theirs), (const unsigned char *)"their offer, 16.", r.t.now_ms);
    script_answer(&r.t, STORED(&theirs));
    land(&r);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    assert_memory_equal(stored_head(&r.rec)->other, "their offer, 16.", COAT_HASH_LEN);
    assert_field(r.t.s, "b", "2");
    script_release(&r.t);
}

static void two_first_uses_at_once_are_one(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    assert_int_equal(request(&r, r.new_id), 1);
    struct stored theirs = r.rec;
    coat_head_revise(stored_head(&theirs), (const unsigned char *)"revision");
    coat_head_take_offer(stored_head(&theirs), r.t.now_ms + GRACE_MS);
    script_start(&r.t, COAT_OP_SAVE);
    script_answer(&r.t, STORED(&theirs));
    land(&r);
    assert_memory_equal(stored_head(&r.rec)->current, stored_head(&theirs)->current, 40);
    assert_string_equal(coat_session_id(r.t.s), r.new_id);
    script_release(&r.t);
}

static void req_14_a_rotation_ends_offered_and_old_ids_at_once(void **state)
{
    (void)state;
    struct renewal r;
    offer(&r);
    assert_int_equal(request(&r, r.old_id), 1);
    assert_int_equal(coat_session_rotate(r.t.s, NULL), 0);
    script_start(&r.t, COAT_OP_SAVE);
    land(&r);
    assert_int_equal(request(&r, r.new_id), 0);
    assert_int_equal(request(&r, r.old_id), 2);
    script_release(&r.t);
}

static void an_update_by_an_id_renews_nothing(void **state)
{
    (void)state;
    struct renewal r;
    begin(&r);
    r.t.now_ms++;
    set_field(r.t.s, "a", "2");
    script_start(&r.t, COAT_OP_UPDATE);
    land(&r);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    script_release(&r.t);
}

static void a_renewal_whose_reply_was_lost_leaves_the_old_id(void **state)
{
    (void)state;
    struct renewal r;
    begin(&r);
    r.t.now_ms++;
    assert_int_equal(request(&r, r.old_id), 1);
    script_start(&r.t, COAT_OP_SAVE);
    r.rec = stored_copy(script_arg(&r.t, 0, SAVE_RECORD));
    script_lost(&r.t, MAYBE_SENT | FINAL);
    script_done(&r.t, COAT_EUNCERTAIN);
    assert_string_equal(coat_session_id(r.t.s), r.old_id);
    assert_int_equal(request(&r, r.old_id), 1);
    script_release(&r.t);
}

/* ---- Sessions that are too old --------------------------------------------------------------- */

static void what_was_created_before_the_time_given_is_over(void **state)
{
    (void)state;
    struct renewal r;
    begin(&r);
    r.t.options.not_before_ms = NOW_MS;
    assert_int_equal(request(&r, r.old_id), 1);
    r.t.options.not_before_ms = NOW_MS + 1;
    assert_int_equal(request(&r, r.old_id), 0);
    assert_int_equal(coat_store_count(&r.t.store, COAT_COUNT_UNKNOWN_ID), 1);
    script_release(&r.t);
}

/* ---- Visitors ---------------------------------------------------------------------------------
 */

static int64_t stored_idle_s(const struct script *t, size_t arg)
{
    struct stored rec = stored_copy(script_arg(t, 0, arg));
    return coat_head_idle_s(stored_head(&rec));
}

enum { SET_RECORD = 2 };

static void a_visitor_has_an_idle_timeout_of_its_own_until_the_login(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    t.options.anonymous_idle_s = 60;
    set_field(t.s, "a", "1");
    assert_int_equal(coat_session_idle_s(t.s), 60);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(stored_idle_s(&t, SET_RECORD), 60);
    script_answer(&t, OK);
    script_done(&t, 0);

    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(stored_idle_s(&t, SAVE_RECORD), 60);
    script_answer(&t, INTEGER(1));

    assert_int_equal(coat_session_login(t.s, "user:1", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_idle_s(t.s), 1800);
    script_release(&t);
}

static void an_idle_timeout_of_its_own_stays_at_the_login(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    t.options.anonymous_idle_s = 60;
    set_field(t.s, "a", "1");
    assert_int_equal(coat_session_set_idle(t.s, 90, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(stored_idle_s(&t, SET_RECORD), 90);
    script_answer(&t, OK);
    assert_int_equal(coat_session_login(t.s, "user:1", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_idle_s(t.s), 90);
    script_release(&t);
}

static void who_logs_in_at_once_is_no_visitor(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    t.options.anonymous_idle_s = 60;
    assert_int_equal(coat_session_login(t.s, "user:1", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(stored_idle_s(&t, SET_RECORD), 1800);
    script_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_id_is_renewed_before_its_time_or_without_the_option),
        cmocka_unit_test(after_a_period_a_save_offers_another_id_and_both_work),
        cmocka_unit_test(the_request_that_was_told_of_an_offer_does_not_use_it_up),
        cmocka_unit_test(req_13_the_first_use_of_an_offer_ends_the_old_id_after_its_grace),
        cmocka_unit_test(an_id_that_was_renewed_is_renewed_again),
        cmocka_unit_test(an_offer_that_nobody_took_is_replaced_after_a_period),
        cmocka_unit_test(of_two_renewals_at_once_one_lands),
        cmocka_unit_test(two_first_uses_at_once_are_one),
        cmocka_unit_test(req_14_a_rotation_ends_offered_and_old_ids_at_once),
        cmocka_unit_test(an_update_by_an_id_renews_nothing),
        cmocka_unit_test(a_renewal_whose_reply_was_lost_leaves_the_old_id),
        cmocka_unit_test(what_was_created_before_the_time_given_is_over),
        cmocka_unit_test(a_visitor_has_an_idle_timeout_of_its_own_until_the_login),
        cmocka_unit_test(an_idle_timeout_of_its_own_stays_at_the_login),
        cmocka_unit_test(who_logs_in_at_once_is_no_visitor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
