/* A login's place in the index of its principal: entered, made, refused. */
#include "script_driver.h"

#include "sid.h"

/* The arguments of ENTER. */
enum { ENTER_KEY = 3, ENTER_MEMBER, ENTER_SCORE, ENTER_CAP, ENTER_OUTDATED };

/* Records whose `h` the tests choose. */
static const char *const H[] = {"AAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBB",
                                "CCCCCCCCCCCCCCCCCCCCCCCC", "DDDDDDDDDDDDDDDDDDDDDDDD"};
static const char NOT_AN_H[] = "somebody wrote this";

#define MINE   probed(NOW_MS, "\xa7user:42", 8)
#define OTHERS probed(NOW_MS, "\xa6user:7\x80", 8)
#define NOBODY probed(NOW_MS, "\xc0\x80", 2)
#define GONE   BULK("", 0)

/* The beginning of a record, as far as it was asked for. */
static struct coat_reply probed(int64_t created_ms, const char *principal, size_t len)
{
    static unsigned char bytes[8][COAT_HEAD_LEN + 8];
    static size_t next;
    unsigned char *to = bytes[next++ % 8];
    struct coat_head head;
    coat_head_init(&head, (const unsigned char *)"the tag.",
                   (const unsigned char *)"sixteen bytes of", created_ms, NOW_MS + 43200000, 1800);
    coat_head_revise(&head, revision('r'));
    memcpy(to, &head, COAT_HEAD_LEN);
    memcpy(to + COAT_HEAD_LEN, principal, len);
    return BULK((const char *)to, COAT_HEAD_LEN + len);
}

/* The index as ENTER answers it where it is full. */
static struct coat_reply full(size_t count)
{
    static struct coat_reply names[4];
    for (size_t i = 0; i < count; i++)
        names[i] = BULK(H[i], COAT_H_LEN);
    return (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = names, .count = count};
}

static void cap(struct script *t, int64_t max_sessions, enum coat_on_max on_max)
{
    t->options.max_sessions = max_sessions;
    t->options.on_max = on_max;
}

/* A login in a stored session, about to be sent. */
static void begin(struct script *t, struct stored *rec)
{
    script_create(t, rec);
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
    script_start(t, COAT_OP_SAVE);
}

/* A login without a session, whose record was made. */
static void begin_fresh(struct script *t)
{
    script_new(t);
    assert_int_equal(coat_session_login(t->s, "user:42", NULL, 0, NULL), 0);
}

static void create_fresh(struct script *t)
{
    script_start(t, COAT_OP_SAVE);
    script_sent(t, 0, "SET", ANY, ANY, "NX", "PX", ANY, NULL);
    script_answer(t, OK);
}

static void assert_enters(const struct script *t, const char *cap_text, size_t outdated)
{
    assert_int_equal(script_commands(t), 1);
    assert_int_equal(t->step.commands->count, ENTER_OUTDATED + outdated);
    assert_memory_equal(script_arg(t, 0, 1).bytes, coat_script_enter.sha1, 40);
    assert_int_equal(script_arg(t, 0, ENTER_CAP).len, strlen(cap_text));
    assert_memory_equal(script_arg(t, 0, ENTER_CAP).bytes, cap_text, strlen(cap_text));
}

static void assert_names(const struct script *t, size_t arg, const char *name)
{
    assert_int_equal(script_arg(t, 0, arg).len, strlen(name));
    assert_memory_equal(script_arg(t, 0, arg).bytes, name, strlen(name));
}

static void assert_record_key(const struct script *t, size_t command, size_t arg, const char *h)
{
    char key[COAT_KEY_MAX + 1];
    int len = snprintf(key, sizeof key, PREFIX "s:{%s}", h);
    assert_int_equal(script_arg(t, command, arg).len, len);
    assert_memory_equal(script_arg(t, command, arg).bytes, key, (size_t)len);
    assert_memory_equal(t->step.commands[command].key.bytes, key, (size_t)len);
}

static void assert_probes(const struct script *t, size_t count)
{
    assert_int_equal(script_commands(t), count);
    for (size_t i = 0; i < count; i++) {
        script_sent(t, i, "GETRANGE", ANY, "0", "126", NULL);
        assert_record_key(t, i, 1, H[i]);
    }
}

static void assert_ends(const struct script *t, size_t count)
{
    assert_int_equal(script_commands(t), count);
    for (size_t i = 0; i < count; i++) {
        script_sent(t, i, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, "\xa7user:42", NULL);
        assert_record_key(t, i, 3, H[i]);
    }
}

