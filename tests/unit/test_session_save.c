#include "script_driver.h"

/* The arguments of SAVE, as EVALSHA or EVAL. */
enum { SAVE_RECORD_KEY = 3, SAVE_LOCK_KEY, SAVE_REVISION, SAVE_RECORD, SAVE_TTL };
/* And of SET. */
enum { SET_KEY = 1, SET_RECORD };

static struct stored saved_record(const struct script *t)
{
    return stored_copy(script_arg(t, 0, SAVE_RECORD));
}

static uint64_t conflicts(const struct script *t)
{
    return coat_store_count(&t->store, COAT_COUNT_CONFLICT);
}

/* A stored session with a = "1" in which a = "2" was set and not saved. */
static void begin_changed(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    set_field(t->s, "a", "2");
}

/* ---- Create --------------------------------------------------------------------------------- */

static void req_72_a_new_session_without_a_change_is_not_stored(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    set_field(t.s, "a", "1");
    delete_field(t.s, "a");
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    assert_int_equal(coat_session_set_idle(t.s, 60, NULL), 0);
    assert_int_equal(coat_session_modified(t.s), 0);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    assert_null(coat_session_id(t.s));
    assert_int_equal(coat_session_is_new(t.s), 1);
    script_release(&t);
}

static void a_new_session_is_created_with_its_ttl(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    assert_null(coat_session_id(t.s));
    assert_null(coat_session_public_id(t.s));
    assert_int_equal(coat_session_created_ms(t.s), 0);
    assert_int_equal(coat_session_deadline_ms(t.s), 0);
    assert_int_equal(coat_session_idle_s(t.s), 1800);
    set_field(t.s, "a", "1");
    assert_int_equal(coat_session_modified(t.s), 1);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(script_commands(&t), 1);
    script_sent(&t, 0, "SET", ANY, ANY, "NX", "PX", "1800000", NULL);
    script_answer(&t, OK);
    script_done(&t, 0);
    assert_int_equal(strlen(coat_session_id(t.s)), COAT_SID_LEN);
    assert_int_equal(strlen(coat_session_public_id(t.s)), COAT_PUBLIC_ID_LEN);
    assert_int_equal(coat_session_created_ms(t.s), NOW_MS);
    assert_int_equal(coat_session_deadline_ms(t.s), NOW_MS + 43200000);
    assert_int_equal(coat_session_is_new(t.s), 0);
    assert_int_equal(coat_session_modified(t.s), 0);
    script_release(&t);
}

static void what_was_created_can_be_loaded_by_its_id(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_reload(&t, coat_session_id(t.s));
    script_replies(&t, 2, STORED(&rec), INTEGER(1800000));
    script_done(&t, 1);
    assert_field(t.s, "a", "1");
    script_release(&t);
}

/* The test's own memory of the keys that were sent. */
struct keys {
    char at[3][COAT_KEY_MAX];
};

static void remember_key(struct keys *keys, int n, const struct script *t)
{
    struct coat_arg key = script_arg(t, 0, SET_KEY);
    assert_true(key.len <= COAT_KEY_MAX);
    memset(keys->at[n], 0, COAT_KEY_MAX);
    memcpy(keys->at[n], key.bytes, key.len);
    for (int i = 0; i < n; i++)
        assert_memory_not_equal(keys->at[i], keys->at[n], COAT_KEY_MAX);
}

static void req_06_a_taken_id_is_replaced_three_times_in_all(void **state)
{
    (void)state;
    struct script t;
    struct keys keys;
    script_new(&t);
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    for (int i = 0; i < 3; i++) {
        remember_key(&keys, i, &t);
        script_answer(&t, NIL);
    }
    script_done(&t, COAT_EUNAVAILABLE);
    assert_string_equal(t.err.reason, "random");
    assert_null(coat_session_id(t.s));
    assert_int_equal(coat_session_modified(t.s), 1);
    script_release(&t);
}

static void an_id_whose_fate_is_unclear_is_never_sent_again(void **state)
{
    (void)state;
    for (int how = UNSENT; how <= MAYBE_SENT; how++) {
        struct script t;
        struct keys keys;
        script_new(&t);
        set_field(t.s, "a", "1");
        script_start(&t, COAT_OP_SAVE);
        remember_key(&keys, 0, &t);
        script_lost(&t, how);
        remember_key(&keys, 1, &t);
        script_lost(&t, how);
        remember_key(&keys, 2, &t);
        script_answer(&t, OK);
        script_done(&t, 0);
        assert_memory_equal(t.s->keys.record, keys.at[2], t.s->keys.len);
        script_release(&t);
    }
}

