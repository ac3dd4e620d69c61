/* Save: touch, create, or write by compare-and-set, which save_loop.c does. */
#include "save.h"

#include <string.h>

#include "api/error.h"
#include "new_id.h"

enum { CREATE_TRIES = 3 };

/* ---- Ends ---------------------------------------------------------------------------------- */

int coat_save_gone(struct coat_session *s, struct coat_error *err)
{
    if (coat_session_modified(s))
        coat_session_note(s, COAT_LIFE_DROPPED, "gone");
    return coat_error_set(err, COAT_EGONE,
                          "session %s has ended meanwhile, by a logout or by its time, and what "
                          "was changed in it has gone with it",
                          s->keys.public_id);
}

int coat_save_replaced(struct coat_session *s, struct coat_error *err)
{
    if (coat_session_modified(s))
        coat_session_note(s, COAT_LIFE_DROPPED, "replaced");
    return coat_error_set(err, COAT_EREPLACED,
                          "the id of session %s was replaced meanwhile by a login or a change of "
                          "privilege, and nothing was written",
                          s->keys.public_id);
}

void coat_save_note_conflicts(struct coat_session *s)
{
    struct coat_conflicts *conflicts = &s->work.conflicts;
    if (conflicts->count == 0)
        return;
    coat_store_tell(s->store, "session %s: changed by two requests at once: %s", s->keys.public_id,
                    conflicts->fields);
    for (; conflicts->count > 0; conflicts->count--)
        coat_store_note(s->store, COAT_COUNT_CONFLICT);
}

static struct coat_doc *doc_to_write(const struct coat_session *s)
{
    return s->work.doc ? s->work.doc : s->doc;
}

static const char *principal_to_write(const struct coat_session *s)
{
    return s->pending.login[0] ? s->pending.login : s->principal;
}

int64_t coat_save_to_confirm(const struct coat_session *s)
{
    return coat_new_id_replaces(s) ? s->store->options->confirm : 0;
}

/* What has become of it, once it has its new principal. */
static void note_life(struct coat_session *s, int logs_in, int rotates)
{
    const struct coat_work *work = &s->work;
    if (work->created)
        coat_session_note(s, COAT_LIFE_CREATED, NULL);
    if (logs_in)
        coat_session_note(s, COAT_LIFE_LOGGED_IN, NULL);
    else if (rotates && !work->created)
        coat_session_note(s, COAT_LIFE_ROTATED, NULL);
    else if (work->takes_offer)
        coat_session_note(s, COAT_LIFE_RENEWED, NULL);
    else if (work->offers)
        coat_session_note(s, COAT_LIFE_OFFERED, NULL);
}

/* It was written: the session becomes what was. */
static void landed(struct coat_session *s, struct coat_step *step)
{
    struct coat_work *work = &s->work;
    const char *principal = principal_to_write(s);
    struct coat_doc *doc = doc_to_write(s);
    int logs_in = s->pending.login[0] != 0, rotates = s->pending.rotate;

    if (work->created || coat_new_id_was_put(s))
        coat_session_identify(s, &work->sid, &work->keys);
    if (work->phase == COAT_SAVE_CREATING)
        s->lock.held = 0; /* that of another key */
    s->uses_offer = 0;
    s->merged = work->doc != NULL;
    work->doc = NULL;
    coat_save_note_conflicts(s);
    coat_stats_record(&s->store->stats, COAT_KIND_SAVE, work->record.len);
    coat_session_adopt(s, &work->next, principal, doc);
    coat_session_note_ttl(s, work->ttl_ms, work->asked_ms);
    note_life(s, logs_in, rotates);
    /*
     * Where there is no memory for this, the save has landed all the same. The fields then count
     * as changed until the next save, which writes them once more.
     */
    coat_doc_commit(doc, NULL);
    coat_session_done(s, step, 0);
}