/* ---- Entering ------------------------------------------------------------------------------- */

static void a_login_enters_the_index_before_the_record_has_the_principal(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    struct coat_index_key key;
    begin(&t, &rec);
    assert_int_equal(coat_index_key_make(&key, PREFIX, "user:42", NULL), 0);
    assert_enters(&t, "0", 0);
    assert_int_equal(script_arg(&t, 0, ENTER_KEY).len, key.len);
    assert_memory_equal(script_arg(&t, 0, ENTER_KEY).bytes, key.bytes, key.len);
    assert_memory_equal(t.step.commands->key.bytes, key.bytes, key.len);
    assert_int_equal(script_arg(&t, 0, ENTER_MEMBER).len, COAT_H_LEN);
    assert_memory_equal(script_arg(&t, 0, ENTER_MEMBER).bytes, coat_keys_member(&t.s->keys),
                        COAT_H_LEN);
    assert_names(&t, ENTER_SCORE, "1700043320000"); /* the deadline and twice the bound */
    script_answer(&t, ENTERED);
    script_sent(&t, 0, "EVALSHA", coat_script_save.sha1, "2", ANY, ANY, ANY, ANY, ANY, NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    script_release(&t);
}

/* A broken proxy may say it again, a moment late. */
static void a_reply_about_the_index_is_none_about_the_record(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_entered(&t);
    script_answer(&t, ENTERED);
    assert_int_equal(t.step.kind, COAT_STEP_DONE);
    assert_int_equal(t.step.rc, COAT_EFOREIGN);
    assert_int_equal(t.step.close, 1);
    script_release(&t);
}

/* However long it takes: the index must not forget the session before its deadline. */
static void the_deadline_of_the_record_is_the_one_that_was_entered(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    t.now_ms += 5000;
    script_entered(&t);
    t.now_ms += 5000;
    script_answer(&t, INTEGER(1));
    script_done(&t, 0);
    assert_int_equal(coat_session_deadline_ms(t.s), NOW_MS + 43200000);
    script_release(&t);
}

static void without_an_answer_nothing_else_is_sent(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    begin(&t, &rec);
    script_lost(&t, MAYBE_SENT);
    assert_enters(&t, "0", 0);
    script_lost(&t, MAYBE_SENT | FINAL);
    script_done(&t, COAT_EUNAVAILABLE); /* not uncertain: the session is as it was */
    assert_int_equal(coat_session_modified(t.s), 1);
    script_release(&t);
}

static void replies_that_enter_never_gives_are_foreign(void **state)
{
    (void)state;
    const struct coat_reply odd[] = {OK, NIL, INTEGER(0), INTEGER(1), BULK("x", 1), full(1)};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct script t;
        struct stored rec;
        begin(&t, &rec);
        script_answer(&t, odd[i]);
        script_done(&t, COAT_EFOREIGN);
        script_release(&t);
    }
}

/* Nothing more may be sent on that connection, so the new record stays until its time is over. */
static void a_foreign_reply_to_a_login_without_a_session_ends_it(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    create_fresh(&t);
    script_answer(&t, NIL);
    script_done(&t, COAT_EFOREIGN);
    script_release(&t);
}

static void an_index_below_the_cap_is_not_full(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    script_create(&t, &rec);
    cap(&t, 3, COAT_MAX_REFUSE);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, full(2));
    script_done(&t, COAT_EFOREIGN);
    script_release(&t);
}

/* ---- Making room ---------------------------------------------------------------------------- */

static void sessions_that_ended_or_are_others_make_room(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    cap(&t, 4, COAT_MAX_REFUSE);
    create_fresh(&t);
    script_answer(&t, full(4));
    assert_probes(&t, 4);
    script_answer_all(&t, (struct coat_reply[]){MINE, GONE, OTHERS, NOBODY});
    assert_enters(&t, "4", 2);
    assert_names(&t, ENTER_OUTDATED, H[1]);
    assert_names(&t, ENTER_OUTDATED + 1, H[2]);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_non_null(coat_session_id(t.s));
    script_release(&t);
}

static void what_is_no_member_of_ours_makes_room(void **state)
{
    (void)state;
    struct script t;
    struct coat_reply names = full(2);
    names.items[0] = BULK(NOT_AN_H, strlen(NOT_AN_H));
    begin_fresh(&t);
    cap(&t, 2, COAT_MAX_REFUSE);
    create_fresh(&t);
    script_answer(&t, names);
    assert_int_equal(script_commands(&t), 1);
    assert_record_key(&t, 0, 1, H[1]);
    script_answer(&t, MINE);
    assert_enters(&t, "2", 1);
    assert_names(&t, ENTER_OUTDATED, NOT_AN_H);
    script_release(&t);
}