/* Nobody has the id, so nothing is uncertain. */
static void a_create_without_an_answer_has_the_drivers_reason(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT | FINAL);
    script_done(&t, COAT_EUNAVAILABLE);
    assert_string_equal(t.err.reason, "reset");

    script_start(&t, COAT_OP_SAVE);
    for (int i = 0; i < 3; i++)
        script_lost(&t, MAYBE_SENT);
    script_done(&t, COAT_EUNAVAILABLE);
    assert_null(coat_session_id(t.s));

    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, REFUSED("OOM command not allowed when used memory > 'maxmemory'."));
    script_done(&t, COAT_EUNAVAILABLE);
    assert_string_equal(t.err.reason, "OOM");
    script_release(&t);
}

static void a_foreign_reply_to_a_create_is_told(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(1));
    script_done(&t, COAT_EFOREIGN);
    script_release(&t);
}

/* ---- Save ----------------------------------------------------------------------------------- */

static void an_unchanged_session_sends_nothing(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    set_field(t.s, "a", "2");
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    script_release(&t);
}

static void a_change_is_one_compare_and_set(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, next;
    char record[COAT_KEY_MAX + 1] = {0}, lock[COAT_KEY_MAX + 1] = {0};
    begin_changed(&t, &rec);
    memcpy(record, t.s->keys.record, t.s->keys.len);
    memcpy(lock, t.s->keys.lock, t.s->keys.len);
    t.now_ms += 60000;
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(script_commands(&t), 1);
    script_sent(&t, 0, "EVALSHA", coat_script_save.sha1, "2", record, lock, ANY, ANY, "1800000",
                NULL);
    assert_int_equal(script_arg(&t, 0, SAVE_REVISION).len, COAT_REVISION_LEN);
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, stored_head(&rec)->revisions[0],
                        COAT_REVISION_LEN);
    next = saved_record(&t);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);

    assert_stored_field(&next, "a", "2");
    /* its own revision, then those of the record that it was computed from */
    assert_memory_not_equal(stored_head(&next)->revisions[0], stored_head(&rec)->revisions[0], 8);
    assert_memory_equal(stored_head(&next)->revisions[1], stored_head(&rec)->revisions[0], 32);
    /* and all else in the head as it was */
    memcpy(stored_head(&next)->revisions, stored_head(&rec)->revisions, 40);
    assert_memory_equal(stored_head(&next), stored_head(&rec), COAT_HEAD_LEN);
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(coat_session_merged(t.s), 0);
    script_release(&t);
}

static void the_next_save_builds_on_the_last(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, next;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    next = saved_record(&t);
    script_answer(&t, INTEGER(1));
    set_field(t.s, "a", "3");
    script_start(&t, COAT_OP_SAVE);
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, stored_head(&next)->revisions[0],
                        COAT_REVISION_LEN);
    script_release(&t);
}

static void a_script_that_the_server_lacks_is_sent_in_full(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, by_name;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    by_name = saved_record(&t);
    script_answer(&t, REFUSED("NOSCRIPT No matching script. Please use EVAL."));
    script_sent(&t, 0, "EVAL", coat_script_save.text, "2", ANY, ANY, ANY, ANY, "1800000", NULL);
    assert_memory_equal(script_arg(&t, 0, SAVE_RECORD).bytes, by_name.bytes, by_name.len);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

/* It was surely not carried out, so it makes no later answer doubtful. */
static void a_missing_script_is_no_repeat(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, REFUSED("NOSCRIPT No matching script. Please use EVAL."));
    theirs = STORED_SAVED(&rec, "abcde", "", "\x80"); /* base's revision is forgotten there */
    script_answer(&t, STORED(&theirs));
    assert_int_equal(t.step.kind, COAT_STEP_SEND);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void no_save_lengthens_the_deadline(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    t.now_ms = NOW_MS + 43200000 - 7000;
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, "7000", NULL);
    rec = saved_record(&t);
    assert_int_equal(coat_head_deadline_ms(stored_head(&rec)), NOW_MS + 43200000);
    script_release(&t);
}

static void an_expired_session_is_gone_without_a_command(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    t.now_ms = NOW_MS + 43200000;
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, COAT_EGONE);
    assert_int_equal(coat_session_modified(t.s), 1);
    script_release(&t);
}

static void req_24_a_session_that_is_gone_stays_gone(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    assert_int_equal(coat_session_modified(t.s), 1);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, ANY, NULL);
    script_release(&t);
}

static void another_idle_timeout_is_a_change(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    assert_int_equal(coat_session_set_idle(t.s, 1800, NULL), 0); /* the same */
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(coat_session_set_idle(t.s, 60, NULL), 0);
    assert_int_equal(coat_session_idle_s(t.s), 60);
    assert_int_equal(coat_session_modified(t.s), 1);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, "60000", NULL);
    rec = saved_record(&t);
    assert_int_equal(coat_head_idle_s(stored_head(&rec)), 60);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_int_equal(coat_session_idle_s(t.s), 60);
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(coat_session_set_idle(t.s, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, "43200000", NULL);
    script_release(&t);
}

