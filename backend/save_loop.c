/*
 * The loop: a save that writes a stored record, by compare-and-set. The numbered points of
 * coat_save_loop_answered are those of "The loop" in docs/protocol.md.
 */
#include "save.h"

#include <string.h>

#include "api/error.h"
#include "new_id.h"

/* The record is gone, or its time is over. A login then begins a session of its own. */
static void ended(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                  struct coat_error *err)
{
    if (s->pending.login[0])
        coat_save_begin_create(s, now_ms, step, err);
    else
        coat_session_done(s, step, coat_save_gone(s, err));
}

static int64_t idle_to_write(const struct coat_session *s)
{
    return s->pending.idle_s >= 0 ? s->pending.idle_s
                                  : coat_session_idle_after(s, coat_head_idle_s(&s->work.base));
}

void coat_save_try(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                   struct coat_error *err)
{
    struct coat_work *work = &s->work;
    struct coat_attempt *a = &work->attempt;
    if (coat_head_ttl_ms(&work->base, now_ms) <= 0) {
        ended(s, now_ms, step, err);
        return;
    }
    work->next = work->base;
    coat_new_id_put(s, now_ms);
    if (s->pending.login[0])
        coat_head_set_deadline_ms(&work->next, work->deadline_ms);
    coat_head_set_idle_s(&work->next, idle_to_write(s));
    int rc = coat_save_draw_revision(work, err);
    if (rc == 0)
        rc = coat_save_write_record(s, err);
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    work->phase = COAT_SAVE_WRITING;
    s->unsure = 1;
    work->ttl_ms = coat_head_ttl_ms(&work->next, now_ms);
    work->asked_ms = now_ms;
    coat_attempt_begin(a, COAT_LOSS_UNCERTAIN, s->keys.record, s->keys.len);
    coat_attempt_script(a, &coat_script_save, &s->keys);
    coat_attempt_arg(a, work->base.revisions[0], COAT_REVISION_LEN);
    coat_attempt_arg(a, work->record.bytes, work->record.len);
    coat_attempt_number(a, work->ttl_ms);
    if (s->lock.held)
        coat_attempt_arg(a, s->lock.token, sizeof s->lock.token);
    coat_attempt_confirm(a, coat_save_to_confirm(s));
    coat_attempt_send(a, step);
}

static int is_mine(const struct coat_work *work, const struct coat_head *theirs)
{
    size_t n = work->tries < COAT_REVISIONS ? work->tries : COAT_REVISIONS;
    for (size_t i = 0; i < n; i++) /* a record knows no more */
        if (coat_head_knows(theirs, work->mine[i]))
            return 1;
    return 0;
}

/* work->doc from their fields and my changes, always the same ones, against what I first read. */
static int merge(struct coat_session *s, const struct coat_record *theirs, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    struct coat_doc *doc;
    int rc = coat_session_read_fields(s, theirs, &doc, err);
    if (rc < 0)
        return rc;
    coat_doc_free(work->doc);
    work->doc = doc;
    rc = coat_merge(doc, s->doc, s->pending.login[0] ? s->pending.carry : NULL,
                    &s->store->options->on_conflict, &work->conflicts, err);
    if (rc < 0)
        coat_save_note_conflicts(s);
    return rc;
}

/* The session becomes theirs, and whoever has changed mine changes that: COAT_ECONFLICT. */
static int start_over(struct coat_session *s, const struct coat_record *theirs,
                      const struct coat_event *event, struct coat_error *err)
{
    int64_t now_ms = coat_ms_add(event->now_ms, 0);
    struct coat_doc *doc;
    int rc = coat_session_read_fields(s, theirs, &doc, err);
    if (rc < 0)
        return rc;
    coat_session_adopt(s, &theirs->head, s->principal, doc); /* the same, as theirs_came has seen */
    coat_session_note_ttl(s, coat_head_ttl_ms(&s->head, now_ms), now_ms);
    if (!s->contended_ms)
        s->contended_ms = event->monotonic_ms;
    if (event->monotonic_ms - s->contended_ms >= s->store->options->timeout_ms)
        return coat_error_because(err, COAT_ETIMEOUT, "timeout",
                                  "other requests have saved session %s at each try of an update, "
                                  "until its time was over",
                                  s->keys.public_id);
    return coat_error_set(err, COAT_ECONFLICT,
                          "another request has saved the session meanwhile; make the change again");
}

/*
 * Points 3 to 6: a record came back, saved by somebody else or by an earlier send of mine. How
 * often this may happen is for the deadline of the call to say: whenever I lose, another has won,
 * so no two requests can keep each other from saving for ever.
 */
