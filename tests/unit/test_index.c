/* The sessions of a principal: listed, ended one by one, ended all. */
#include "script_driver.h"

static const char *const H[] = {"AAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBB",
                                "CCCCCCCCCCCCCCCCCCCCCCCC", "DDDDDDDDDDDDDDDDDDDDDDDD"};
enum { SESSIONS = sizeof H / sizeof *H };

struct indexed {
    struct script t;
    struct coat_index_op *x;
    char public_ids[SESSIONS][COAT_PUBLIC_ID_LEN + 1];
};

static void begin(struct indexed *i, enum coat_index_do what, const char *public_id)
{
    assert_int_equal(coat_index_op_new(&i->x, &i->t.store, what, "user:42", public_id, NULL), 0);
    i->t.op = coat_index_op(i->x);
    script_event(&i->t, (struct coat_event){.kind = COAT_EVENT_START});
}

static void init(struct indexed *i)
{
    memset(i, 0, sizeof *i);
    script_init(&i->t);
    for (int n = 0; n < SESSIONS; n++) {
        struct coat_keys keys;
        assert_int_equal(coat_keys_of_member(&keys, PREFIX, H[n], COAT_H_LEN, NULL), 1);
        memcpy(i->public_ids[n], keys.public_id, sizeof keys.public_id);
    }
}

static void release(struct indexed *i)
{
    coat_index_op_free(i->x);
}

static struct coat_reply members(size_t count)
{
    static struct coat_reply names[SESSIONS];
    for (size_t n = 0; n < count; n++)
        names[n] = BULK(H[n], COAT_H_LEN);
    return (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = names, .count = count};
}

/* It reads the index, and finds so many of the sessions. */
static void read_index(struct indexed *i, size_t count)
{
    struct coat_index_key key;
    char text[COAT_KEY_MAX + 1];
    assert_int_equal(coat_index_key_make(&key, PREFIX, "user:42", NULL), 0);
    snprintf(text, sizeof text, "%.*s", (int)key.len, key.bytes);
    assert_int_equal(script_commands(&i->t), 1);
    script_sent(&i->t, 0, "ZRANGE", text, "0", "32767", NULL);
    assert_memory_equal(i->t.step.commands->key.bytes, key.bytes, key.len);
    script_answer(&i->t, members(count));
}

static void assert_key(const struct indexed *i, size_t command, size_t arg, const char *h)
{
    char key[COAT_KEY_MAX + 1];
    int len = snprintf(key, sizeof key, PREFIX "s:{%s}", h);
    assert_int_equal(script_arg(&i->t, command, arg).len, len);
    assert_memory_equal(script_arg(&i->t, command, arg).bytes, key, (size_t)len);
    assert_memory_equal(i->t.step.commands[command].key.bytes, key, (size_t)len);
}

/* What it takes out of the index; the answer makes no difference. */
static void swept(struct indexed *i, size_t count, const char *const *names)
{
    assert_int_equal(script_commands(&i->t), 1);
    assert_int_equal(i->t.step.commands->count, 2 + count);
    script_sent(&i->t, 0, "ZREM", ANY, names[0], count > 1 ? names[1] : NULL,
                count > 2 ? names[2] : NULL, NULL);
    script_answer(&i->t, INTEGER(1));
}

/* ---- List ----------------------------------------------------------------------------------- */

/* A record of a session that was created at so many seconds after the start. */
static struct stored record_at(int64_t seconds, const char *principal, const char *fields,
                               size_t fields_len)
{
    struct coat_head head;
    coat_head_init(&head, (const unsigned char *)"the tag.",
                   (const unsigned char *)"sixteen bytes of", NOW_MS + seconds * 1000,
                   NOW_MS + 43200000 + seconds * 1000, 1800);
    coat_head_revise(&head, revision('r'));
    return stored_make(&head, principal, fields, fields_len);
}
#define RECORD(seconds, principal, fields) record_at(seconds, principal, fields, sizeof(fields) - 1)

#define DEVICE                                                                                     \
    "\x82\xa6"                                                                                     \
    "device\xa3mac\xa1"                                                                            \
    "b\xa1"                                                                                        \
    "9"