static void req_23_idle_timeouts_out_of_range_are_refused(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    assert_int_equal(coat_session_set_idle(t.s, -1, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_set_idle(t.s, INT64_C(1) << 31, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_set_idle(t.s, INT64_MAX, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_set_idle(t.s, INT32_MAX, NULL), 0);
    assert_int_equal(coat_session_idle_s(t.s), INT32_MAX);
    script_release(&t);
}

static void req_23_the_longest_lifetimes_do_not_wrap(void **state)
{
    (void)state;
    struct script t;
    script_new(&t);
    t.options.lifetime_s = INT64_MAX;
    t.options.idle_s = 0;
    set_field(t.s, "a", "1");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_done(&t, 0);
    assert_int_equal(coat_session_deadline_ms(t.s), COAT_MS_MAX - 1);
    script_release(&t);
}

/* ---- Touch ---------------------------------------------------------------------------------- */

static void req_20_the_idle_clock_is_renewed_when_a_tenth_has_passed(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    t.now_ms = NOW_MS + 180000;
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0); /* just 90 % are left */
    t.now_ms++;
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "PEXPIRE", ANY, "1800000", NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    script_release(&t);
}

static void the_ttl_that_was_loaded_counts(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    script_reload(&t, coat_session_id(t.s));
    script_replies(&t, 2, STORED(&rec), INTEGER(1619999));
    script_done(&t, 1);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "PEXPIRE", ANY, "1800000", NULL);
    script_release(&t);
}

static void near_the_deadline_nothing_is_left_to_renew(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    t.now_ms = NOW_MS + 43200000 - 1000;
    coat_session_note_ttl(t.s, 1000, t.now_ms);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    t.now_ms += 1000;
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    script_release(&t);
}

static void a_touch_may_be_repeated(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    t.now_ms += 600000;
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    script_lost(&t, MAYBE_SENT);
    script_sent(&t, 0, "PEXPIRE", ANY, "1800000", NULL);
    script_lost(&t, MAYBE_SENT);
    script_done(&t, COAT_EUNAVAILABLE); /* and leaves nothing uncertain */
    script_release(&t);
}

static void a_touch_finds_that_the_session_is_gone(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    t.now_ms += 600000;
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_done(&t, COAT_EFOREIGN);
    script_release(&t);
}

/* ---- Merge ---------------------------------------------------------------------------------- */

/* a was "1" when it was read, is "2" here; they set b. */
#define THEIRS_SET_B                                                                               \
    "\x82\xa1"                                                                                     \
    "a\xa1"                                                                                        \
    "1\xa1"                                                                                        \
    "b\xa1"                                                                                        \
    "9"
#define THEIRS_SET_A                                                                               \
    "\x81\xa1"                                                                                     \
    "a\xa1"                                                                                        \
    "9"

static void their_record_is_merged_and_saved_upon(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, revision('x'), COAT_REVISION_LEN);
    merged = saved_record(&t);
    assert_stored_field(&merged, "a", "2");
    assert_stored_field(&merged, "b", "9");
    assert_memory_equal(stored_head(&merged)->revisions[1], stored_head(&theirs)->revisions[0], 32);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_int_equal(coat_session_merged(t.s), 1);
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_field(t.s, "a", "2");
    assert_field(t.s, "b", "9");
    assert_int_equal(conflicts(&t), 0);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(coat_session_merged(t.s), 0); /* it is of the last save only */
    script_release(&t);
}

/* Rule 6: what was merged once does not count as mine the next time. */
static void my_changes_alone_are_applied_at_each_try(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    theirs = STORED_SAVED(&theirs, "y", "",
                          "\x81\xa1"
                          "a\xa1"
                          "1"); /* b is deleted again */
    script_answer(&t, STORED(&theirs));
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, revision('y'), COAT_REVISION_LEN);
    merged = saved_record(&t);
    assert_stored_field(&merged, "a", "2");
    assert_stored_field(&merged, "b", NULL);
    script_release(&t);
}

static void a_conflict_is_counted_once_and_mine_wins(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_A);
    script_answer(&t, STORED(&theirs));
    theirs = STORED_SAVED(&theirs, "y", "", THEIRS_SET_A);
    script_answer(&t, STORED(&theirs));
    merged = saved_record(&t);
    assert_stored_field(&merged, "a", "2");
    assert_int_equal(conflicts(&t), 0);
    script_answer(&t, INTEGER(1));
    assert_int_equal(conflicts(&t), 1);
    script_release(&t);
}

static void on_conflict_theirs_leaves_theirs(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    t.options.on_conflict.always = COAT_CONFLICT_THEIRS;
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_A);
    script_answer(&t, STORED(&theirs));
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_field(t.s, "a", "9");
    script_release(&t);
}

static void on_conflict_raise_names_the_field_and_changes_nothing(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    t.options.on_conflict.always = COAT_CONFLICT_RAISE;
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_A);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_ECONFLICT);
    assert_string_equal(t.err.path, "['a']");
    assert_int_equal(conflicts(&t), 1);
    assert_int_equal(coat_session_merged(t.s), 0);
    assert_field(t.s, "a", "2");
    /* and it is still the first base that a repeat begins with */
    script_start(&t, COAT_OP_SAVE);
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, stored_head(&rec)->revisions[0],
                        COAT_REVISION_LEN);
    script_release(&t);
}