static void theirs_came(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                        struct coat_step *step, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    struct coat_record theirs;
    int rc = coat_session_read_record(s, event->replies, &theirs, err);
    if (rc < 0) {
        if (work->attempt.unclear && rc != COAT_EFOREIGN)
            rc = coat_attempt_uncertain("what lies there now is not a record of ours", err);
        coat_session_done(s, step, rc);
        return;
    }
    if (is_mine(work, &theirs.head)) {
        coat_save_written_before(s, step);
        return;
    }
    if (work->attempt.unclear && !coat_head_knows(&theirs.head, work->base.revisions[0])) {
        coat_session_done(s, step,
                          coat_attempt_uncertain("others have saved too often since", err));
        return;
    }
    if (coat_head_opening(&theirs.head, work->hash, now_ms, 0) != COAT_OPENS) {
        coat_session_done(s, step, coat_save_replaced(s, err));
        return;
    }
    if (!coat_record_is_of(&theirs, s->principal))
        rc = coat_save_gone(s, err);
    else
        rc = work->starts_over ? start_over(s, &theirs, event, err) : merge(s, &theirs, err);
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    work->base = theirs.head;
    coat_save_try(s, now_ms, step, err);
}

static int lock_lost(struct coat_session *s, struct coat_error *err)
{
    if (s->work.attempt.unclear)
        return coat_attempt_uncertain("the lock was lost meanwhile", err);
    return coat_error_set(err, COAT_ELOCKLOST,
                          "the lock of session %s ran out before it was saved, and nothing was "
                          "written; make lock_ttl longer than the work under the lock",
                          s->keys.public_id);
}

void coat_save_loop_answered(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                             struct coat_step *step, struct coat_error *err)
{
    enum { LOCK_LOST = -1, GONE = 0, DONE = 1 };
    int rc = coat_attempt_take(&s->work.attempt, event, step, err); /* 1 */
    if (rc == 0)
        return;
    const struct coat_reply *reply = event->replies;
    if (rc < 0)
        coat_session_done(s, step, rc);
    else if (reply->kind == COAT_REPLY_BULK)
        theirs_came(s, event, now_ms, step, err);
    else if (reply->kind == COAT_REPLY_INTEGER && reply->integer == DONE) /* 2 */
        coat_save_wrote(s, event, step, err);
    else if (reply->kind == COAT_REPLY_INTEGER && reply->integer == GONE)
        ended(s, now_ms, step, err);
    else if (reply->kind == COAT_REPLY_INTEGER && reply->integer == LOCK_LOST && s->lock.held)
        coat_session_done(s, step, lock_lost(s, err));
    else
        coat_session_done(s, step, coat_attempt_foreign(err));
}

/* An earlier save of the same additions may have landed, and a merge would add them once more. */
static int unsure(struct coat_error *err)
{
    return coat_error_because(
        err, COAT_EUNCERTAIN, "lost",
        "an earlier save of what was added to a field may have landed, and to "
        "repeat it could count twice; load the session again");
}

/*
 * A save with a TTL leaves no touch due, and a session that is saved all the time would never come
 * back into an index that was lost. So a save enters it, too, if one of the periods into which
 * touches divide the life of a session has begun since the TTL was last set.
 */
static int heal_is_due(const struct coat_session *s, int64_t now_ms)
{
    int64_t ttl_ms = coat_head_ttl_ms(&s->head, now_ms);
    int64_t period_ms = (int64_t)((1 - s->store->options->touch_below) * (double)ttl_ms) + 1;
    int64_t set_ms = s->left_at_ms - (ttl_ms - s->left_ms);
    int64_t created_ms = coat_head_created_ms(&s->head);
    return s->principal[0] && !s->pending.login[0] && ttl_ms > 0 && set_ms < now_ms &&
           (set_ms - created_ms) / period_ms < (now_ms - created_ms) / period_ms;
}

void coat_save_begin_loop(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                          struct coat_error *err)
{
    s->heals = heal_is_due(s, now_ms);
    int rc = s->unsure && coat_doc_adds(s->doc) ? unsure(err) : coat_new_id_prepare(s, now_ms, err);
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    s->work.base = s->head;
    s->work.deadline_ms = coat_save_deadline(s, now_ms);
    if (s->pending.login[0] && coat_head_ttl_ms(&s->head, now_ms) > 0)
        coat_save_enter(s, COAT_SAVE_ENTERING, &s->keys, s->work.deadline_ms, step, err);
    else
        coat_save_try(s, now_ms, step, err);
}
