/*
 * Lock: take the lock of a session, wait while another request has it, and load the session only
 * then. Unlock: give it back. What the lock is worth shows in a save, which sends its token along.
 */
#include <string.h>

#include "api/error.h"
#include "session.h"

enum { TRYING, WAITING, LOADING, UNDOING };

enum { LOSSES_MAX = 3, WAIT_MIN_MS = 5, WAIT_MAX_MS = 50 };

/* ---- Unlock --------------------------------------------------------------------------------- */

static void send_unlock(struct coat_session *s, struct coat_step *step)
{
    struct coat_attempt *a = &s->work.attempt;
    coat_attempt_begin(a, COAT_LOSS_FAILS, s->keys.lock, s->keys.len);
    coat_attempt_run(a, &coat_script_unlock, 1);
    coat_attempt_arg(a, s->keys.lock, s->keys.len);
    coat_attempt_arg(a, s->lock.token, sizeof s->lock.token);
    coat_attempt_send(a, step);
}

/* On a failure the lock ends by itself, so it counts as given back. */
static void unlocked(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err)
{
    int rc = coat_attempt_take(&s->work.attempt, event, step, err);
    if (rc == 0)
        return;
    if (rc > 0)
        rc = event->replies->kind == COAT_REPLY_INTEGER ? event->replies->integer > 0
                                                        : coat_attempt_foreign(err);
    s->lock.held = 0;
    coat_session_done(s, step, rc);
}

void coat_unlock_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err)
{
    struct coat_session *s = coat_session_of(op);
    if (event->kind != COAT_EVENT_START)
        unlocked(s, event, step, err);
    else if (s->lock.held)
        send_unlock(s, step);
    else
        coat_session_done(s, step, 0);
}

/* ---- Lock ----------------------------------------------------------------------------------- */

static void fail(struct coat_session *s, struct coat_step *step, int rc)
{
    s->lock.held = 0;
    coat_session_done(s, step, rc);
}

/*
 * Each try has a token of its own. With the same one, a try whose reply was lost could arrive late
 * and bring back a lock that another request has had since.
 */
static void try_lock(struct coat_session *s, struct coat_step *step, struct coat_error *err)
{
    struct coat_attempt *a = &s->work.attempt;
    int rc = coat_random(s->lock.token, sizeof s->lock.token, err);
    if (rc < 0) {
        fail(s, step, rc);
        return;
    }
    s->lock.phase = TRYING;
    coat_attempt_begin(a, COAT_LOSS_FAILS, s->keys.lock, s->keys.len);
    coat_attempt_command(a, "SET");
    coat_attempt_arg(a, s->keys.lock, s->keys.len);
    coat_attempt_arg(a, s->lock.token, sizeof s->lock.token);
    coat_attempt_word(a, "NX");
    coat_attempt_word(a, "PX");
    coat_attempt_number(a, s->store->options->lock_ttl_ms);
    coat_attempt_send_once(a, step);
}

/* Longer each time, and by a part of it that is another one for each request. */
static void wait(struct coat_session *s, int64_t monotonic_ms, struct coat_step *step)
{
    int64_t longest = s->lock.wait_ms * 2 < WAIT_MAX_MS ? s->lock.wait_ms * 2 : WAIT_MAX_MS;
    s->lock.wait_ms = longest > WAIT_MIN_MS ? longest : WAIT_MIN_MS;
    s->lock.phase = WAITING;
    *step = (struct coat_step){.kind = COAT_STEP_WAIT,
                               .until_ms = monotonic_ms + s->lock.wait_ms / 2 + 1 +
                                           s->lock.token[0] % s->lock.wait_ms};
}

/*
 * Where there is no session after all, or it cannot be loaded, the lock is given back, lest others
 * wait for nothing. Where time is over, or the connection out of step, it ends by itself.
 */
static void load(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                 struct coat_error *err)
{
    s->lock.phase = LOADING;
    coat_load_step(&s->op, event, step, err);
    if (step->kind != COAT_STEP_DONE || step->rc == 1)
        return;
    s->lock.held = 0;
    s->lock.rc = step->rc;
    if (step->rc < 0 && (event->final || step->close))
        return;
    if (err && step->rc < 0)
        s->lock.why = *err;
    s->lock.phase = UNDOING;
    send_unlock(s, step);
}

static void undone(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    if (coat_attempt_take(&s->work.attempt, event, step, NULL) == 0)
        return;
    if (err && s->lock.rc < 0)
        *err = s->lock.why;
    coat_session_done(s, step, 0); /* what the load has met was counted when it ended */
    step->rc = s->lock.rc;
}

static void not_had(struct coat_session *s, struct coat_step *step, struct coat_error *err)
{
    fail(s, step,
         coat_error_because(err, COAT_ETIMEOUT, "lock",
                            "the lock of session %s is held, by another request or by this one "
                            "itself, and the time for the call is over",
                            s->keys.public_id));
}

static void tried(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                  struct coat_error *err)
{
    if (event->kind == COAT_EVENT_LOST && !event->final && s->lock.losses++ < LOSSES_MAX) {
        try_lock(s, step, err);
        return;
    }
    int rc = coat_attempt_take(&s->work.attempt, event, step, err);
    if (rc == COAT_ETIMEOUT && s->lock.wait_ms > 0) { /* so far another one had it */
        not_had(s, step, err);
    } else if (rc < 0) {
        fail(s, step, rc);
    } else if (event->replies->kind == COAT_REPLY_STATUS) {
        s->lock.held = 1;
        load(s, &(struct coat_event){.kind = COAT_EVENT_START, .now_ms = event->now_ms}, step, err);
    } else if (event->replies->kind == COAT_REPLY_NIL) {
        wait(s, event->monotonic_ms, step);
    } else {
        fail(s, step, coat_attempt_foreign(err));
    }
}

static void waited(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                   struct coat_error *err)
{
    if (event->kind == COAT_EVENT_TIMER)
        try_lock(s, step, err);
    else
        not_had(s, step, err);
}

static void start(struct coat_session *s, struct coat_step *step, struct coat_error *err)
{
    s->lock = (struct coat_lock_of_session){0};
    if (s->state == COAT_SESSION_UNLOADED)
        try_lock(s, step, err);
    else
        coat_session_done(s, step,
                          coat_error_set(err, COAT_EUSAGE, "lock: the session is loaded already"));
}

void coat_lock_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    struct coat_session *s = coat_session_of(op);
    if (event->kind == COAT_EVENT_START)
        start(s, step, err);
    else if (s->lock.phase == TRYING)
        tried(s, event, step, err);
    else if (s->lock.phase == WAITING)
        waited(s, event, step, err);
    else if (s->lock.phase == LOADING)
        load(s, event, step, err);
    else
        undone(s, event, step, err);
}