static void an_update_starts_over_on_what_another_has_stored(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    script_start(&t, COAT_OP_UPDATE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_ECONFLICT);
    assert_field(t.s, "a", "1");
    assert_field(t.s, "b", "9");
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(conflicts(&t), 0);

    set_field(t.s, "a", "3");
    script_start(&t, COAT_OP_UPDATE);
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, revision('x'), COAT_REVISION_LEN);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_field(t.s, "a", "3");
    script_release(&t);
}

static void an_update_that_always_loses_ends_with_the_timeout(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    for (int i = 0; i < 3; i++) {
        char revision[2] = {(char)('x' + i), 0};
        set_field(t.s, "a", "2");
        script_start(&t, COAT_OP_UPDATE);
        rec = STORED_SAVED(&rec, revision, "", THEIRS_SET_B);
        script_answer(&t, STORED(&rec));
        script_done(&t, i < 2 ? COAT_ECONFLICT : COAT_ETIMEOUT);
        t.monotonic_ms += 500;
    }
    /* the next one has all its time */
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_UPDATE);
    rec = STORED_SAVED(&rec, "p", "", THEIRS_SET_B);
    script_answer(&t, STORED(&rec));
    script_done(&t, COAT_ECONFLICT);
    script_release(&t);
}

static void an_update_knows_its_own_write_again(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, mine;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_UPDATE);
    mine = saved_record(&t);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, STORED(&mine));
    script_done(&t, 0);
    script_release(&t);
}

/* A stored session with a = "1" to which n = 2 was added and not saved. */
static void begin_added(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    assert_int_equal(coat_doc_add(coat_session_doc(t->s), "n", 1, 2, NULL), 0);
}

#define THEIRS_HAVE_5                                                                              \
    "\x81\xa1"                                                                                     \
    "n\x05"

static void assert_number(const struct script *t, unsigned char number)
{
    struct stored rec = saved_record(t);
    assert_int_equal(rec.bytes[rec.len - 1], number);
}

static void an_addition_meets_what_others_have_added_and_counts_once(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_added(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    assert_number(&t, 2);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_HAVE_5);
    script_answer(&t, STORED(&theirs));
    assert_number(&t, 7);
    theirs = STORED_SAVED(&theirs, "y", "", THEIRS_HAVE_5);
    script_answer(&t, STORED(&theirs)); /* it begins anew with theirs */
    assert_number(&t, 7);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_int_equal(conflicts(&t), 0);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    script_release(&t);
}

static void after_a_doubtful_save_nothing_is_added_again(void **state)
{
    (void)state;
    for (int abandoned = 0; abandoned < 2; abandoned++) {
        struct script t;
        struct stored rec;
        begin_added(&t, &rec);
        script_start(&t, COAT_OP_SAVE);
        if (!abandoned) {
            script_lost(&t, MAYBE_SENT | FINAL);
            script_done(&t, COAT_EUNCERTAIN);
        }
        script_start(&t, COAT_OP_SAVE);
        script_done(&t, COAT_EUNCERTAIN);
        assert_non_null(strstr(t.err.text, "twice"));

        /* an assignment may be repeated */
        set_field(t.s, "n", "5");
        script_start(&t, COAT_OP_SAVE);
        script_answer(&t, INTEGER(1));
        script_done(&t, 0);
        assert_int_equal(coat_doc_add(coat_session_doc(t.s), "m", 1, 2, NULL), 0);
        script_start(&t, COAT_OP_SAVE);
        script_answer(&t, INTEGER(1));
        script_done(&t, 0);
        script_release(&t);
    }
}

static void an_addition_that_surely_did_not_land_may_be_repeated(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_added(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, UNSENT | FINAL);
    script_done(&t, COAT_EUNAVAILABLE);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void their_idle_timeout_stays_unless_i_set_mine(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    coat_head_set_idle_s(stored_head(&theirs), 300);
    script_answer(&t, STORED(&theirs));
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, "300000", NULL);
    merged = saved_record(&t);
    assert_int_equal(coat_head_idle_s(stored_head(&merged)), 300);
    script_release(&t);
}

static void a_merge_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    script_create(&t, &rec);
    set_field(t.s, "c", "3");
    t.options.limits.max_fields = 2;
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_ELIMIT);
    assert_string_equal(t.err.reason, "max_fields");
    assert_field(t.s, "b", NULL);
    script_release(&t);
}

static void a_record_that_was_damaged_meanwhile_is_left_alone(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, BULK("nonsense", 8));
    script_done(&t, COAT_ECORRUPT);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_CORRUPT), 1);
    script_start(&t, COAT_OP_SAVE);
    rec.bytes[1] = 2;
    script_answer(&t, STORED(&rec));
    script_done(&t, COAT_EFORMAT);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, REFUSED("WRONGTYPE Operation against a key"));
    script_done(&t, COAT_ECORRUPT);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_CORRUPT), 2);
    script_release(&t);
}

