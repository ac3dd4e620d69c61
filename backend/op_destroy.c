/*
 * Destroy: delete the record if the id opens it, whatever else it says; then take it out of the
 * index. Not in one pipeline: the first may answer that the id opens nothing. Where one server
 * holds both, the script does it, if it is known whose session it is.
 */
#include <string.h>

#include "api/error.h"
#include "refusal.h"
#include "session.h"

enum { DELETING, MARKING, LEAVING };

static int replaced(struct coat_session *s, struct coat_error *err)
{
    coat_session_note(s, COAT_LIFE_REFUSED, "replaced");
    return coat_error_set(err, COAT_EREPLACED,
                          "the id of session %s was replaced by a login or a change of privilege; "
                          "the session lives on under the new id and was not ended",
                          s->keys.public_id);
}

/* It has no id any more, and no fields. */
static void become(struct coat_session *s, enum coat_session_state state)
{
    struct coat_doc *empty = s->work.doc;
    s->work.doc = NULL;
    coat_session_reset(s, state, empty);
}

/* Gone, by us or before. */
static void ended(struct coat_session *s, struct coat_step *step, int rc)
{
    become(s, COAT_SESSION_NEW);
    coat_session_done(s, step, rc);
}

/* A dead id ends nothing, and whoever has loaded by it must hear that. */
static void not_opened(struct coat_session *s, struct coat_step *step, struct coat_error *err)
{
    if (s->state != COAT_SESSION_UNLOADED) {
        coat_session_done(s, step, replaced(s, err));
        return;
    }
    coat_store_note(s->store, COAT_COUNT_DEAD_ID);
    coat_session_note(s, COAT_LIFE_REFUSED, "dead");
    become(s, COAT_SESSION_STALE);
    coat_session_done(s, step, 0);
}

/* A script's keys all lie on one node. */
static int one_script_does(const struct coat_session *s)
{
    return s->principal[0] && s->store->options->connect.kind != COAT_CLUSTER;
}

static void send_logout(struct coat_session *s, int64_t now_ms, struct coat_step *step)
{
    const struct coat_work *work = &s->work;
    struct coat_attempt *a = &s->work.attempt;
    coat_attempt_begin(a, COAT_LOSS_UNCERTAIN, s->keys.record, s->keys.len);
    coat_attempt_run(a, &coat_script_logout, work->joins ? 3 : 2);
    coat_attempt_arg(a, s->keys.record, s->keys.len);
    coat_attempt_arg(a, s->keys.lock, s->keys.len);
    if (work->joins)
        coat_attempt_arg(a, work->index.bytes, work->index.len);
    coat_attempt_arg(a, work->hash, COAT_HASH_LEN);
    coat_attempt_number(a, now_ms);
    if (work->joins)
        coat_attempt_arg(a, coat_keys_member(&s->keys), COAT_H_LEN);
    coat_attempt_confirm(a, s->store->options->confirm);
    coat_attempt_send(a, step);
}

static void start(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                  struct coat_error *err)
{
    struct coat_work *work = &s->work;
    if (s->state == COAT_SESSION_STALE) {
        coat_session_done(s, step, replaced(s, err));
        return;
    }
    int stored = s->state != COAT_SESSION_NEW;
    int rc = stored ? coat_sid_hash(&s->sid, work->hash, err) : 0;
    if (rc == 0)
        rc = coat_session_empty_doc(s, &work->doc, err); /* while it can still fail */
    if (rc == 0 && one_script_does(s)) {
        rc = coat_index_key_make(&work->index, s->store->options->prefix, s->principal, err);
        work->joins = 1;
    }
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    if (stored)
        send_logout(s, now_ms, step);
    else
        ended(s, step, 0);
}

/* Out of the index of its principal; what becomes of that changes no result: a login sees to it. */
static void leave(struct coat_session *s, const char *principal, int rc, struct coat_step *step)
{
    struct coat_work *work = &s->work;
    struct coat_attempt *a = &work->attempt;
    if (!principal[0] ||
        coat_index_key_make(&work->index, s->store->options->prefix, principal, NULL) < 0) {
        ended(s, step, rc);
        return;
    }
    work->phase = LEAVING;
    work->rc = rc;
    coat_attempt_begin(a, COAT_LOSS_FAILS, work->index.bytes, work->index.len);
    coat_attempt_command(a, "ZREM");
    coat_attempt_arg(a, work->index.bytes, work->index.len);
    coat_attempt_arg(a, coat_keys_member(&s->keys), COAT_H_LEN);
    coat_attempt_send(a, step);
}