static void the_list_has_what_is_the_principals_and_alive(void **state)
{
    (void)state;
    struct indexed i;
    struct stored one = RECORD(1, "user:42", DEVICE), other = RECORD(2, "user:7", "\x80");
    struct stored nobodys = RECORD(3, "", "\x80"), last = RECORD(4, "user:42", "\x80");
    init(&i);
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 4);
    assert_int_equal(script_commands(&i.t), 4);
    for (size_t n = 0; n < 4; n++) {
        script_sent(&i.t, n, "GETRANGE", ANY, "0", "375", NULL);
        assert_key(&i, n, 1, H[n]);
    }
    script_answer_all(
        &i.t, (struct coat_reply[]){STORED(&one), STORED(&other), STORED(&nobodys), STORED(&last)});
    script_done(&i.t, 0);

    struct coat_session_list *list = coat_index_op_list(i.x);
    assert_int_equal(coat_session_list_count(list), 2);
    const struct coat_session_info *info = coat_session_list_get(list, 0);
    assert_string_equal(info->public_id, i.public_ids[0]);
    assert_int_equal(info->created_ms, NOW_MS + 1000);
    assert_int_equal(info->deadline_ms, NOW_MS + 43201000);
    assert_null(info->shown);
    assert_string_equal(coat_session_list_get(list, 1)->public_id, i.public_ids[3]);
    assert_null(coat_session_list_get(list, 2));
    coat_session_list_free(list);
    release(&i);
}

static void an_empty_index_is_an_empty_list(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 0);
    script_done(&i.t, 0);
    struct coat_session_list *list = coat_index_op_list(i.x);
    assert_int_equal(coat_session_list_count(list), 0);
    coat_session_list_free(list);
    release(&i);
}

static void what_is_missing_leaves_the_index(void **state)
{
    (void)state;
    struct indexed i;
    struct stored rec = RECORD(1, "user:42", "\x80");
    init(&i);
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 3);
    script_answer_all(&i.t, (struct coat_reply[]){BULK("", 0), STORED(&rec), BULK("", 0)});
    swept(&i, 2, (const char *const[]){H[0], H[2]});
    script_done(&i.t, 0);
    struct coat_session_list *list = coat_index_op_list(i.x);
    assert_int_equal(coat_session_list_count(list), 1);
    coat_session_list_free(list);
    release(&i);
}

static void what_became_of_that_changes_nothing(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        struct indexed i;
        init(&i);
        begin(&i, COAT_INDEX_LIST, NULL);
        read_index(&i, 1);
        script_answer(&i.t, BULK("", 0));
        if (n == 0)
            script_answer(&i.t, REFUSED("NOPERM this user has no permissions"));
        else if (n == 1)
            script_lost(&i.t, MAYBE_SENT | FINAL);
        else
            script_replies(&i.t, 2, OK, OK);
        assert_int_equal(i.t.step.kind, COAT_STEP_DONE);
        assert_int_equal(i.t.step.rc, 0);
        assert_int_equal(i.t.step.close, n == 2);
        release(&i);
    }
}

static void an_expired_session_is_not_listed(void **state)
{
    (void)state;
    struct indexed i;
    struct stored rec = RECORD(0, "user:42", "\x80");
    init(&i);
    i.t.now_ms = NOW_MS + 43200000;
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 1);
    script_answer(&i.t, STORED(&rec));
    script_done(&i.t, 0);
    struct coat_session_list *list = coat_index_op_list(i.x);
    assert_int_equal(coat_session_list_count(list), 0);
    coat_session_list_free(list);
    release(&i);
}

static void req_28_only_fields_that_are_to_be_shown_are_shown(void **state)
{
    (void)state;
    struct indexed i;
    struct stored rec = RECORD(1, "user:42", DEVICE);
    init(&i);
    i.t.options.show = (char *)"seen_at,device";
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 1);
    script_sent(&i.t, 0, "GETRANGE", ANY, "0", "4095", NULL);
    script_answer(&i.t, STORED(&rec));
    script_done(&i.t, 0);
    struct coat_session_list *list = coat_index_op_list(i.x);
    const struct coat_session_info *info = coat_session_list_get(list, 0);
    assert_int_equal(coat_doc_count(info->shown), 1);
    assert_doc_field(info->shown, "device", "mac");
    coat_session_list_free(list);
    release(&i);
}

