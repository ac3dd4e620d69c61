/*
 * script_driver.h: the third driver of operations, for tests: no server, no clock. A test says
 * what the operation must have sent, then what the server answers.
 *
 *     script_start(&t, COAT_OP_LOAD);
 *     script_sent(&t, 0, "GET", t.key, NULL);
 *     script_answer(&t, 2, NIL, INTEGER(-2));
 *     script_done(&t, 0);
 */
#ifndef SCRIPT_DRIVER_H
#define SCRIPT_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/error.h"
#include "api/op.h"
#include "record.h"
#include "script.h"
#include "session.h"

#define PREFIX "shop:"
#define NOW_MS INT64_C(1700000000000)

#define NIL         ((struct coat_reply){.kind = COAT_REPLY_NIL})
#define OK          ((struct coat_reply){.kind = COAT_REPLY_STATUS, .bytes = "OK", .len = 2})
#define ENTERED     ((struct coat_reply){.kind = COAT_REPLY_STATUS, .bytes = "ENTERED", .len = 7})
#define INTEGER(n)  ((struct coat_reply){.kind = COAT_REPLY_INTEGER, .integer = (n)})
#define BULK(b, n)  ((struct coat_reply){.kind = COAT_REPLY_BULK, .bytes = (b), .len = (n)})
#define STORED(rec) BULK((const char *)(rec)->bytes, (rec)->len)
#define REFUSED(text)                                                                              \
    ((struct coat_reply){.kind = COAT_REPLY_ERROR, .bytes = (text), .len = strlen(text)})

/* One session and the operation that it is in. */
struct script {
    struct coat_options options;
    struct coat_store store;
    struct coat_session *s;
    struct coat_op *op;
    struct coat_step step;
    struct coat_error err;
    int64_t now_ms;
    int64_t monotonic_ms;
    int64_t deadline_ms; /* of the call, on the same clock */
    int64_t confirmed;   /* replicas that have what was sent */
};

/* ---- Set up and tear down ------------------------------------------------------------------- */

static inline void script_init(struct script *t)
{
    static const struct coat_limits LIMITS = COAT_LIMITS_DEFAULT;
    memset(t, 0, sizeof *t);
    t->options = (struct coat_options){.prefix = (char *)PREFIX,
                                       .idle_s = 1800,
                                       .lifetime_s = 43200,
                                       .timeout_ms = 1000,
                                       .lock_ttl_ms = 30000,
                                       .stale_ms = 30000,
                                       .touch_below = 0.9,
                                       .limits = LIMITS};
    t->store.options = &t->options;
    t->now_ms = NOW_MS;
    t->monotonic_ms = 5000;
    t->deadline_ms = 6000;
}

static inline void script_new(struct script *t)
{
    script_init(t);
    assert_int_equal(coat_session_new(&t->store, &t->s, NULL), 0);
}

static inline void script_release(struct script *t)
{
    coat_session_close(t->s);
    t->s = NULL;
}

/* ---- Events --------------------------------------------------------------------------------- */

static inline void script_event(struct script *t, struct coat_event event)
{
    event.now_ms = t->now_ms;
    event.monotonic_ms = t->monotonic_ms;
    event.deadline_ms = t->deadline_ms;
    event.confirmed = t->confirmed;
    memset(&t->step, 0xee, sizeof t->step);
    memset(&t->err, 0, sizeof t->err);
    t->op->step(t->op, &event, &t->step, &t->err);
    if (t->step.kind == COAT_STEP_DONE && t->step.rc < 0) {
        assert_int_equal(t->err.code, t->step.rc);
        assert_string_not_equal(t->err.text, "");
    }
}

static inline void script_start(struct script *t, enum coat_session_op which)
{
    t->op = coat_session_op(t->s, which);
    script_event(t, (struct coat_event){.kind = COAT_EVENT_START});
}

static inline void script_replies(struct script *t, size_t count, struct coat_reply one,
                                  struct coat_reply two)
{
    struct coat_reply replies[2] = {one, two};
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    script_event(
        t, (struct coat_event){.kind = COAT_EVENT_REPLIES, .replies = replies, .count = count});
}

static inline void script_answer(struct script *t, struct coat_reply reply)
{
    script_replies(t, 1, reply, NIL);
}

/* As many as commands were sent. */
static inline void script_answer_all(struct script *t, const struct coat_reply *replies)
{
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    script_event(t, (struct coat_event){
                        .kind = COAT_EVENT_REPLIES, .replies = replies, .count = t->step.count});
}

enum { UNSENT = 0, MAYBE_SENT = 1, FINAL = 2 };

static inline void script_lost(struct script *t, int how)
{
    static const struct coat_error WHY = {
        .code = COAT_EUNAVAILABLE, .reason = "reset", .text = "connection reset by peer"};
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    script_event(t, (struct coat_event){.kind = COAT_EVENT_LOST,
                                        .maybe_sent = how & MAYBE_SENT,
                                        .final = (how & FINAL) != 0,
                                        .why = &WHY});
}

/* ---- What came of them ---------------------------------------------------------------------- */

static inline void script_done(struct script *t, int rc)
{
    assert_int_equal(t->step.kind, COAT_STEP_DONE);
    assert_int_equal(t->step.rc, rc);
    assert_int_equal(t->step.close, rc == COAT_EFOREIGN);
}

static inline size_t script_commands(const struct script *t)
{
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    return t->step.count;
}

/* An argument of a command that was sent. */
static inline struct coat_arg script_arg(const struct script *t, size_t command, size_t arg)
{
    assert_int_equal(t->step.kind, COAT_STEP_SEND);
    assert_true(command < t->step.count && arg < t->step.commands[command].count);
    return t->step.commands[command].args[arg];
}

