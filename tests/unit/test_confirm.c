/* What waits for replicas, and what is said where too few have it: the option confirm. */
#include "index.h"
#include "script_driver.h"

#define H "AAAAAAAAAAAAAAAAAAAAAAAA"

static void asked_for(struct script *t, int64_t replicas)
{
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    assert_int_equal(t->step.confirm, replicas);
}

static void to_confirm(struct script *t, int64_t replicas)
{
    t->options.confirm = replicas;
    t->confirmed = replicas;
}

/* A write that says nothing, for the replicas. */
static void marks(struct script *t, const struct coat_keys *keys)
{
    char key[COAT_KEY_MAX + 1];
    snprintf(key, sizeof key, "%.*s", (int)keys->len, keys->marker);
    assert_int_equal(script_commands(t), 1);
    script_sent(t, 0, "SET", key, "", "PX", "1000", NULL);
    assert_memory_equal(t->step.commands->key.bytes, key, keys->len);
    asked_for(t, t->options.confirm);
}

static void create(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    to_confirm(t, 2);
}

/* A session with a principal; *rec is what lies in Redis. */
static void log_in(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
    script_start(t, COAT_OP_SAVE);
    script_entered(t);
    *rec = stored_copy(script_arg(t, 0, 6));
    script_answer(t, INTEGER(1));
    script_done(t, 0);
}

/* ---- Logout --------------------------------------------------------------------------------- */

static void a_logout_is_confirmed(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    asked_for(&t, 2);
    script_sent(&t, 0, "EVAL", coat_script_logout.text, "2", ANY, ANY, ANY, ANY, NULL);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    script_release(&t);
}

/* It is no session any more for us to go on with, but nothing says that it stays so. */
static void a_logout_that_too_few_replicas_have_is_uncertain(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    for (int64_t confirmed = -1; confirmed < 2; confirmed++) {
        t.confirmed = confirmed;
        script_start(&t, COAT_OP_DESTROY);
        script_answer(&t, STORED(&rec));
        script_done(&t, COAT_EUNCERTAIN);
        assert_string_equal(t.err.reason, "confirm");
        assert_non_null(strstr(t.err.text, confirmed < 0 ? "the command WAIT" : "asks for 2"));
        assert_non_null(coat_session_id(t.s));
    }

    /* once more, when they are back */
    t.confirmed = 2;
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    marks(&t, &t.s->keys);
    script_answer(&t, OK);
    script_done(&t, 0);
    script_release(&t);
}

static void what_was_gone_is_confirmed_by_a_write_of_this_connection(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    asked_for(&t, 2);
    script_answer(&t, INTEGER(0));
    marks(&t, &t.s->keys);
    t.confirmed = 1;
    script_answer(&t, OK);
    script_done(&t, COAT_EUNCERTAIN);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    script_answer(&t, REFUSED("OOM command not allowed when used memory > 'maxmemory'"));
    script_done(&t, COAT_EUNCERTAIN);
    assert_string_equal(t.err.reason, "confirm");
    script_release(&t);
}

/* What it stands for was done, which "unavailable" would deny. */
static void a_marker_that_is_never_sent_is_uncertain(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, INTEGER(0));
    marks(&t, &t.s->keys);
    script_lost(&t, FINAL);
    script_done(&t, COAT_EUNCERTAIN);
    assert_string_equal(t.err.reason, "confirm");
    assert_non_null(strstr(t.err.text, "it was written"));
    script_release(&t);
}

static void a_dead_id_has_nothing_to_confirm(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    t.confirmed = 0;
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(-1));
    script_done(&t, COAT_EREPLACED);
    script_release(&t);
}

/* ---- Login and rotation --------------------------------------------------------------------- */