static void a_long_record_with_fields_to_show_is_read_whole(void **state)
{
    (void)state;
    static unsigned char fields[5000] = DEVICE;
    struct indexed i;
    struct coat_head head;
    unsigned char rec[6000];
    size_t at = sizeof DEVICE - 1 - 4; /* in place of the field b: a long text */
    memcpy(fields + at,
           "\xa1"
           "b\xda\x12\x00",
           5);
    memset(fields + at + 5, 'x', 0x1200);
    size_t len = at + 5 + 0x1200;
    struct stored first = RECORD(1, "user:42", "\x80");
    memcpy(&head, first.bytes, sizeof head);
    unsigned char *end = coat_record_write(rec, &head, "user:42");
    memcpy(end, fields, len);
    size_t rec_len = (size_t)(end - rec) + len;

    for (int gone = 0; gone <= 1; gone++) {
        init(&i);
        i.t.options.show = (char *)"device";
        begin(&i, COAT_INDEX_LIST, NULL);
        read_index(&i, 2);
        script_answer_all(&i.t, (struct coat_reply[]){BULK((char *)rec, 4096), STORED(&first)});
        assert_int_equal(script_commands(&i.t), 1);
        script_sent(&i.t, 0, "GET", ANY, NULL);
        assert_key(&i, 0, 1, H[0]);
        script_answer(&i.t, gone ? NIL : BULK((char *)rec, rec_len));
        if (gone)
            swept(&i, 1, H);
        script_done(&i.t, 0);
        struct coat_session_list *list = coat_index_op_list(i.x);
        assert_int_equal(coat_session_list_count(list), 2 - gone);
        if (!gone)
            assert_doc_field(coat_session_list_get(list, 0)->shown, "device", "mac");
        coat_session_list_free(list);
        release(&i);
    }
}

static void a_damaged_record_does_not_spoil_the_list(void **state)
{
    (void)state;
    struct indexed i;
    struct stored rec = RECORD(1, "user:42", "\xc1"), good = RECORD(2, "user:42", DEVICE);
    init(&i);
    i.t.options.show = (char *)"device";
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 3);
    script_answer_all(&i.t,
                      (struct coat_reply[]){BULK("nonsense", 8), STORED(&rec), STORED(&good)});
    script_done(&i.t, 0);
    struct coat_session_list *list = coat_index_op_list(i.x);
    assert_int_equal(coat_session_list_count(list), 2);
    assert_string_equal(coat_session_list_get(list, 0)->public_id, i.public_ids[1]);
    assert_null(coat_session_list_get(list, 0)->shown); /* but it can be ended */
    assert_doc_field(coat_session_list_get(list, 1)->shown, "device", "mac");
    assert_int_equal(coat_store_count(&i.t.store, COAT_COUNT_CORRUPT), 2);
    coat_session_list_free(list);
    release(&i);
}

/* Whose it is cannot be told, and a list that leaves it out would be wrong. */
static void a_record_of_a_newer_format_ends_the_list(void **state)
{
    (void)state;
    struct indexed i;
    struct stored rec = RECORD(1, "user:42", "\x80");
    init(&i);
    rec.bytes[1] = 2;
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 1);
    script_answer(&i.t, STORED(&rec));
    script_done(&i.t, COAT_EFORMAT);
    release(&i);
}

static void replies_that_no_list_gets_are_foreign(void **state)
{
    (void)state;
    const struct coat_reply odd[] = {NIL, OK, INTEGER(1), members(1)};
    struct coat_reply numbers = members(1);
    for (size_t n = 0; n < sizeof odd / sizeof *odd; n++) {
        struct indexed i;
        init(&i);
        begin(&i, COAT_INDEX_LIST, NULL);
        read_index(&i, 1);
        script_answer(&i.t, odd[n]);
        script_done(&i.t, COAT_EFOREIGN);
        release(&i);
        init(&i);
        begin(&i, COAT_INDEX_LIST, NULL);
        numbers.items[0] = INTEGER(1);
        script_answer(&i.t, n < 3 ? odd[n] : numbers);
        script_done(&i.t, COAT_EFOREIGN);
        release(&i);
    }
}