void coat_save_wrote(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err)
{
    int rc = coat_attempt_confirmed(&s->work.attempt, event, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else
        landed(s, step);
}

void coat_save_written_before(struct coat_session *s, struct coat_step *step)
{
    struct coat_attempt *a = &s->work.attempt;
    if (coat_save_to_confirm(s) == 0) {
        landed(s, step);
        return;
    }
    s->work.phase = COAT_SAVE_MARKING;
    coat_attempt_begin(a, COAT_LOSS_UNCERTAIN, NULL, 0);
    coat_attempt_mark(a, &s->keys, coat_save_to_confirm(s));
    coat_attempt_send(a, step);
}

static void marked(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else if (rc > 0)
        coat_save_wrote(s, event, step, err);
}

/* ---- What all writes have in common -------------------------------------------------------- */

int coat_save_draw_revision(struct coat_work *work, struct coat_error *err)
{
    static const unsigned char NONE[COAT_REVISION_LEN];
    unsigned char *revision = work->mine[work->tries++ % COAT_REVISIONS];
    do {
        int rc = coat_random(revision, COAT_REVISION_LEN, err);
        if (rc < 0)
            return rc;
    } while (memcmp(revision, NONE, sizeof NONE) == 0);
    coat_head_revise(&work->next, revision);
    return 0;
}

int coat_save_write_record(struct coat_session *s, struct coat_error *err)
{
    struct coat_buf *record = &s->work.record;
    const struct coat_doc *doc = doc_to_write(s);
    const char *principal = principal_to_write(s);
    coat_buf_clear(record);
    if (coat_buf_reserve(record, coat_record_size(principal, coat_doc_size(doc))) < 0)
        return coat_error_nomem(err);
    unsigned char *fields = coat_record_write(coat_buf_end(record), &s->work.next, principal);
    coat_buf_took(record, coat_doc_write(doc, fields));
    return 0;
}

int64_t coat_save_deadline(const struct coat_session *s, int64_t now_ms)
{
    return coat_ms_add(now_ms, coat_ms_of_seconds(s->store->options->lifetime_s));
}

/* ---- The index ----------------------------------------------------------------------------- */

void coat_save_enter(struct coat_session *s, int phase, const struct coat_keys *keys,
                     int64_t deadline_ms, struct coat_step *step, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    coat_room_free(work->room);
    int rc = coat_room_new(&work->room, s->store, principal_to_write(s), keys, deadline_ms,
                           phase == COAT_SAVE_ENTERING, err);
    if (rc == 0)
        work->room->index.life = &s->op.life;
    if (rc == 0)
        rc = coat_room_enter(work->room, step, err);
    work->phase = phase;
    if (rc < 0)
        coat_session_done(s, step, phase == COAT_SAVE_HEALING ? 0 : rc);
}

/* Nobody will have the id of the new record, so it goes again. The command is that of the room. */
static void tidy(struct coat_session *s, struct coat_step *step)
{
    struct coat_work *work = &s->work;
    struct coat_attempt *a = &work->attempt;
    work->phase = COAT_SAVE_TIDYING;
    coat_attempt_begin(a, COAT_LOSS_FAILS, work->keys.record, work->keys.len);
    coat_attempt_script(a, &coat_script_end, &work->keys);
    coat_attempt_arg(a, work->room->index.principal, work->room->index.principal_len);
    coat_attempt_send(a, step);
}

/* What it says is why there was no place. */
static void tidied(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, NULL);
    if (rc == 0)
        return;
    struct coat_error why = s->work.room->why;
    if (err)
        *err = why;
    coat_session_done(s, step, why.code);
    step->close |= rc == COAT_EFOREIGN;
}

static void entered(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                    struct coat_step *step, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    struct coat_error *why = &work->room->why;
    int rc = coat_room_take(work->room, event, step, why);
    if (rc == 0)
        return;
    if (rc == COAT_ETOOMANY || rc == COAT_EBUSY)
        coat_life_note(&s->op.life, s->store, COAT_LIFE_REFUSED,
                       work->created ? work->keys.public_id : s->keys.public_id,
                       principal_to_write(s), rc == COAT_EBUSY ? "busy" : "max_sessions");
    if (rc < 0 && work->created && !event->final && rc != COAT_EFOREIGN) {
        tidy(s, step);
    } else if (rc < 0) {
        if (err)
            *err = *why;
        coat_session_done(s, step, rc);
    } else if (work->created) {
        landed(s, step);
    } else {
        coat_save_try(s, now_ms, step, err);
    }
}

