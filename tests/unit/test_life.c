/* What each operation has to tell of the sessions that it touched (requirement 73). */
#include "script_driver.h"

enum { SAVE_RECORD = 6 };

#define H "AAAAAAAAAAAAAAAAAAAAAAAA"

/* ---- Somebody who listens ------------------------------------------------------------------- */

/* Each event as "kind principal reason; ", and whose the last one was. */
static char heard[512], public_id[COAT_PUBLIC_ID_LEN + 1];

static void hear(void *context, const struct coat_life_event *event)
{
    size_t len = strlen(heard);
    assert_string_equal(context, "the context");
    assert_int_equal(strlen(event->public_id), COAT_PUBLIC_ID_LEN);
    snprintf(heard + len, sizeof heard - len, "%s %s %s; ", coat_life_name(event->kind),
             event->principal ? event->principal : "-", event->reason ? event->reason : "-");
    memcpy(public_id, event->public_id, sizeof public_id);
}

static void listen(struct script *t)
{
    coat_store_on_event(&t->store, hear, "the context");
}

/* The operation under way tells this. */
static void assert_tells(struct script *t, const char *events)
{
    heard[0] = 0;
    coat_life_tell(t->op, &t->store);
    assert_string_equal(heard, events);
}

/* ---- Ways ----------------------------------------------------------------------------------- */

/* A stored session without a principal, whose events so far were told. */
static void begin(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    listen(t);
}

/* The save that was started lands. */
static void land(struct script *t, struct stored *rec)
{
    *rec = stored_copy(script_arg(t, 0, SAVE_RECORD));
    script_answer(t, INTEGER(1));
    script_done(t, 0);
}

static void save(struct script *t, struct stored *rec)
{
    script_start(t, COAT_OP_SAVE);
    land(t, rec);
}

static void begin_logged_in(struct script *t, struct stored *rec)
{
    begin(t, rec);
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
    script_start(t, COAT_OP_SAVE);
    script_entered(t);
    land(t, rec);
    coat_life_drop(&t->op->life);
}

static void load(struct script *t, const struct stored *rec)
{
    script_reload(t, coat_session_id(t->s));
    script_replies(t, 2, STORED(rec), INTEGER(1800000));
}

/* The session of its id, not loaded. */
static void present(struct script *t)
{
    char id[COAT_SID_LEN + 1];
    snprintf(id, sizeof id, "%s", coat_session_id(t->s));
    script_release(t);
    assert_int_equal(coat_session_for_id(&t->store, id, strlen(id), &t->s, NULL), 1);
}

/* The id that it had is replaced by somebody else, so long ago. */
static void replace(struct stored *rec, int64_t ms_ago)
{
    coat_head_rotate(stored_head(rec), (const unsigned char *)"sixteen bytes of", NOW_MS - ms_ago);
}

/* ---- Made and changed ----------------------------------------------------------------------- */

static void req_73_a_first_save_creates(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    listen(&t);
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_done(&t, 0);
    assert_tells(&t, "created - -; ");
    assert_string_equal(public_id, coat_session_public_id(t.s));
    script_release(&t);
}

static void events_are_told_once(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    listen(&t);
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    assert_tells(&t, "created - -; ");
    assert_tells(&t, "");
    script_release(&t);
}

static void reads_and_saves_make_no_event(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    load(&t, &rec);
    script_done(&t, 1);
    assert_tells(&t, "");
    set_field(t.s, "a", "2");
    save(&t, &rec);
    assert_tells(&t, "");
    script_release(&t);
}

static void a_login_of_a_visitor_without_a_session_is_two_events(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    listen(&t);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_entered(&t);
    script_done(&t, 0);
    assert_tells(&t, "created user:42 -; logged_in user:42 -; ");
    script_release(&t);
}

static void a_login_in_a_session_is_one_event(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    land(&t, &rec);
    assert_tells(&t, "logged_in user:42 -; ");
    script_release(&t);
}

