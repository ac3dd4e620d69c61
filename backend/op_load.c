/* Load: read the record, see whether the id opens it, repair a TTL that is missing. */
#include "session.h"

#include <string.h>

#include "api/error.h"

enum { READING, READING_AGAIN, REPAIRING };

enum { NO_KEY = -2, NO_TTL = -1 }; /* replies of PTTL */

static void read_record(struct coat_session *s, int phase, struct coat_step *step)
{
    struct coat_attempt *a = &s->work.attempt;
    s->work.phase = phase;
    coat_attempt_begin(a, COAT_LOSS_FAILS, s->keys.record, s->keys.len);
    coat_attempt_command(a, "GET");
    coat_attempt_arg(a, s->keys.record, s->keys.len);
    coat_attempt_command(a, "PTTL");
    coat_attempt_arg(a, s->keys.record, s->keys.len);
    coat_attempt_send(a, step);
}

/*
 * Somebody took the TTL away, which would keep the key for ever. An expired record gets enough
 * for a host whose clock is behind ours to see it expire.
 */
static void repair(struct coat_session *s, const struct coat_head *head, int64_t now_ms,
                   struct coat_step *step)
{
    int64_t ttl_ms = coat_head_ttl_ms(head, now_ms);
    s->work.phase = REPAIRING;
    coat_session_expire(s, ttl_ms > 0 ? ttl_ms : 2 * COAT_CLOCK_BOUND_MS, now_ms, step);
}

/* The session is the one in the record. 1, or why not. */
static int open_session(struct coat_session *s, const struct coat_record *record,
                        struct coat_error *err)
{
    char principal[COAT_PRINCIPAL_MAX + 1];
    struct coat_doc *doc;
    int rc = coat_session_read_fields(s, record, &doc, err);
    if (rc < 0)
        return rc;
    coat_record_principal(record, principal);
    coat_session_adopt(s, &record->head, principal, doc);
    s->uses_offer = coat_head_offers(&record->head, s->work.hash);
    return 1;
}

/* An empty session in its place. 2, or why not. */
static int open_stale(struct coat_session *s, struct coat_error *err)
{
    struct coat_doc *doc;
    int rc = coat_session_empty_doc(s, &doc, err);
    if (rc < 0)
        return rc;
    coat_session_reset(s, COAT_SESSION_STALE, doc);
    return 2;
}

/* Its record is there, and its time is over. */
static void note_expired(struct coat_session *s, const struct coat_record *record, const char *why)
{
    char principal[COAT_PRINCIPAL_MAX + 1];
    coat_record_principal(record, principal);
    coat_life_note(&s->op.life, s->store, COAT_LIFE_EXPIRED, s->keys.public_id, principal, why);
}

/* What the id is to this record: the result of the load. */
static int look(struct coat_session *s, const struct coat_record *record, int64_t now_ms,
                struct coat_error *err)
{
    const char *over = coat_session_over(s->store, &record->head, now_ms);
    if (over) {
        coat_store_note(s->store, COAT_COUNT_UNKNOWN_ID);
        note_expired(s, record, over);
        return 0;
    }
    switch (coat_head_opening(&record->head, s->work.hash, now_ms, s->store->options->stale_ms)) {
    case COAT_OPENS:
        return open_session(s, record, err);
    case COAT_STALE:
        coat_store_note(s->store, COAT_COUNT_DEAD_ID);
        coat_session_note(s, COAT_LIFE_REFUSED, "replaced");
        return open_stale(s, err);
    case COAT_DEAD:
        break;
    }
    coat_store_note(s->store, COAT_COUNT_DEAD_ID);
    coat_session_note(s, COAT_LIFE_REFUSED, "dead");
    return 0;
}

/*
 * A key that is gone does not come back. So a record that has no TTL any more ended between the two
 * commands, and is gone when it is asked for again; if not, or if what is not there has a TTL, the
 * replies are not ours. "No session" is never said after one reply alone.
 */
static int are_ours(const struct coat_session *s, const struct coat_reply *get,
                    const struct coat_reply *pttl)
{
    if (pttl->kind != COAT_REPLY_INTEGER)
        return 0;
    if (get->kind == COAT_REPLY_NIL)
        return pttl->integer == NO_KEY;
    return get->kind == COAT_REPLY_BULK &&
           (pttl->integer != NO_KEY || s->work.phase != READING_AGAIN);
}

static void record_came(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                        struct coat_step *step, struct coat_error *err)
{
    const struct coat_reply *get = &event->replies[0], *pttl = &event->replies[1];
    if (!are_ours(s, get, pttl)) {
        coat_session_done(s, step, coat_attempt_foreign(err));
        return;
    }
    if (get->kind == COAT_REPLY_NIL) {
        coat_store_note(s->store, COAT_COUNT_UNKNOWN_ID);
        coat_session_note(s, COAT_LIFE_REFUSED, "unknown");
        coat_session_done(s, step, 0);
        return;
    }
    struct coat_record record;
    int rc = coat_session_read_record(s, get, &record, err);
    if (pttl->integer == NO_KEY && rc != COAT_EFOREIGN) {
        read_record(s, READING_AGAIN, step);
        return;
    }
    if (rc == 0) {
        coat_stats_record(&s->store->stats, COAT_KIND_LOAD, get->len);
        rc = look(s, &record, now_ms, err);
        coat_session_note_ttl(s, pttl->integer, now_ms);
    }
    if (rc < 0 || pttl->integer != NO_TTL) {
        coat_session_done(s, step, rc);
        return;
    }
    s->work.rc = rc;
    repair(s, &record.head, now_ms, step);
}

/* The load stands, whatever became of the repair: the next load sees to it again. */
static void repaired(struct coat_session *s, const struct coat_event *event, struct coat_step *step)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, NULL);
    if (rc == 0)
        return;
    int foreign = rc == COAT_EFOREIGN || (rc == 1 && event->replies->kind != COAT_REPLY_INTEGER);
    if (rc == 1 && !foreign && event->replies->integer == 1) {
        coat_store_note(s->store, COAT_COUNT_NO_TTL);
        coat_session_note_ttl(s, s->work.ttl_ms, s->work.asked_ms);
    }
    coat_session_done(s, step, s->work.rc);
    step->close = foreign;
}

static void start(struct coat_session *s, struct coat_step *step, struct coat_error *err)
{
    int rc = s->state == COAT_SESSION_UNLOADED
                 ? coat_sid_hash(&s->sid, s->work.hash, err)
                 : coat_error_set(err, COAT_EUSAGE, "load: the session is loaded already");
    if (rc < 0)
        coat_session_done(s, step, rc);
    else
        read_record(s, READING, step);
}

void coat_load_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    struct coat_session *s = coat_session_of(op);
    if (event->kind == COAT_EVENT_START) {
        start(s, step, err);
    } else if (s->work.phase == REPAIRING) {
        repaired(s, event, step);
    } else {
        int rc = coat_attempt_take(&s->work.attempt, event, step, err);
        if (rc < 0)
            coat_session_done(s, step, rc);
        else if (rc > 0)
            record_came(s, event, coat_ms_add(event->now_ms, 0), step, err);
    }
}