static void what_is_older_than_not_before_is_ended_first_and_then_makes_room(void **state)
{
    (void)state;
    struct script t;
    struct coat_reply old = probed(NOW_MS - 2, "\xa7user:42", 8);
    begin_fresh(&t);
    t.options.not_before_ms = NOW_MS - 1;
    cap(&t, 3, COAT_MAX_REFUSE);
    create_fresh(&t);
    script_answer(&t, full(4));
    script_answer_all(&t, (struct coat_reply[]){old, GONE, MINE, probed(0, "\xc0\x80", 2)});
    assert_int_equal(script_commands(&t), 2);
    assert_record_key(&t, 0, 3, H[0]);
    assert_record_key(&t, 1, 3, H[3]);
    script_answer_all(&t, (struct coat_reply[]){INTEGER(1), INTEGER(1)});
    assert_enters(&t, "3", 3);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_EVICTED), 0);
    script_release(&t);
}

static void the_first_to_end_is_evicted_before_it_leaves_the_index(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    cap(&t, 3, COAT_MAX_EVICT);
    create_fresh(&t);
    script_answer(&t, full(4)); /* there was a higher cap before */
    script_answer_all(&t, (struct coat_reply[]){MINE, MINE, MINE, NOBODY});
    assert_ends(&t, 2);
    script_answer_all(&t, (struct coat_reply[]){INTEGER(1), INTEGER(0)});
    assert_enters(&t, "3", 2);
    assert_names(&t, ENTER_OUTDATED, H[0]);
    assert_names(&t, ENTER_OUTDATED + 1, H[1]);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_int_equal(coat_store_count(&t.store, COAT_COUNT_EVICTED), 1);
    script_release(&t);
}

static void replies_that_probes_and_ends_never_get_are_foreign(void **state)
{
    (void)state;
    const struct coat_reply odd[] = {NIL, OK, INTEGER(1), full(1)};
    const struct coat_reply odd_end[] = {NIL, OK, INTEGER(3), INTEGER(-2), full(1)};
    for (size_t i = 0; i < sizeof odd / sizeof *odd + sizeof odd_end / sizeof *odd_end; i++) {
        int to_end = i >= sizeof odd / sizeof *odd;
        struct script t;
        struct stored rec;
        script_create(&t, &rec);
        cap(&t, 1, COAT_MAX_EVICT);
        assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
        script_start(&t, COAT_OP_SAVE);
        script_answer(&t, full(1));
        if (to_end)
            script_answer(&t, MINE);
        script_answer(&t, to_end ? odd_end[i - sizeof odd / sizeof *odd] : odd[i]);
        script_done(&t, COAT_EFOREIGN);
        script_release(&t);
    }
}

/* An index that is larger than a pipeline: piece by piece. */
static void a_large_index_is_probed_in_pieces(void **state)
{
    (void)state;
    enum { MEMBERS = COAT_INDEX_PIECE + 2 };
    static char names[MEMBERS][COAT_H_LEN + 1];
    static struct coat_reply items[MEMBERS], replies[MEMBERS];
    struct script t;
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(names[i], sizeof names[i], "%024d", i);
        items[i] = BULK(names[i], COAT_H_LEN);
        replies[i] = MINE;
    }
    begin_fresh(&t);
    cap(&t, MEMBERS, COAT_MAX_EVICT);
    create_fresh(&t);
    script_answer(&t,
                  (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items, .count = MEMBERS});
    assert_int_equal(script_commands(&t), COAT_INDEX_PIECE);
    script_answer_all(&t, replies);
    assert_int_equal(script_commands(&t), 2);
    assert_record_key(&t, 0, 1, names[COAT_INDEX_PIECE]);
    replies[1] = GONE;
    script_answer_all(&t, replies);
    assert_enters(&t, "258", 1);
    assert_names(&t, ENTER_OUTDATED, names[MEMBERS - 1]);
    script_release(&t);
}

/* ---- No room -------------------------------------------------------------------------------- */