static void req_73_a_rotation_is_told(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_logged_in(&t, &rec);
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    save(&t, &rec);
    assert_tells(&t, "rotated user:42 -; ");
    script_release(&t);
}

static void a_save_whose_reply_was_lost_is_told_once(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    rec = stored_copy(script_arg(&t, 0, SAVE_RECORD));
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, STORED(&rec));
    script_done(&t, 0);
    assert_tells(&t, "rotated - -; ");
    script_release(&t);
}

static void a_renewal_is_offered_then_used(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    t.options.renew_s = 600;
    t.options.grace_ms = 10000;
    t.now_ms += 600000;
    save(&t, &rec);
    assert_tells(&t, "offered - -; ");
    load(&t, &rec);
    script_done(&t, 1);
    assert_tells(&t, "");
    save(&t, &rec);
    assert_tells(&t, "renewed - -; ");
    script_release(&t);
}

/* ---- Ended ---------------------------------------------------------------------------------- */

static void req_73_a_logout_destroys(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char whose[COAT_PUBLIC_ID_LEN + 1];
    begin_logged_in(&t, &rec);
    memcpy(whose, coat_session_public_id(t.s), sizeof whose);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, STORED(&rec));
    script_done(&t, 1);
    assert_tells(&t, "destroyed user:42 logout; ");
    assert_string_equal(public_id, whose);
    script_release(&t);
}

static void a_logout_by_the_id_alone_knows_the_principal(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_logged_in(&t, &rec);
    present(&t);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, STORED(&rec));
    script_answer(&t, INTEGER(1));
    script_done(&t, 1);
    assert_tells(&t, "destroyed user:42 logout; ");
    script_release(&t);
}

static void a_logout_that_finds_it_gone_tells_nothing(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    assert_tells(&t, "");
    script_release(&t);
}

static void one_that_does_so_after_a_lost_reply_has_destroyed_it(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, INTEGER(0));
    script_done(&t, 1);
    assert_tells(&t, "destroyed - logout; ");
    script_release(&t);
}

static void a_logout_that_replicas_did_not_confirm_has_happened(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    t.options.confirm = 1;
    t.confirmed = 0;
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, STORED(&rec));
    script_done(&t, COAT_EUNCERTAIN);
    assert_tells(&t, "destroyed - logout; ");
    script_release(&t);
}

static struct coat_reply one_member(void)
{
    static struct coat_reply name;
    name = BULK(H, COAT_H_LEN);
    return (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = &name, .count = 1};
}

static void assert_is_of_h(const char *id)
{
    struct coat_keys keys;
    assert_int_equal(coat_keys_of_member(&keys, PREFIX, H, COAT_H_LEN, NULL), 1);
    assert_string_equal(id, keys.public_id);
}

static struct coat_index_op *begin_on_index(struct script *t, enum coat_index_do what,
                                            const char *principal, const char *which)
{
    struct coat_index_op *x;
    script_init(t);
    listen(t);
    assert_int_equal(coat_index_op_new(&x, &t->store, what, principal, which, NULL), 0);
    t->op = coat_index_op(x);
    script_event(t, (struct coat_event){.kind = COAT_EVENT_START});
    script_answer(t, one_member());
    return x;
}

static void a_session_ended_by_the_list_is_told_by_its_public_id(void **state)
{
    (void)state;
    struct script t;
    struct coat_keys keys;
    assert_int_equal(coat_keys_of_member(&keys, PREFIX, H, COAT_H_LEN, NULL), 1);
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_END_ONE, "user:42", keys.public_id);
    script_answer(&t, INTEGER(1));
    script_answer(&t, INTEGER(1));
    script_done(&t, 1);
    assert_tells(&t, "destroyed user:42 destroy_one; ");
    assert_is_of_h(public_id);
    coat_index_op_free(x);
}