/* ---- Create -------------------------------------------------------------------------------- */

/* An id that was never used, and a first record for it. */
static int draw_session(struct coat_session *s, int64_t now_ms, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    int rc = coat_sid_draw(&work->sid, err);
    if (rc == 0)
        rc = coat_keys_make(&work->keys, s->store->options->prefix, &work->sid, err);
    if (rc == 0)
        rc = coat_sid_hash(&work->sid, work->new_hash, err);
    if (rc < 0)
        return rc;
    coat_head_init(&work->next, work->keys.tag, work->new_hash, now_ms,
                   coat_save_deadline(s, now_ms), coat_session_idle_s(s));
    return coat_save_draw_revision(work, err);
}

static void create(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                   struct coat_error *err)
{
    struct coat_work *work = &s->work;
    struct coat_attempt *a = &work->attempt;
    int rc = draw_session(s, now_ms, err);
    if (rc == 0)
        rc = coat_save_write_record(s, err);
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    work->phase = COAT_SAVE_CREATING;
    work->ttl_ms = coat_head_ttl_ms(&work->next, now_ms);
    work->asked_ms = now_ms;
    coat_attempt_begin(a, COAT_LOSS_FAILS, work->keys.record, work->keys.len);
    coat_attempt_command(a, "SET");
    coat_attempt_arg(a, work->keys.record, work->keys.len);
    coat_attempt_arg(a, work->record.bytes, work->record.len);
    coat_attempt_word(a, "NX");
    coat_attempt_word(a, "PX");
    coat_attempt_number(a, work->ttl_ms);
    coat_attempt_confirm(a, s->pending.login[0] ? s->store->options->confirm : 0);
    coat_attempt_send_once(a, step);
}

void coat_save_begin_create(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                            struct coat_error *err)
{
    s->work.tries = 0;
    s->work.created = 1;
    create(s, now_ms, step, err);
}

static void created(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    struct coat_work *work = &s->work;
    int rc = coat_attempt_confirmed(&work->attempt, event, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else if (principal_to_write(s)[0])
        coat_save_enter(s, COAT_SAVE_ENTERING, &work->keys, coat_head_deadline_ms(&work->next),
                        step, err);
    else
        landed(s, step);
}

/*
 * Taken or unclear: the id is thrown away. Were it sent again, the first one could arrive after a
 * logout and bring the session back. What it may leave behind is a record that nobody has the id
 * of, so a lost reply leaves nothing uncertain.
 */
static void create_answered(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                            struct coat_step *step, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    int again = work->tries < CREATE_TRIES && !event->final;
    if (event->kind == COAT_EVENT_LOST && again) {
        create(s, now_ms, step, err);
        return;
    }
    int rc = coat_attempt_take(&work->attempt, event, step, err);
    if (rc < 0)
        coat_session_done(s, step, rc);
    else if (event->replies->kind == COAT_REPLY_STATUS)
        created(s, event, step, err);
    else if (event->replies->kind != COAT_REPLY_NIL)
        coat_session_done(s, step, coat_attempt_foreign(err));
    else if (again)
        create(s, now_ms, step, err);
    else
        coat_session_done(
            s, step,
            coat_error_because(err, COAT_EUNAVAILABLE, "random",
                               "%d new session ids in a row were taken: the random numbers of "
                               "this host repeat, or something else writes under this prefix",
                               CREATE_TRIES));
}

/* ---- Touch --------------------------------------------------------------------------------- */

/* The idle clock is renewed only when much of it has passed: that may shorten it, never more. */
static int touch_is_due(const struct coat_session *s, int64_t now_ms)
{
    int64_t ttl_ms = coat_head_ttl_ms(&s->head, now_ms);
    int64_t passed_ms = now_ms > s->left_at_ms ? now_ms - s->left_at_ms : 0;
    return ttl_ms > 0 &&
           (double)(s->left_ms - passed_ms) < s->store->options->touch_below * (double)ttl_ms;
}

static void touch(struct coat_session *s, int64_t now_ms, struct coat_step *step)
{
    s->work.phase = COAT_SAVE_TOUCHING;
    coat_session_expire(s, coat_head_ttl_ms(&s->head, now_ms), now_ms, step);
}

static void touch_answered(struct coat_session *s, const struct coat_event *event,
                           struct coat_step *step, struct coat_error *err)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, err);
    if (rc == 0)
        return;
    if (rc > 0 && event->replies->kind != COAT_REPLY_INTEGER)
        rc = coat_attempt_foreign(err);
    else if (rc > 0 && event->replies->integer == 0)
        rc = coat_save_gone(s, err);
    if (rc < 0) {
        coat_session_done(s, step, rc);
        return;
    }
    coat_session_note_ttl(s, s->work.ttl_ms, s->work.asked_ms);
    if (s->principal[0])
        coat_save_enter(s, COAT_SAVE_HEALING, &s->keys, coat_head_deadline_ms(&s->head), step, err);
    else
        coat_session_done(s, step, 0);
}