static void without_an_answer_there_is_no_list(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_LIST, NULL);
    script_lost(&i.t, MAYBE_SENT | FINAL);
    script_done(&i.t, COAT_EUNAVAILABLE);
    release(&i);
    init(&i);
    begin(&i, COAT_INDEX_LIST, NULL);
    read_index(&i, 1);
    script_lost(&i.t, MAYBE_SENT | FINAL);
    script_done(&i.t, COAT_EUNAVAILABLE);
    release(&i);
}

/* ---- End ------------------------------------------------------------------------------------ */

static void sent_ends(const struct indexed *i, size_t count, const char *const *names)
{
    assert_int_equal(script_commands(&i->t), count);
    for (size_t n = 0; n < count; n++) {
        script_sent(&i->t, n, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, "\xa7user:42", NULL);
        assert_key(i, n, 3, names[n]);
    }
}

static void req_26_all_are_ended_then_taken_out(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, NULL);
    read_index(&i, 3);
    sent_ends(&i, 3, H);
    /* ended with a lock; another principal's; gone already */
    script_answer_all(&i.t, (struct coat_reply[]){INTEGER(2), INTEGER(-1), INTEGER(0)});
    swept(&i, 3, H);
    script_done(&i.t, 1);
    assert_int_equal(coat_index_op_lost(i.x), 0);
    release(&i);
}

/* Bytes that went astray would otherwise say that there is nothing to be ended. */
static void a_name_that_is_no_sessions_is_believed_the_second_time(void **state)
{
    static const char *const names[] = {"AAAAAAAAAAAAAAAAA*1\r\n$24", "AAAAAAAAAAAAAAAAAAAAAAAA"};
    (void)state;
    struct indexed i;
    struct coat_reply strange[] = {BULK(names[0], COAT_H_LEN), BULK(names[1], COAT_H_LEN)};
    struct coat_reply reply = {.kind = COAT_REPLY_ARRAY, .items = strange, .count = 2};
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, NULL);
    script_answer(&i.t, reply);
    script_sent(&i.t, 0, "ZRANGE", ANY, "0", "32767", NULL);
    script_answer(&i.t, reply);
    sent_ends(&i, 1, &names[1]);
    script_answer(&i.t, INTEGER(1));
    swept(&i, 2, names);
    script_done(&i.t, 1);
    release(&i);
}

static void req_26_all_but_one_are_ended(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, i.public_ids[1]);
    read_index(&i, 3);
    sent_ends(&i, 2, (const char *const[]){H[0], H[2]});
    script_answer_all(&i.t, (struct coat_reply[]){INTEGER(1), INTEGER(1)});
    swept(&i, 2, (const char *const[]){H[0], H[2]});
    script_done(&i.t, 2);
    assert_int_equal(coat_index_op_lost(i.x), 0);
    release(&i);
}

static void an_index_without_the_one_to_keep_was_lost(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, i.public_ids[3]);
    read_index(&i, 1);
    script_answer(&i.t, INTEGER(1));
    swept(&i, 1, H);
    script_done(&i.t, 1);
    assert_int_equal(coat_index_op_lost(i.x), 1);
    release(&i);
}

static void only_the_one_to_keep_costs_nothing_more(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, i.public_ids[0]);
    read_index(&i, 1);
    script_done(&i.t, 0);
    release(&i);
}

static void one_is_ended_by_its_public_id(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ONE, i.public_ids[2]);
    read_index(&i, 4);
    sent_ends(&i, 1, &H[2]);
    script_answer(&i.t, INTEGER(1));
    swept(&i, 1, &H[2]);
    script_done(&i.t, 1);
    release(&i);
}

static void one_that_is_not_there_or_anothers_is_0(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ONE, i.public_ids[3]);
    read_index(&i, 2);
    script_done(&i.t, 0);
    release(&i);
    for (int rc = -1; rc <= 0; rc++) {
        init(&i);
        begin(&i, COAT_INDEX_END_ONE, i.public_ids[0]);
        read_index(&i, 2);
        script_answer(&i.t, INTEGER(rc));
        swept(&i, 1, H);
        script_done(&i.t, 0);
        release(&i);
    }
}