static void replies_that_no_save_gets_are_foreign(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    struct coat_reply replies[] = {OK, NIL, INTEGER(2), INTEGER(-1), STORED(&rec)};
    stored_head(&rec)->tag[0] ^= 1;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        script_start(&t, COAT_OP_SAVE);
        script_answer(&t, replies[i]);
        script_done(&t, COAT_EFOREIGN);
    }
    script_release(&t);
}

/* ---- Lost replies --------------------------------------------------------------------------- */

static void a_repeat_is_the_same_command(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, first;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    first = saved_record(&t);
    t.now_ms += 100;
    script_lost(&t, MAYBE_SENT);
    script_sent(&t, 0, "EVALSHA", ANY, ANY, ANY, ANY, ANY, ANY, "1800000", NULL);
    assert_int_equal(script_arg(&t, 0, SAVE_RECORD).len, first.len);
    assert_memory_equal(script_arg(&t, 0, SAVE_RECORD).bytes, first.bytes, first.len);
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, stored_head(&rec)->revisions[0],
                        COAT_REVISION_LEN);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

static void three_sends_are_enough(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    for (int i = 0; i < 3; i++)
        script_lost(&t, MAYBE_SENT);
    script_done(&t, COAT_EUNCERTAIN);
    assert_non_null(strstr(t.err.text, "connection reset"));
    assert_int_equal(coat_session_modified(t.s), 1);
    script_release(&t);
}

static void no_answer_at_all_is_uncertain_if_it_may_have_been_sent(void **state)
{
    (void)state;
    static const struct {
        int first, last, rc;
    } ROW[] = {
        {-1, MAYBE_SENT, COAT_EUNCERTAIN},     {-1, UNSENT, COAT_EUNAVAILABLE},
        {UNSENT, UNSENT, COAT_EUNAVAILABLE},   {MAYBE_SENT, UNSENT, COAT_EUNCERTAIN},
        {UNSENT, MAYBE_SENT, COAT_EUNCERTAIN},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct script t;
        struct stored rec;
        begin_changed(&t, &rec);
        script_start(&t, COAT_OP_SAVE);
        if (ROW[i].first >= 0)
            script_lost(&t, ROW[i].first);
        script_lost(&t, ROW[i].last | FINAL);
        script_done(&t, ROW[i].rc);
        script_release(&t);
    }
}

static void a_repeat_that_finds_my_save_is_done(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, mine;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    mine = saved_record(&t);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, STORED(&mine));
    script_done(&t, 0);
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(coat_session_merged(t.s), 0);
    script_release(&t);
}

static void my_save_is_known_under_four_others(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, mine, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    mine = saved_record(&t);
    script_lost(&t, MAYBE_SENT);
    theirs = STORED_SAVED(&mine, "wxyz", "", "\x80");
    script_answer(&t, STORED(&theirs));
    script_done(&t, 0);

    /* what they did comes with the next save */
    set_field(t.s, "c", "3");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, STORED(&theirs));
    struct stored merged = saved_record(&t);
    assert_stored_field(&merged, "a", NULL);
    assert_stored_field(&merged, "c", "3");
    script_release(&t);
}

static void a_repeat_that_finds_the_base_below_did_not_land_and_merges(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    theirs = STORED_SAVED(&rec, "wxyz", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    assert_memory_equal(script_arg(&t, 0, SAVE_REVISION).bytes, revision('z'), COAT_REVISION_LEN);
    /* a new attempt: that the last one was repeated does not matter any more */
    theirs = STORED_SAVED(&rec, "fghij", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    assert_int_equal(t.step.kind, COAT_STEP_SEND);
    script_release(&t);
}

static void a_repeat_that_finds_neither_is_uncertain(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    theirs = STORED_SAVED(&rec, "vwxyz", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_EUNCERTAIN);
    assert_int_equal(coat_session_modified(t.s), 1);
    assert_field(t.s, "b", NULL);
    script_release(&t);
}

/* It was surely not sent, so it is no repeat. */
static void an_unsent_command_makes_nothing_uncertain(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, UNSENT);
    theirs = STORED_SAVED(&rec, "vwxyz", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    assert_int_equal(t.step.kind, COAT_STEP_SEND);
    script_release(&t);
}

static void an_earlier_attempt_of_mine_is_known_too(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, first, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    first = saved_record(&t);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    theirs = STORED_SAVED(&first, "y", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    script_done(&t, 0);
    script_release(&t);
}

static void a_refused_repeat_is_uncertain(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, REFUSED("READONLY You can't write against a read only replica."));
    script_done(&t, COAT_EUNCERTAIN);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, UNSENT);
    script_answer(&t, REFUSED("READONLY You can't write against a read only replica."));
    script_done(&t, COAT_EUNAVAILABLE);
    assert_string_equal(t.err.reason, "READONLY");
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, BULK("nonsense", 8));
    script_done(&t, COAT_EUNCERTAIN);
    script_release(&t);
}