/* It is in an index that was lost again; if not, the next touch sees to it. */
static void healed(struct coat_session *s, const struct coat_event *event, struct coat_step *step)
{
    int rc = coat_room_take(s->work.room, event, step, NULL);
    if (rc == 0)
        return;
    coat_session_done(s, step, 0);
    step->close = rc == COAT_EFOREIGN;
}

/* ---- The operation ------------------------------------------------------------------------- */

/* What a request writes that came with a replaced id goes nowhere. */
static void nothing_to_write(struct coat_session *s, struct coat_step *step)
{
    if (s->state == COAT_SESSION_STALE && coat_doc_modified(s->doc))
        coat_session_note(s, COAT_LIFE_DROPPED, "replaced");
    coat_session_done(s, step, 0);
}

static void start(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                  struct coat_error *err)
{
    int stored = s->state == COAT_SESSION_STORED;
    s->merged = 0;
    s->heals = 0;
    if (s->state == COAT_SESSION_UNLOADED)
        coat_session_done(s, step,
                          coat_error_set(err, COAT_EUSAGE, "save: load the session first"));
    else if (stored && (coat_session_modified(s) || coat_new_id_is_due(s, now_ms)))
        coat_save_begin_loop(s, now_ms, step, err);
    else if (coat_session_modified(s))
        coat_save_begin_create(s, now_ms, step, err);
    else if (stored && touch_is_due(s, now_ms))
        touch(s, now_ms, step);
    else
        nothing_to_write(s, step);
}

static void take(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                 struct coat_step *step, struct coat_error *err)
{
    switch (s->work.phase) {
    case COAT_SAVE_TOUCHING:
        touch_answered(s, event, step, err);
        break;
    case COAT_SAVE_HEALING:
        healed(s, event, step);
        break;
    case COAT_SAVE_CREATING:
        create_answered(s, event, now_ms, step, err);
        break;
    case COAT_SAVE_ENTERING:
        entered(s, event, now_ms, step, err);
        break;
    case COAT_SAVE_TIDYING:
        tidied(s, event, step, err);
        break;
    case COAT_SAVE_MARKING:
        marked(s, event, step, err);
        break;
    default:
        coat_save_loop_answered(s, event, now_ms, step, err);
    }
}

void coat_save_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    struct coat_session *s = coat_session_of(op);
    int64_t now_ms = coat_ms_add(event->now_ms, 0);
    if (event->kind == COAT_EVENT_START)
        start(s, now_ms, step, err);
    else
        take(s, event, now_ms, step, err);
    if (step->kind != COAT_STEP_DONE)
        return;
    if (step->rc != COAT_EUNCERTAIN && step->rc != COAT_EFOREIGN)
        s->unsure = 0;
    if (step->rc != COAT_ECONFLICT)
        s->contended_ms = 0;
    if (step->rc == 0 && s->heals) {
        s->heals = 0;
        coat_save_enter(s, COAT_SAVE_HEALING, &s->keys, coat_head_deadline_ms(&s->head), step,
                        NULL);
    }
}