/* Bytes that a test checks in its own way. */
#define ANY ((const char *)-1)

/* A command that was sent, word by word up to a NULL. */
static inline void script_sent(const struct script *t, size_t command, ...)
{
    va_list words;
    const char *word;
    size_t n = 0;
    va_start(words, command);
    while ((word = va_arg(words, const char *)) != NULL) {
        struct coat_arg arg = script_arg(t, command, n++);
        if (word != ANY) {
            assert_int_equal(arg.len, strlen(word));
            assert_memory_equal(arg.bytes, word, arg.len);
        }
    }
    va_end(words);
    assert_int_equal(t->step.commands[command].count, n);
}

/* A login asks for a place in the index, which has no cap, and gets it. */
static inline void script_entered(struct script *t)
{
    assert_int_equal(script_commands(t), 1);
    int spelled_out = t->step.confirm > 0;
    script_sent(t, 0, spelled_out ? "EVAL" : "EVALSHA",
                spelled_out ? coat_script_enter.text : coat_script_enter.sha1, "1", ANY, ANY, ANY,
                "0", NULL);
    script_answer(t, ENTERED);
}

/* ---- Records -------------------------------------------------------------------------------- */

/* What a server would hold: made by the test, or copied from what was sent. */
struct stored {
    unsigned char bytes[4096];
    size_t len;
};

static inline struct coat_head *stored_head(struct stored *rec)
{
    return (struct coat_head *)rec->bytes;
}

static inline struct stored stored_copy(struct coat_arg arg)
{
    struct stored rec = {.len = arg.len};
    assert_true(arg.len <= sizeof rec.bytes);
    memcpy(rec.bytes, arg.bytes, arg.len);
    return rec;
}

/* A record with another one's head and these fields, in msgpack ("\x80": none). */
static inline struct stored stored_make(const struct coat_head *head, const char *principal,
                                        const char *fields, size_t fields_len)
{
    struct stored rec;
    unsigned char *end = coat_record_write(rec.bytes, head, principal);
    memcpy(end, fields, fields_len);
    rec.len = (size_t)(end - rec.bytes) + fields_len;
    return rec;
}
#define STORED_MAKE(head, principal, fields)                                                       \
    stored_make(head, principal, fields, sizeof(fields) - 1)

/* A revision that nobody draws. */
static inline const unsigned char *revision(char c)
{
    static unsigned char bytes[COAT_REVISION_LEN];
    memset(bytes, c, sizeof bytes);
    return bytes;
}

/* The same record after somebody else has saved it, n times, with these fields. */
static inline struct stored stored_saved(const struct stored *rec, const char *revisions,
                                         const char *principal, const char *fields,
                                         size_t fields_len)
{
    struct stored next = *rec;
    for (const char *r = revisions; *r; r++)
        coat_head_revise(stored_head(&next), revision(*r));
    return stored_make(stored_head(&next), principal, fields, fields_len);
}
#define STORED_SAVED(rec, revisions, principal, fields)                                            \
    stored_saved(rec, revisions, principal, fields, sizeof(fields) - 1)

/* A text field of the session: set it, or see what it is (NULL: not there). */
static inline void set_field(struct coat_session *s, const char *name, const char *text)
{
    unsigned char bytes[32] = {(unsigned char)(0xa0 | strlen(text))};
    memcpy(bytes + 1, text, strlen(text));
    assert_int_equal(
        coat_doc_set(coat_session_doc(s), name, strlen(name), bytes, 1 + strlen(text), NULL), 0);
}

static inline void delete_field(struct coat_session *s, const char *name)
{
    assert_int_equal(coat_doc_delete(coat_session_doc(s), name, strlen(name), NULL), 1);
}

static inline void assert_doc_field(const struct coat_doc *doc, const char *name, const char *text)
{
    const void *value;
    size_t len;
    int there = coat_doc_get(doc, name, strlen(name), &value, &len);
    assert_int_equal(there, text != NULL);
    if (text) {
        assert_int_equal(len, 1 + strlen(text));
        assert_memory_equal((const char *)value + 1, text, len - 1);
    }
}

static inline void assert_field(struct coat_session *s, const char *name, const char *text)
{
    assert_doc_field(coat_session_doc(s), name, text);
}

/* The fields of a record, as a document to be freed. */
static inline struct coat_doc *stored_fields(const struct stored *rec)
{
    struct coat_record record;
    struct coat_doc *doc;
    assert_int_equal(coat_record_parse(&record, rec->bytes, rec->len, NULL), 0);
    assert_int_equal(coat_doc_parse(&doc, record.fields, record.fields_len, NULL, NULL), 0);
    return doc;
}

static inline void assert_stored_field(const struct stored *rec, const char *name, const char *text)
{
    struct coat_doc *doc = stored_fields(rec);
    assert_doc_field(doc, name, text);
    coat_doc_free(doc);
}

/* ---- Ways to a stored session --------------------------------------------------------------- */

/* A new session with the field a = "1", saved; *rec is what lies in Redis now. */
static inline void script_create(struct script *t, struct stored *rec)
{
    script_new(t);
    set_field(t->s, "a", "1");
    script_start(t, COAT_OP_SAVE);
    *rec = stored_copy(script_arg(t, 0, 2));
    script_answer(t, OK);
    script_done(t, 0);
}

/* Forget the session, then load what lies in Redis by its id. Leaves the load to be answered. */
static inline void script_reload(struct script *t, const char *id)
{
    char copy[COAT_SID_LEN + 1];
    snprintf(copy, sizeof copy, "%s", id);
    script_release(t);
    assert_int_equal(coat_session_for_id(&t->store, copy, strlen(copy), &t->s, NULL), 1);
    script_start(t, COAT_OP_LOAD);
}

#endif