static void a_login_is_confirmed_in_the_index_and_in_the_record(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    asked_for(&t, 2);
    script_entered(&t);
    asked_for(&t, 2);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void a_login_that_too_few_replicas_have_gives_no_id(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char old[COAT_SID_LEN + 1];
    for (int in_the_index = 0; in_the_index < 2; in_the_index++) {
        create(&t, &rec);
        snprintf(old, sizeof old, "%s", coat_session_id(t.s));
        assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
        script_start(&t, COAT_OP_SAVE);
        t.confirmed = in_the_index ? 2 : 1;
        script_entered(&t);
        if (in_the_index) {
            t.confirmed = 0;
            script_answer(&t, INTEGER(1));
        }
        script_done(&t, COAT_EUNCERTAIN);
        assert_string_equal(coat_session_id(t.s), old);
        script_release(&t);
    }
}

static void a_fresh_login_is_confirmed_twice_as_well(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    to_confirm(&t, 1);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "SET", ANY, ANY, "NX", "PX", ANY, NULL);
    asked_for(&t, 1);
    script_answer(&t, OK);
    asked_for(&t, 1);
    script_entered(&t);
    script_done(&t, 0);
    script_release(&t);
}

static void a_fresh_login_that_too_few_replicas_have_is_no_session(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    to_confirm(&t, 1);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    t.confirmed = 0;
    script_answer(&t, OK);
    script_done(&t, COAT_EUNCERTAIN);
    script_start(&t, COAT_OP_SAVE);
    t.confirmed = 1;
    script_answer(&t, OK);
    t.confirmed = 0;
    script_entered(&t); /* nobody gets the id, so the record goes again */
    script_sent(&t, 0, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, ANY, NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, COAT_EUNCERTAIN);
    assert_null(coat_session_id(t.s));
    script_release(&t);
}