static void what_is_no_public_id_costs_nothing(void **state)
{
    (void)state;
    const char *const odd[] = {"", "AAAA", "AAAAAAAAAAAAA"};
    for (size_t n = 0; n < sizeof odd / sizeof *odd; n++) {
        struct indexed i;
        init(&i);
        begin(&i, COAT_INDEX_END_ONE, odd[n]);
        script_done(&i.t, 0);
        release(&i);
    }
}

/* Most likely the send before ended it. */
static void gone_after_a_repeat_counts_as_ended(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, NULL);
    read_index(&i, 2);
    script_lost(&i.t, MAYBE_SENT);
    sent_ends(&i, 2, H);
    script_answer_all(&i.t, (struct coat_reply[]){INTEGER(0), INTEGER(-1)});
    swept(&i, 2, H);
    script_done(&i.t, 1);
    release(&i);
}

static void an_end_without_an_answer_is_uncertain(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ALL, NULL);
    read_index(&i, 2);
    script_lost(&i.t, MAYBE_SENT | FINAL);
    script_done(&i.t, COAT_EUNCERTAIN);
    release(&i);
}

static void replies_that_no_end_gets_are_foreign(void **state)
{
    (void)state;
    const struct coat_reply odd[] = {NIL, OK, INTEGER(3), INTEGER(-2), BULK("x", 1), members(1)};
    for (size_t n = 0; n < sizeof odd / sizeof *odd; n++) {
        struct indexed i;
        init(&i);
        begin(&i, COAT_INDEX_END_ALL, NULL);
        read_index(&i, 1);
        script_answer(&i.t, odd[n]);
        script_done(&i.t, COAT_EFOREIGN);
        release(&i);
    }
}

enum { MEMBERS = COAT_INDEX_READ_MAX };
static char names[MEMBERS][COAT_H_LEN + 1];

/* As many members as are read at once. */
static struct coat_reply many_members(void)
{
    static struct coat_reply items[MEMBERS];
    for (int n = 0; n < MEMBERS; n++) {
        snprintf(names[n], sizeof names[n], "%024d", n);
        items[n] = BULK(names[n], COAT_H_LEN);
    }
    return (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = items, .count = MEMBERS};
}

/* All of these are ended; what is sent next takes them out. */
static void end_many(struct indexed *i)
{
    struct coat_reply replies[COAT_INDEX_PIECE];
    for (int n = 0; n < COAT_INDEX_PIECE; n++)
        replies[n] = INTEGER(1);
    init(i);
    begin(i, COAT_INDEX_END_ALL, NULL);
    script_answer(&i->t, many_members());
    for (int n = 0; n < MEMBERS; n += COAT_INDEX_PIECE) {
        assert_key(i, 0, 3, names[n]);
        script_answer_all(&i->t, replies);
    }
}

/* Were it said that all have ended, the rest would live on. */
static void a_large_index_that_does_not_shrink_is_not_ended(void **state)
{
    (void)state;
    struct indexed i;
    end_many(&i);
    script_lost(&i.t, MAYBE_SENT | FINAL);
    script_done(&i.t, COAT_EUNAVAILABLE);
    release(&i);
}

/* What is asked for by its keys is ended without a look at the index. */
static void begin_member(struct indexed *i, const char *principal)
{
    struct coat_keys keys;
    init(i);
    assert_int_equal(coat_keys_of_member(&keys, PREFIX, H[1], COAT_H_LEN, NULL), 1);
    assert_int_equal(coat_index_op_new_member(&i->x, &i->t.store, principal, &keys, NULL), 0);
    i->t.op = coat_index_op(i->x);
    script_event(&i->t, (struct coat_event){.kind = COAT_EVENT_START});
    assert_int_equal(script_commands(&i->t), 1);
    assert_key(i, 0, 3, H[1]);
}

static void one_that_no_index_has_is_ended_too(void **state)
{
    (void)state;
    struct indexed i;
    begin_member(&i, "user:42");
    script_sent(&i.t, 0, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, "\xa7user:42", NULL);
    script_answer(&i.t, INTEGER(1));
    swept(&i, 1, &H[1]);
    script_done(&i.t, 1);
    release(&i);
    begin_member(&i, "");
    script_sent(&i.t, 0, "EVALSHA", coat_script_end.sha1, "2", ANY, ANY, "\xc0", NULL);
    script_lost(&i.t, MAYBE_SENT);
    script_answer(&i.t, INTEGER(0));
    script_done(&i.t, 1);
    release(&i);
    begin_member(&i, "");
    script_lost(&i.t, MAYBE_SENT | FINAL);
    script_done(&i.t, COAT_EUNCERTAIN);
    release(&i);
}