static void a_login_in_a_session_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct script t;
    struct stored rec;
    char old[COAT_SID_LEN + 1];
    script_create(&t, &rec);
    snprintf(old, sizeof old, "%s", coat_session_id(t.s));
    cap(&t, 2, COAT_MAX_REFUSE);
    assert_int_equal(coat_session_login(t.s, "user:42", NULL, 0, NULL), 0);
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, full(2));
    script_answer_all(&t, (struct coat_reply[]){MINE, NOBODY});
    script_done(&t, COAT_ETOOMANY);
    assert_null(strstr(t.err.text, "user:42"));
    assert_string_equal(coat_session_id(t.s), old);
    script_release(&t);
}

/* Nobody has its id, so its record goes again, before the login is refused. */
static void the_record_of_a_login_that_is_refused_is_ended(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    cap(&t, 1, COAT_MAX_REFUSE);
    script_start(&t, COAT_OP_SAVE);
    struct stored key = stored_copy(script_arg(&t, 0, 1));
    script_answer(&t, OK);
    script_answer(&t, full(1));
    script_answer(&t, MINE);
    script_sent(&t, 0, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, "\xa7user:42", NULL);
    assert_memory_equal(script_arg(&t, 0, 3).bytes, key.bytes, key.len);
    script_answer(&t, INTEGER(1));
    script_done(&t, COAT_ETOOMANY);
    assert_null(coat_session_id(t.s));
    assert_int_equal(coat_session_modified(t.s), 1); /* and may be tried again */
    script_release(&t);
}

static void what_became_of_that_end_does_not_matter(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct script t;
        begin_fresh(&t);
        create_fresh(&t);
        script_answer(&t, REFUSED("OOM command not allowed when used memory > 'maxmemory'."));
        if (i == 0)
            script_answer(&t, REFUSED("NOPERM this user has no permissions"));
        else if (i == 1)
            script_lost(&t, MAYBE_SENT | FINAL);
        else
            script_answer(&t, INTEGER(0));
        script_done(&t, COAT_EUNAVAILABLE);
        assert_string_equal(t.err.reason, "OOM");
        script_release(&t);
    }
}

static void when_the_time_is_over_no_record_is_ended(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    create_fresh(&t);
    script_lost(&t, MAYBE_SENT | FINAL);
    script_done(&t, COAT_EUNAVAILABLE);
    assert_null(coat_session_id(t.s));
    script_release(&t);
}

/* One round: full, none has ended, one is evicted, and another login was faster. */
static void lose_a_round(struct script *t)
{
    script_answer(t, full(1));
    assert_probes(t, 1);
    script_answer(t, MINE);
    assert_ends(t, 1);
    script_answer(t, INTEGER(1));
    assert_enters(t, "1", 1);
}

static void lost_rounds_go_on_until_the_time_of_the_call_is_over(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    cap(&t, 1, COAT_MAX_EVICT);
    create_fresh(&t);
    for (int i = 0; i < 20; i++) {
        lose_a_round(&t);
        t.monotonic_ms += 40;
    }
    t.deadline_ms = t.monotonic_ms + 70; /* less than a round and the end of the record take */
    script_answer(&t, full(1));
    script_sent(&t, 0, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, ANY, NULL);
    script_answer(&t, INTEGER(1));
    script_done(&t, COAT_EBUSY);
    script_release(&t);
}

/* The first try may have had to connect, which says nothing about the others. */
static void one_round_is_always_tried(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    cap(&t, 1, COAT_MAX_EVICT);
    create_fresh(&t);
    t.monotonic_ms += 900;
    lose_a_round(&t);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    script_release(&t);
}

/* ---- Touch ---------------------------------------------------------------------------------- */

/* A session of a principal, half of whose idle time has passed. */
static void begin_touch(struct script *t)
{
    begin_fresh(t);
    cap(t, 1, COAT_MAX_REFUSE);
    create_fresh(t);
    script_answer(t, ENTERED);
    script_done(t, 0);
    t->now_ms += 900000;
    script_start(t, COAT_OP_SAVE);
    script_sent(t, 0, "PEXPIRE", ANY, "1800000", NULL);
}

static void a_touch_puts_it_into_an_index_that_was_lost_whatever_the_cap(void **state)
{
    (void)state;
    struct script t;
    begin_touch(&t);
    script_answer(&t, INTEGER(1));
    assert_enters(&t, "0", 0);
    assert_names(&t, ENTER_SCORE, "1700043320000");
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    script_release(&t);
}