static void each_session_ended_with_all_is_told(void **state)
{
    (void)state;
    struct script t;
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_END_ALL, "user:42", NULL);
    script_answer(&t, INTEGER(1));
    script_answer(&t, INTEGER(1));
    script_done(&t, 1);
    assert_tells(&t, "destroyed user:42 destroy_all; ");
    assert_is_of_h(public_id);
    coat_index_op_free(x);
}

/* Its length has another form in a record. */
static void a_long_principal_is_told_whole(void **state)
{
    (void)state;
    struct script t;
    const char *name = "a principal of forty bytes, which is one";
    char expected[128];
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_END_ALL, name, NULL);
    script_answer(&t, INTEGER(1));
    script_answer(&t, INTEGER(1));
    snprintf(expected, sizeof expected, "destroyed %s destroy_all; ", name);
    assert_tells(&t, expected);
    coat_index_op_free(x);
}

static void what_had_ended_before_is_not_told(void **state)
{
    (void)state;
    struct script t;
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_END_ALL, "user:42", NULL);
    script_answer(&t, INTEGER(0));
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_tells(&t, "");
    coat_index_op_free(x);
}

/* A login without a session finds the index full, with a session that lives. */
static void log_in_where(struct script *t, enum coat_on_max on_max, int64_t not_before_ms)
{
    struct coat_head head;
    script_new(t);
    listen(t);
    t->options.max_sessions = 1;
    t->options.on_max = on_max;
    t->options.not_before_ms = not_before_ms;
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
    script_start(t, COAT_OP_SAVE);
    script_answer(t, OK);
    script_answer(t, one_member());
    coat_head_init(&head, (const unsigned char *)"the tag.",
                   (const unsigned char *)"sixteen bytes of", NOW_MS, NOW_MS + 43200000, 1800);
    coat_head_revise(&head, revision('r'));
    struct stored probed = stored_make(&head, "user:42", "", 0);
    script_answer(t, STORED(&probed));
}

static void log_in_at_the_cap(struct script *t, enum coat_on_max on_max)
{
    log_in_where(t, on_max, 0);
}

static void a_session_evicted_by_a_login_is_told_first(void **state)
{
    (void)state;
    struct script t;
    log_in_at_the_cap(&t, COAT_MAX_EVICT);
    script_answer(&t, INTEGER(1));
    coat_life_tell(t.op, &t.store);
    assert_is_of_h(public_id);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_tells(&t, "created user:42 -; logged_in user:42 -; ");
    script_release(&t);
}

static void an_eviction_has_its_reason(void **state)
{
    (void)state;
    struct script t;
    log_in_at_the_cap(&t, COAT_MAX_EVICT);
    script_answer(&t, INTEGER(1));
    assert_tells(&t, "destroyed user:42 max_sessions; ");
    script_release(&t);
}

static void one_that_not_before_has_ended_leaves_its_place_for_that_reason(void **state)
{
    (void)state;
    struct script t;
    log_in_where(&t, COAT_MAX_REFUSE, NOW_MS + 1);
    script_answer(&t, INTEGER(1));
    assert_tells(&t, "destroyed user:42 not_before; ");
    script_release(&t);
}

/* ---- Refused -------------------------------------------------------------------------------- */

static void req_73_a_login_that_finds_no_place_is_refused(void **state)
{
    (void)state;
    struct script t;
    log_in_at_the_cap(&t, COAT_MAX_REFUSE);
    script_answer(&t, INTEGER(1)); /* the record that was made for it goes */
    script_done(&t, COAT_ETOOMANY);
    assert_tells(&t, "refused user:42 max_sessions; ");
    script_release(&t);
}

static void req_73_an_id_that_nobody_has_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char whose[COAT_PUBLIC_ID_LEN + 1];
    begin(&t, &rec);
    memcpy(whose, coat_session_public_id(t.s), sizeof whose);
    script_reload(&t, coat_session_id(t.s));
    script_replies(&t, 2, NIL, INTEGER(-2));
    script_done(&t, 0);
    assert_tells(&t, "refused - unknown; ");
    assert_string_equal(public_id, whose);
    script_release(&t);
}