static void a_repeat_that_finds_nothing_is_gone(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    script_lost(&t, MAYBE_SENT);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    script_release(&t);
}

/* ---- Rotation and login --------------------------------------------------------------------- */

static void req_12_rotation_changes_the_id_in_one_command(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, next;
    char old[COAT_SID_LEN + 1];
    script_create(&t, &rec);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    t.now_ms += 1000;
    assert_int_equal(coat_session_rotate(t.s, NULL), 0);
    assert_int_equal(coat_session_modified(t.s), 1);
    assert_string_equal(coat_session_id(t.s), old);
    script_start(&t, COAT_OP_SAVE);
    assert_int_equal(script_commands(&t), 1);
    next = saved_record(&t);
    assert_string_equal(coat_session_id(t.s), old);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_string_not_equal(coat_session_id(t.s), old);
    assert_memory_equal(coat_session_id(t.s), old, 21); /* the selector */
    assert_int_equal(coat_session_modified(t.s), 0);
    assert_int_equal(coat_session_deadline_ms(t.s), NOW_MS + 43200000); /* req 15 */

    script_reload(&t, coat_session_id(t.s));
    script_replies(&t, 2, STORED(&next), INTEGER(1800000));
    script_done(&t, 1);
    assert_field(t.s, "a", "1");
    script_reload(&t, old);
    script_replies(&t, 2, STORED(&next), INTEGER(1800000));
    script_done(&t, 2);
    script_release(&t);
}

static void req_11_a_login_writes_principal_id_and_lifetime_at_once(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, next;
    struct coat_record parsed;
    char old[COAT_SID_LEN + 1];
    script_create(&t, &rec);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    t.now_ms += 3600000;
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    assert_string_equal(coat_session_principal(t.s), "user:42");
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    next = saved_record(&t);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_string_not_equal(coat_session_id(t.s), old);
    assert_string_equal(coat_session_principal(t.s), "user:42");
    assert_int_equal(coat_session_deadline_ms(t.s), t.now_ms + 43200000);
    assert_int_equal(coat_session_created_ms(t.s), NOW_MS);
    assert_int_equal(coat_record_parse(&parsed, next.bytes, next.len, NULL), 0);
    assert_int_equal(parsed.principal_len, 7);
    script_release(&t);
}

static void req_16_a_login_carries_only_what_is_named(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    const char *const carry[] = {"cart", "unknown"};
    script_create(&t, &rec);
    set_field(t.s, "cart", "7");
    assert_int_equal(coat_session_login(t.s, "user:42", carry, 2, NULL), 0);
    assert_field(t.s, "a", NULL);
    assert_field(t.s, "cart", "7");
    set_field(t.s, "after", "1");
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    merged = saved_record(&t);
    assert_stored_field(&merged, "a", NULL);
    assert_stored_field(&merged, "b", NULL); /* theirs is not carried either */
    assert_stored_field(&merged, "cart", "7");
    assert_stored_field(&merged, "after", "1");
    script_release(&t);
}

static void a_second_login_before_the_save_carries_no_more_than_the_first(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    const char *const first[] = {"a"}, *const second[] = {"a", "b"};
    script_create(&t, &rec);
    assert_int_equal(coat_session_login(t.s, "user:42", first, 1, NULL), 0);
    assert_int_equal(coat_session_login(t.s, "user:42", second, 2, NULL), 0);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    merged = saved_record(&t);
    assert_stored_field(&merged, "a", "1");
    assert_stored_field(&merged, "b", NULL);
    script_release(&t);
}