static void left(struct coat_session *s, const struct coat_event *event, struct coat_step *step)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, NULL);
    if (rc == 0)
        return;
    int foreign = rc == COAT_EFOREIGN || (rc == 1 && event->replies->kind != COAT_REPLY_INTEGER);
    ended(s, step, s->work.rc);
    step->close = foreign;
}

/* Whose the record was, by its first bytes; "": nobody's, or not a record. */
static void read_principal(const struct coat_reply *head, char principal[COAT_PRINCIPAL_MAX + 1])
{
    struct coat_record record;
    if (coat_record_parse(&record, head->bytes, head->len, NULL) < 0)
        record = (struct coat_record){0};
    coat_record_principal(&record, principal);
}

static int is_foreign(const struct coat_session *s, const struct coat_reply *head)
{
    const size_t tag = offsetof(struct coat_head, tag);
    return head->len >= COAT_HEAD_LEN && memcmp(head->bytes + tag, s->keys.tag, COAT_TAG_LEN) != 0;
}

static void deleted(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    char principal[COAT_PRINCIPAL_MAX + 1];
    read_principal(event->replies, principal);
    coat_life_note(&s->op.life, s->store, COAT_LIFE_DESTROYED, s->keys.public_id, principal,
                   "logout");
    int rc = coat_attempt_confirmed(&s->work.attempt, event, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else if (s->work.joins)
        ended(s, step, 1);
    else
        leave(s, principal, 1, step);
}

/* By an earlier send, or another request: that, too, is to stand after a failover. */
static void was_gone(struct coat_session *s, int by_us, struct coat_step *step)
{
    struct coat_attempt *a = &s->work.attempt;
    if (by_us)
        coat_session_note(s, COAT_LIFE_DESTROYED, "logout");
    else if (s->state == COAT_SESSION_UNLOADED)
        coat_session_note(s, COAT_LIFE_REFUSED, "unknown");
    if (s->store->options->confirm == 0) {
        leave(s, s->principal, by_us, step);
        return;
    }
    s->work.phase = MARKING;
    s->work.rc = by_us;
    coat_attempt_begin(a, COAT_LOSS_UNCERTAIN, NULL, 0);
    coat_attempt_mark(a, &s->keys, s->store->options->confirm);
    coat_attempt_send(a, step);
}

static void marked(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, err);
    if (rc == 0)
        return;
    if (rc > 0)
        rc = coat_attempt_confirmed(&s->work.attempt, event, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else
        leave(s, s->principal, s->work.rc, step);
}

static void answered(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err)
{
    enum { GONE = 0, NOT_OPENED = -1 };
    const struct coat_reply *reply = event->replies;
    int is_number = reply->kind == COAT_REPLY_INTEGER;
    if (reply->kind == COAT_REPLY_BULK && !is_foreign(s, reply)) {
        deleted(s, event, step, err);
    } else if (is_number && reply->integer == GONE) {
        int by_us = s->work.attempt.unclear; /* most likely, by the send whose reply was lost */
        if (!by_us && s->state == COAT_SESSION_UNLOADED)
            coat_store_note(s->store, COAT_COUNT_UNKNOWN_ID);
        was_gone(s, by_us, step);
    } else if (is_number && reply->integer == NOT_OPENED) {
        not_opened(s, step, err);
    } else {
        coat_session_done(s, step, coat_attempt_foreign(err));
    }
}

/* What looks like one server is a way to a cluster, which has not run the script. */
static int is_cluster(const struct coat_session *s, const struct coat_event *event)
{
    return s->work.joins && event->kind == COAT_EVENT_REPLIES &&
           coat_refusal_is(event->replies, "CROSSSLOT");
}

static void take(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                 struct coat_step *step, struct coat_error *err)
{
    if (s->work.phase == LEAVING) {
        left(s, event, step);
    } else if (s->work.phase == MARKING) {
        marked(s, event, step, err);
    } else if (is_cluster(s, event)) {
        s->work.joins = 0;
        send_logout(s, now_ms, step);
    } else {
        int rc = coat_attempt_take(&s->work.attempt, event, step, err);
        if (rc < 0)
            coat_session_done(s, step, rc);
        else if (rc > 0)
            answered(s, event, step, err);
    }
}

void coat_destroy_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err)
{
    struct coat_session *s = coat_session_of(op);
    int64_t now_ms = coat_ms_add(event->now_ms, 0);
    if (event->kind == COAT_EVENT_START)
        start(s, now_ms, step, err);
    else
        take(s, event, now_ms, step, err);
}