static void a_logout_by_an_id_that_nobody_has_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    present(&t);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(0));
    script_done(&t, 0);
    assert_tells(&t, "refused - unknown; ");
    script_release(&t);
}

static void an_id_that_was_replaced_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    replace(&rec, 1000);
    load(&t, &rec);
    script_done(&t, 2);
    assert_tells(&t, "refused - replaced; ");
    script_release(&t);
}

static void an_id_that_is_dead_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    replace(&rec, 31000);
    load(&t, &rec);
    script_done(&t, 0);
    assert_tells(&t, "refused - dead; ");
    script_release(&t);
}

static void a_dead_id_logs_nobody_out_and_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(-1));
    script_done(&t, COAT_EREPLACED);
    assert_tells(&t, "refused - replaced; ");
    present(&t);
    script_start(&t, COAT_OP_DESTROY);
    script_answer(&t, INTEGER(-1));
    script_done(&t, 0);
    assert_tells(&t, "refused - dead; ");
    script_release(&t);
}

static void req_73_a_session_past_its_deadline_has_expired(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_logged_in(&t, &rec);
    t.now_ms += 43200000;
    load(&t, &rec);
    script_done(&t, 0);
    assert_tells(&t, "expired user:42 deadline; ");
    script_release(&t);
}

static void one_from_before_not_before_has_expired(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    t.options.not_before_ms = NOW_MS + 1;
    load(&t, &rec);
    script_done(&t, 0);
    assert_tells(&t, "expired - not_before; ");
    script_release(&t);
}

/* ---- Dropped, corrupt ----------------------------------------------------------------------- */

static void a_change_of_a_session_that_is_gone_is_dropped(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_logged_in(&t, &rec);
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    assert_tells(&t, "dropped user:42 gone; ");
    script_release(&t);
}

static void where_nothing_was_changed_nothing_is_dropped(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    t.now_ms += 1000000; /* a touch is due */
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "PEXPIRE", ANY, ANY, NULL);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    assert_tells(&t, "");
    script_release(&t);
}

static void a_change_by_an_id_that_was_replaced_is_dropped(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    rec = STORED_SAVED(&rec, "x", "", "\x80");
    replace(&rec, 1000);
    script_answer(&t, STORED(&rec));
    script_done(&t, COAT_EREPLACED);
    assert_tells(&t, "dropped - replaced; ");
    script_release(&t);
}

static void a_change_of_a_stale_session_is_dropped(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    replace(&rec, 1000);
    load(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    assert_tells(&t, "");
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    assert_tells(&t, "dropped - replaced; ");
    script_release(&t);
}

static void a_record_that_is_none_is_corrupt(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_reload(&t, coat_session_id(t.s));
    script_replies(&t, 2, BULK("what is this", 12), INTEGER(1800000));
    script_done(&t, COAT_ECORRUPT);
    assert_tells(&t, "corrupt - -; ");
    script_release(&t);
}

static void one_in_a_list_is_corrupt_too(void **state)
{
    (void)state;
    struct script t;
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_LIST, "user:42", NULL);
    script_answer(&t, BULK("what is this", 12));
    script_done(&t, 0);
    assert_tells(&t, "corrupt user:42 -; ");
    assert_is_of_h(public_id);
    coat_index_op_free(x);
}

/* ---- Nobody listens, nobody waits ----------------------------------------------------------- */

static void where_nobody_listens_nothing_is_kept(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    assert_null(t.op->life.first);
    script_release(&t);
}

static void what_an_abandoned_operation_has_noted_is_not_told_by_the_next(void **state)
{
    (void)state;
    struct script t;
    log_in_at_the_cap(&t, COAT_MAX_EVICT);
    script_answer(&t, INTEGER(1));
    assert_non_null(t.op->life.first);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_tells(&t, "created user:42 -; logged_in user:42 -; ");
    script_release(&t);
}