static void a_login_after_the_first_one_merges_as_ever(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs, merged;
    const char *const carry[] = {"a"};
    script_create(&t, &rec);
    assert_int_equal(coat_session_login(t.s, "u", carry, 1, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    rec = saved_record(&t);
    script_answer(&t, INTEGER(1));
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "u", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    merged = saved_record(&t);
    assert_stored_field(&merged, "b", "9"); /* the carry rule was for one save */
    script_release(&t);
}

static void a_login_without_a_session_is_a_create_with_the_principal(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    struct coat_record parsed;
    script_new(&t);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_modified(t.s), 1);
    script_start(&t, COAT_OP_SAVE);
    script_sent(&t, 0, "SET", ANY, ANY, "NX", "PX", "1800000", NULL);
    rec = stored_copy(script_arg(&t, 0, SET_RECORD));
    assert_int_equal(coat_record_parse(&parsed, rec.bytes, rec.len, NULL), 0);
    assert_memory_equal(parsed.principal, "user:42", 7);
    script_answer(&t, OK);
    assert_null(coat_session_id(t.s)); /* it is not in the index yet */
    script_entered(&t);
    script_done(&t, 0);
    assert_string_equal(coat_session_principal(t.s), "user:42");
    script_release(&t);
}

static void a_login_on_a_session_that_is_gone_begins_another(void **state)
{
    (void)state;
    for (int expired = 0; expired <= 1; expired++) {
        struct script t;
        struct stored rec;
        char old[COAT_SID_LEN + 1];
        script_create(&t, &rec);
        snprintf(old, sizeof old, "%s", coat_session_id(t.s));
        assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
        if (expired)
            t.now_ms = NOW_MS + 43200000;
        script_start(&t, COAT_OP_SAVE);
        if (!expired) {
            script_entered(&t);
            script_answer(&t, INTEGER(0));
        }
        script_sent(&t, 0, "SET", ANY, ANY, "NX", "PX", "1800000", NULL);
        rec = stored_copy(script_arg(&t, 0, SET_RECORD));
        assert_stored_field(&rec, "a", "1");
        script_answer(&t, OK);
        script_entered(&t);
        script_done(&t, 0);
        assert_memory_not_equal(coat_session_id(t.s), old, 21); /* another selector */
        assert_int_equal(coat_session_created_ms(t.s), t.now_ms);
        script_release(&t);
    }
}

static void the_same_principal_may_log_in_again(void **state)
{
    (void)state;
    struct script t;
    char old[COAT_SID_LEN + 1];
    script_new(&t);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_entered(&t);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    t.now_ms += 1000;
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_string_not_equal(coat_session_id(t.s), old);
    assert_int_equal(coat_session_deadline_ms(t.s), t.now_ms + 43200000);
    script_release(&t);
}

static void another_principal_is_refused_and_nothing_happens(void **state)
{
    (void)state;
    struct script t;
    const char *const carry[] = {"b"};
    script_new(&t);
    set_field(t.s, "a", "1");
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_login(t.s, "user:7", NULL, 0, NULL), COAT_EUSAGE);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, OK);
    script_entered(&t);
    assert_int_equal(coat_session_login(t.s, "user:7", carry, 1, NULL), COAT_EUSAGE);
    assert_field(t.s, "a", "1");
    assert_int_equal(coat_session_modified(t.s), 0);
    script_release(&t);
}

static void principals_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct script t;
    char longer[257];
    memset(longer, 'p', 256);
    longer[256] = 0;
    script_new(&t);
    assert_int_equal(coat_session_login(t.s, "", NULL, 0, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_login(t.s, longer, NULL, 0, NULL), COAT_EUSAGE);
    assert_int_equal(coat_session_login(t.s, "\xff", NULL, 0, NULL), COAT_EUSAGE);
    longer[255] = 0;
    assert_int_equal(coat_session_login(t.s, longer, NULL, 0, NULL), 0);
    script_release(&t);
}

/* ---- Replaced ------------------------------------------------------------------------------- */

static void req_24_changes_of_a_dead_id_are_dropped_and_told(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "user:42", THEIRS_SET_B);
    coat_head_rotate(stored_head(&theirs), (const unsigned char *)"sixteen bytes of",
                     NOW_MS - 3600000); /* however long ago */
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_EREPLACED);
    assert_field(t.s, "a", "2");
    script_release(&t);
}

static void a_login_on_a_replaced_session_is_told_too(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    char old[COAT_SID_LEN + 1];
    script_create(&t, &rec);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_entered(&t);
    theirs = STORED_SAVED(&rec, "x", "user:42", THEIRS_SET_B);
    coat_head_rotate(stored_head(&theirs), (const unsigned char *)"sixteen bytes of", NOW_MS);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_EREPLACED);
    assert_string_equal(coat_session_id(t.s), old);
    script_release(&t);
}

static void a_record_of_another_principal_is_gone(void **state)
{
    (void)state;
    struct script t;
    struct stored rec, theirs;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "user:7", THEIRS_SET_B);
    script_answer(&t, STORED(&theirs));
    script_done(&t, COAT_EGONE);
    script_release(&t);
}