static void one_is_found_beyond_what_is_read_at_once(void **state)
{
    (void)state;
    struct indexed i;
    init(&i);
    begin(&i, COAT_INDEX_END_ONE, i.public_ids[1]);
    script_answer(&i.t, many_members());
    script_sent(&i.t, 0, "ZRANGE", ANY, "31744", "64511", NULL); /* some a second time */
    script_answer(&i.t, members(2));
    assert_int_equal(script_commands(&i.t), 1);
    assert_key(&i, 0, 3, H[1]);
    script_answer(&i.t, INTEGER(1));
    swept(&i, 1, &H[1]);
    script_done(&i.t, 1);
    release(&i);
}

static void a_large_index_is_ended_in_pieces(void **state)
{
    (void)state;
    struct indexed i;
    end_many(&i);
    assert_int_equal(i.t.step.commands->count, 2 + MEMBERS);
    script_answer(&i.t, INTEGER(MEMBERS));
    read_index(&i, 1); /* there may be more */
    script_answer(&i.t, INTEGER(1));
    swept(&i, 1, H);
    script_done(&i.t, MEMBERS + 1);
    release(&i);
}

/* ---- What is refused ------------------------------------------------------------------------ */

static void principals_and_sessions_to_keep_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct indexed i;
    struct coat_error err;
    const char *const odd[] = {"", "\xff"};
    init(&i);
    for (size_t n = 0; n < sizeof odd / sizeof *odd; n++)
        assert_int_equal(coat_index_op_new(&i.x, &i.t.store, COAT_INDEX_LIST, odd[n], NULL, &err),
                         COAT_EUSAGE);
    assert_int_equal(
        coat_index_op_new(&i.x, &i.t.store, COAT_INDEX_END_ALL, "user:42", "short", &err),
        COAT_EUSAGE);
    assert_null(i.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_has_what_is_the_principals_and_alive),
        cmocka_unit_test(an_empty_index_is_an_empty_list),
        cmocka_unit_test(what_is_missing_leaves_the_index),
        cmocka_unit_test(what_became_of_that_changes_nothing),
        cmocka_unit_test(an_expired_session_is_not_listed),
        cmocka_unit_test(req_28_only_fields_that_are_to_be_shown_are_shown),
        cmocka_unit_test(a_long_record_with_fields_to_show_is_read_whole),
        cmocka_unit_test(a_damaged_record_does_not_spoil_the_list),
        cmocka_unit_test(a_record_of_a_newer_format_ends_the_list),
        cmocka_unit_test(replies_that_no_list_gets_are_foreign),
        cmocka_unit_test(without_an_answer_there_is_no_list),
        cmocka_unit_test(req_26_all_are_ended_then_taken_out),
        cmocka_unit_test(a_name_that_is_no_sessions_is_believed_the_second_time),
        cmocka_unit_test(req_26_all_but_one_are_ended),
        cmocka_unit_test(an_index_without_the_one_to_keep_was_lost),
        cmocka_unit_test(only_the_one_to_keep_costs_nothing_more),
        cmocka_unit_test(one_is_ended_by_its_public_id),
        cmocka_unit_test(one_that_no_index_has_is_ended_too),
        cmocka_unit_test(one_is_found_beyond_what_is_read_at_once),
        cmocka_unit_test(a_large_index_that_does_not_shrink_is_not_ended),
        cmocka_unit_test(one_that_is_not_there_or_anothers_is_0),
        cmocka_unit_test(what_is_no_public_id_costs_nothing),
        cmocka_unit_test(gone_after_a_repeat_counts_as_ended),
        cmocka_unit_test(an_end_without_an_answer_is_uncertain),
        cmocka_unit_test(replies_that_no_end_gets_are_foreign),
        cmocka_unit_test(a_large_index_is_ended_in_pieces),
        cmocka_unit_test(principals_and_sessions_to_keep_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