static void what_nobody_was_told_goes_with_its_operation(void **state)
{
    (void)state;
    struct script t;
    log_in_at_the_cap(&t, COAT_MAX_EVICT);
    script_answer(&t, INTEGER(1));
    assert_non_null(t.op->life.first);
    script_release(&t);
    struct coat_index_op *x = begin_on_index(&t, COAT_INDEX_END_ALL, "user:42", NULL);
    script_answer(&t, INTEGER(1));
    assert_non_null(t.op->life.first);
    coat_index_op_free(x);
}

static void what_is_no_kind_has_no_name(void **state)
{
    (void)state;
    for (int kind = 0; kind < COAT_LIFE_KINDS; kind++)
        assert_non_null(coat_life_name((enum coat_life_kind)kind));
    assert_null(coat_life_name(COAT_LIFE_KINDS));
    assert_null(coat_life_name((enum coat_life_kind) - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_73_a_first_save_creates),
        cmocka_unit_test(events_are_told_once),
        cmocka_unit_test(reads_and_saves_make_no_event),
        cmocka_unit_test(a_login_of_a_visitor_without_a_session_is_two_events),
        cmocka_unit_test(a_login_in_a_session_is_one_event),
        cmocka_unit_test(req_73_a_rotation_is_told),
        cmocka_unit_test(a_save_whose_reply_was_lost_is_told_once),
        cmocka_unit_test(a_renewal_is_offered_then_used),
        cmocka_unit_test(req_73_a_logout_destroys),
        cmocka_unit_test(a_logout_by_the_id_alone_knows_the_principal),
        cmocka_unit_test(a_logout_that_finds_it_gone_tells_nothing),
        cmocka_unit_test(one_that_does_so_after_a_lost_reply_has_destroyed_it),
        cmocka_unit_test(a_logout_that_replicas_did_not_confirm_has_happened),
        cmocka_unit_test(a_session_ended_by_the_list_is_told_by_its_public_id),
        cmocka_unit_test(each_session_ended_with_all_is_told),
        cmocka_unit_test(a_long_principal_is_told_whole),
        cmocka_unit_test(what_had_ended_before_is_not_told),
        cmocka_unit_test(a_session_evicted_by_a_login_is_told_first),
        cmocka_unit_test(an_eviction_has_its_reason),
        cmocka_unit_test(one_that_not_before_has_ended_leaves_its_place_for_that_reason),
        cmocka_unit_test(req_73_a_login_that_finds_no_place_is_refused),
        cmocka_unit_test(req_73_an_id_that_nobody_has_is_refused),
        cmocka_unit_test(a_logout_by_an_id_that_nobody_has_is_refused),
        cmocka_unit_test(an_id_that_was_replaced_is_refused),
        cmocka_unit_test(an_id_that_is_dead_is_refused),
        cmocka_unit_test(a_dead_id_logs_nobody_out_and_is_refused),
        cmocka_unit_test(req_73_a_session_past_its_deadline_has_expired),
        cmocka_unit_test(one_from_before_not_before_has_expired),
        cmocka_unit_test(a_change_of_a_session_that_is_gone_is_dropped),
        cmocka_unit_test(where_nothing_was_changed_nothing_is_dropped),
        cmocka_unit_test(a_change_by_an_id_that_was_replaced_is_dropped),
        cmocka_unit_test(a_change_of_a_stale_session_is_dropped),
        cmocka_unit_test(a_record_that_is_none_is_corrupt),
        cmocka_unit_test(one_in_a_list_is_corrupt_too),
        cmocka_unit_test(where_nobody_listens_nothing_is_kept),
        cmocka_unit_test(what_an_abandoned_operation_has_noted_is_not_told_by_the_next),
        cmocka_unit_test(what_nobody_was_told_goes_with_its_operation),
        cmocka_unit_test(what_is_no_kind_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