/* A session of a principal that is saved after a time since the login, and again after another. */
static void save_twice(struct script *t, int64_t first_ms, int64_t then_ms)
{
    begin_fresh(t);
    create_fresh(t);
    script_answer(t, ENTERED);
    script_done(t, 0);
    t->now_ms += first_ms;
    set_field(t->s, "a", "2");
    script_start(t, COAT_OP_SAVE);
    script_sent(t, 0, "EVALSHA", coat_script_save.sha1, "2", ANY, ANY, ANY, ANY, "1800000", NULL);
    script_answer(t, INTEGER(1));
    script_done(t, 0);
    t->now_ms += then_ms;
    set_field(t->s, "a", "3");
    script_start(t, COAT_OP_SAVE);
    script_answer(t, INTEGER(1));
}

static void a_session_that_is_saved_all_the_time_enters_the_index_once_in_a_tenth(void **state)
{
    (void)state;
    struct script t;
    save_twice(&t, 100000, 79000);
    script_done(&t, 0);
    script_release(&t);

    save_twice(&t, 100000, 81000);
    assert_enters(&t, "0", 0);
    assert_names(&t, ENTER_SCORE, "1700043320000");
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    assert_int_equal(coat_session_modified(t.s), 0);
    script_start(&t, COAT_OP_SAVE);
    script_done(&t, 0);
    script_release(&t);

    save_twice(&t, 179000, 2000);
    script_lost(&t, MAYBE_SENT | FINAL); /* the save stands */
    script_done(&t, 0);
    script_release(&t);
}

static void a_save_that_found_the_session_gone_enters_nothing(void **state)
{
    (void)state;
    struct script t;
    begin_fresh(&t);
    create_fresh(&t);
    script_answer(&t, ENTERED);
    script_done(&t, 0);
    t.now_ms += 900000;
    set_field(t.s, "a", "2");
    script_start(&t, COAT_OP_SAVE);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    script_release(&t);
}

static void a_session_that_is_gone_is_not_put_back_by_its_touch(void **state)
{
    (void)state;
    struct script t;
    begin_touch(&t);
    script_answer(&t, INTEGER(0));
    script_done(&t, COAT_EGONE);
    script_release(&t);
}

static void a_touch_stands_whatever_becomes_of_the_index(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct script t;
        begin_touch(&t);
        script_answer(&t, INTEGER(1));
        if (i == 0)
            script_answer(&t, REFUSED("OOM command not allowed when used memory > 'maxmemory'."));
        else if (i == 1)
            script_lost(&t, MAYBE_SENT | FINAL);
        else
            script_answer(&t, NIL);
        assert_int_equal(t.step.kind, COAT_STEP_DONE);
        assert_int_equal(t.step.rc, 0);
        assert_int_equal(t.step.close, i == 2);
        script_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_enters_the_index_before_the_record_has_the_principal),
        cmocka_unit_test(a_reply_about_the_index_is_none_about_the_record),
        cmocka_unit_test(the_deadline_of_the_record_is_the_one_that_was_entered),
        cmocka_unit_test(without_an_answer_nothing_else_is_sent),
        cmocka_unit_test(replies_that_enter_never_gives_are_foreign),
        cmocka_unit_test(a_foreign_reply_to_a_login_without_a_session_ends_it),
        cmocka_unit_test(an_index_below_the_cap_is_not_full),
        cmocka_unit_test(sessions_that_ended_or_are_others_make_room),
        cmocka_unit_test(what_is_no_member_of_ours_makes_room),
        cmocka_unit_test(what_is_older_than_not_before_is_ended_first_and_then_makes_room),
        cmocka_unit_test(the_first_to_end_is_evicted_before_it_leaves_the_index),
        cmocka_unit_test(replies_that_probes_and_ends_never_get_are_foreign),
        cmocka_unit_test(a_large_index_is_probed_in_pieces),
        cmocka_unit_test(a_login_in_a_session_is_refused_and_changes_nothing),
        cmocka_unit_test(the_record_of_a_login_that_is_refused_is_ended),
        cmocka_unit_test(what_became_of_that_end_does_not_matter),
        cmocka_unit_test(when_the_time_is_over_no_record_is_ended),
        cmocka_unit_test(lost_rounds_go_on_until_the_time_of_the_call_is_over),
        cmocka_unit_test(one_round_is_always_tried),
        cmocka_unit_test(a_touch_puts_it_into_an_index_that_was_lost_whatever_the_cap),
        cmocka_unit_test(a_session_that_is_gone_is_not_put_back_by_its_touch),
        cmocka_unit_test(a_session_that_is_saved_all_the_time_enters_the_index_once_in_a_tenth),
        cmocka_unit_test(a_save_that_found_the_session_gone_enters_nothing),
        cmocka_unit_test(a_touch_stands_whatever_becomes_of_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