/* A renewal does not disturb requests in flight: offered and in its grace, the other id saves. */
static void an_id_that_still_opens_the_record_saves(void **state)
{
    (void)state;
    static const unsigned char OFFERED[] = {0xc0, 0, 0, 0, 0, 0, 0, 1};
    struct script t;
    struct stored rec, theirs, merged;
    begin_changed(&t, &rec);
    script_start(&t, COAT_OP_SAVE);
    theirs = STORED_SAVED(&rec, "x", "", THEIRS_SET_B);
    coat_head_rotate(stored_head(&theirs), (const unsigned char *)"sixteen bytes of", NOW_MS);
    memcpy(stored_head(&theirs)->until, OFFERED, sizeof OFFERED);
    script_answer(&t, STORED(&theirs));
    merged = saved_record(&t);
    assert_memory_equal(stored_head(&merged)->current, stored_head(&theirs)->current, 40);
    script_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_72_a_new_session_without_a_change_is_not_stored),
        cmocka_unit_test(a_new_session_is_created_with_its_ttl),
        cmocka_unit_test(what_was_created_can_be_loaded_by_its_id),
        cmocka_unit_test(req_06_a_taken_id_is_replaced_three_times_in_all),
        cmocka_unit_test(an_id_whose_fate_is_unclear_is_never_sent_again),
        cmocka_unit_test(a_create_without_an_answer_has_the_drivers_reason),
        cmocka_unit_test(a_foreign_reply_to_a_create_is_told),
        cmocka_unit_test(an_unchanged_session_sends_nothing),
        cmocka_unit_test(a_change_is_one_compare_and_set),
        cmocka_unit_test(the_next_save_builds_on_the_last),
        cmocka_unit_test(a_script_that_the_server_lacks_is_sent_in_full),
        cmocka_unit_test(a_missing_script_is_no_repeat),
        cmocka_unit_test(no_save_lengthens_the_deadline),
        cmocka_unit_test(an_expired_session_is_gone_without_a_command),
        cmocka_unit_test(req_24_a_session_that_is_gone_stays_gone),
        cmocka_unit_test(another_idle_timeout_is_a_change),
        cmocka_unit_test(req_23_idle_timeouts_out_of_range_are_refused),
        cmocka_unit_test(req_23_the_longest_lifetimes_do_not_wrap),
        cmocka_unit_test(req_20_the_idle_clock_is_renewed_when_a_tenth_has_passed),
        cmocka_unit_test(the_ttl_that_was_loaded_counts),
        cmocka_unit_test(near_the_deadline_nothing_is_left_to_renew),
        cmocka_unit_test(a_touch_may_be_repeated),
        cmocka_unit_test(a_touch_finds_that_the_session_is_gone),
        cmocka_unit_test(their_record_is_merged_and_saved_upon),
        cmocka_unit_test(my_changes_alone_are_applied_at_each_try),
        cmocka_unit_test(a_conflict_is_counted_once_and_mine_wins),
        cmocka_unit_test(an_addition_meets_what_others_have_added_and_counts_once),
        cmocka_unit_test(after_a_doubtful_save_nothing_is_added_again),
        cmocka_unit_test(an_addition_that_surely_did_not_land_may_be_repeated),
        cmocka_unit_test(an_update_starts_over_on_what_another_has_stored),
        cmocka_unit_test(an_update_that_always_loses_ends_with_the_timeout),
        cmocka_unit_test(an_update_knows_its_own_write_again),
        cmocka_unit_test(on_conflict_theirs_leaves_theirs),
        cmocka_unit_test(on_conflict_raise_names_the_field_and_changes_nothing),
        cmocka_unit_test(their_idle_timeout_stays_unless_i_set_mine),
        cmocka_unit_test(a_merge_over_the_limit_is_refused),
        cmocka_unit_test(a_record_that_was_damaged_meanwhile_is_left_alone),
        cmocka_unit_test(replies_that_no_save_gets_are_foreign),
        cmocka_unit_test(a_repeat_is_the_same_command),
        cmocka_unit_test(three_sends_are_enough),
        cmocka_unit_test(no_answer_at_all_is_uncertain_if_it_may_have_been_sent),
        cmocka_unit_test(a_repeat_that_finds_my_save_is_done),
        cmocka_unit_test(my_save_is_known_under_four_others),
        cmocka_unit_test(a_repeat_that_finds_the_base_below_did_not_land_and_merges),
        cmocka_unit_test(a_repeat_that_finds_neither_is_uncertain),
        cmocka_unit_test(an_unsent_command_makes_nothing_uncertain),
        cmocka_unit_test(an_earlier_attempt_of_mine_is_known_too),
        cmocka_unit_test(a_refused_repeat_is_uncertain),
        cmocka_unit_test(a_repeat_that_finds_nothing_is_gone),
        cmocka_unit_test(req_12_rotation_changes_the_id_in_one_command),
        cmocka_unit_test(req_11_a_login_writes_principal_id_and_lifetime_at_once),
        cmocka_unit_test(req_16_a_login_carries_only_what_is_named),
        cmocka_unit_test(a_second_login_before_the_save_carries_no_more_than_the_first),
        cmocka_unit_test(a_login_after_the_first_one_merges_as_ever),
        cmocka_unit_test(a_login_without_a_session_is_a_create_with_the_principal),
        cmocka_unit_test(a_login_on_a_session_that_is_gone_begins_another),
        cmocka_unit_test(the_same_principal_may_log_in_again),
        cmocka_unit_test(another_principal_is_refused_and_nothing_happens),
        cmocka_unit_test(principals_that_cannot_be_are_refused),
        cmocka_unit_test(req_24_changes_of_a_dead_id_are_dropped_and_told),
        cmocka_unit_test(a_login_on_a_replaced_session_is_told_too),
        cmocka_unit_test(a_record_of_another_principal_is_gone),
        cmocka_unit_test(an_id_that_still_opens_the_record_saves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