static void a_rotation_is_confirmed(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    create(&t, &rec);
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    asked_for(&t, 2);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

/* The repeat finds what the first send has written, so the second connection has written nothing.
 */
static void
what_an_earlier_send_has_written_is_confirmed_by_a_write_of_this_connection(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    for (int confirmed = 1; confirmed < 3; confirmed++) {
        char old[COAT_SID_LEN + 1];
        create(&t, &rec);
        snprintf(old, sizeof old, "%s", coat_session_id(t.s));
        assert_int_equal(coat_session_rotate(t.s, NULL), 0);
        script_start(&t, COAT_OP_SAVE);
        rec = stored_copy(script_arg(&t, 0, 6));
        script_lost(&t, MAYBE_SENT);
        script_answer(&t, STORED(&rec));
        marks(&t, &t.s->keys);
        t.confirmed = confirmed;
        script_answer(&t, OK);
        script_done(&t, confirmed < 2 ? COAT_EUNCERTAIN : 0);
        assert_int_equal(strcmp(coat_session_id(t.s), old) == 0, confirmed < 2);
        script_release(&t);
    }
}

/* Another request has saved: that is for the next attempt, however many replicas there are. */
static void a_conflict_has_nothing_to_confirm(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    create(&t, &rec);
    theirs = STORED_SAVED(&rec, "x", "",
                          "\x81\xa1"
                          "b\xa1"
                          "2");
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    t.confirmed = 0;
    script_answer(&t, STORED(&theirs));
    asked_for(&t, 2);
    t.confirmed = 2;
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void other_saves_wait_for_nobody(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    to_confirm(&t, 2);
    t.confirmed = 0;
    t.options.renew_s = 60;
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    asked_for(&t, 0);
    script_answer(&t, OK);
    script_done(&t, 0);
    t.now_ms += 61000;
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE); /* offers an id as well */
    asked_for(&t, 0);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void a_touch_that_heals_the_index_waits_for_nobody(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    log_in(&t, &rec);
    t.options.confirm = 2;
    t.now_ms += 600000;
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "PEXPIRE", ANY, ANY, NULL);
    asked_for(&t, 0);
    script_answer(&t, INTEGER(1));
    asked_for(&t, 0);
    script_entered(&t);
    script_done(&t, 0);
    script_release(&t);
}

/* ---- The end of other sessions -------------------------------------------------------------- */

static struct coat_index_op *read_index(struct script *t, enum coat_index_do what,
                                        const char *public_id)
{
    struct coat_index_op *x;
    struct coat_reply name = BULK(H, COAT_H_LEN);
    assert_int_equal(coat_index_op_new(&x, &t->store, what, "user:42", public_id, NULL), 0);
    t->op = coat_index_op(x);
    script_event(t, (struct coat_event){.kind = COAT_EVENT_START});
    asked_for(t, 0);
    script_answer(t, (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = &name, .count = 1});
    return x;
}

static void the_end_of_one_or_all_is_confirmed(void **state)
{
    (void)state;
    struct script t;
    struct coat_keys keys;
    assert_int_equal(coat_keys_of_member(&keys, PREFIX, H, COAT_H_LEN, NULL), 1);
    for (int one = 0; one < 2; one++)
        for (int confirmed = 0; confirmed < 2; confirmed++) {
            script_init(&t);
            to_confirm(&t, 1);
            struct coat_index_op *x = read_index(&t, one ? COAT_INDEX_END_ONE : COAT_INDEX_END_ALL,
                                                 one ? keys.public_id : NULL);
            asked_for(&t, 1);
            t.confirmed = confirmed;
            script_answer(&t, INTEGER(1));
            if (confirmed) {
                script_sent(&t, 0, "ZREM", ANY, H, NULL);
                asked_for(&t, 0);
                script_answer(&t, INTEGER(1));
            }
            script_done(&t, confirmed ? 1 : COAT_EUNCERTAIN);
            coat_index_op_free(x);
        }
}

static void members_that_were_gone_are_confirmed_by_a_write_of_this_connection(void **state)
{
    (void)state;
    struct script t;
    struct coat_keys keys;
    assert_int_equal(coat_keys_of_member(&keys, PREFIX, H, COAT_H_LEN, NULL), 1);
    for (int confirmed = 0; confirmed < 2; confirmed++) {
        script_init(&t);
        to_confirm(&t, 1);
        struct coat_index_op *x = read_index(&t, COAT_INDEX_END_ALL, NULL);
        script_answer(&t, INTEGER(0));
        marks(&t, &keys);
        t.confirmed = confirmed;
        script_answer(&t, OK);
        if (confirmed) {
            script_sent(&t, 0, "ZREM", ANY, H, NULL);
            script_answer(&t, INTEGER(1));
        }
        script_done(&t, confirmed ? 0 : COAT_EUNCERTAIN);
        coat_index_op_free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logout_is_confirmed),
        cmocka_unit_test(a_logout_that_too_few_replicas_have_is_uncertain),
        cmocka_unit_test(what_was_gone_is_confirmed_by_a_write_of_this_connection),
        cmocka_unit_test(a_marker_that_is_never_sent_is_uncertain),
        cmocka_unit_test(a_dead_id_has_nothing_to_confirm),
        cmocka_unit_test(a_login_is_confirmed_in_the_index_and_in_the_record),
        cmocka_unit_test(a_login_that_too_few_replicas_have_gives_no_id),
        cmocka_unit_test(a_fresh_login_is_confirmed_twice_as_well),
        cmocka_unit_test(a_fresh_login_that_too_few_replicas_have_is_no_session),
        cmocka_unit_test(a_rotation_is_confirmed),
        cmocka_unit_test(
            what_an_earlier_send_has_written_is_confirmed_by_a_write_of_this_connection),
        cmocka_unit_test(a_conflict_has_nothing_to_confirm),
        cmocka_unit_test(other_saves_wait_for_nobody),
        cmocka_unit_test(a_touch_that_heals_the_index_waits_for_nobody),
        cmocka_unit_test(the_end_of_one_or_all_is_confirmed),
        cmocka_unit_test(members_that_were_gone_are_confirmed_by_a_write_of_this_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
