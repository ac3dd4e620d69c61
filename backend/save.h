/*
 * save.h: a save in its parts. op_save.c has what all writes have in common, creates and touches;
 * save_loop.c writes a stored record by compare-and-set. Each of these functions either fills in
 * the step that comes next, which the operation is then in the phase of, or ends it.
 */
#ifndef COAT_BACKEND_SAVE_H
#define COAT_BACKEND_SAVE_H

#include "session.h"

/* What the reply to come is about: work->phase. */
enum {
    COAT_SAVE_TOUCHING,
    COAT_SAVE_HEALING, /* ENTER, for an index that may have been lost */
    COAT_SAVE_CREATING,
    COAT_SAVE_ENTERING, /* ENTER, for a login */
    COAT_SAVE_TIDYING,  /* END of a record that nobody gets the id of */
    COAT_SAVE_WRITING,  /* SAVE: the loop */
    COAT_SAVE_MARKING   /* a write for replicas to confirm */
};

/* ---- op_save.c ------------------------------------------------------------------------------ */

/* Why nothing can be saved any more, also as an event. COAT_EGONE, COAT_EREPLACED. */
int coat_save_gone(struct coat_session *s, struct coat_error *err);
int coat_save_replaced(struct coat_session *s, struct coat_error *err);

/* Log and count what the merge has decided between two requests. */
void coat_save_note_conflicts(struct coat_session *s);

/* How many replicas are to have what this save writes. */
int64_t coat_save_to_confirm(const struct coat_session *s);

/* work->next gets a revision of its own. 0, or as coat_random. */
int coat_save_draw_revision(struct coat_work *work, struct coat_error *err);

/* work->record from work->next and the fields. 0, COAT_ENOMEM. */
int coat_save_write_record(struct coat_session *s, struct coat_error *err);

/* That of a session which begins, or logs in, now. */
int64_t coat_save_deadline(const struct coat_session *s, int64_t now_ms);

/* A place in the index for the session with these keys; phase: ENTERING or HEALING. */
void coat_save_enter(struct coat_session *s, int phase, const struct coat_keys *keys,
                     int64_t deadline_ms, struct coat_step *step, struct coat_error *err);

/* The first try for a new session, for a login perhaps in place of one that is gone. */
void coat_save_begin_create(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                            struct coat_error *err);

/* The reply says that it was written: the end, once the replicas have it. */
void coat_save_wrote(struct coat_session *s, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err);

/* An earlier send has written it, perhaps on another connection. */
void coat_save_written_before(struct coat_session *s, struct coat_step *step);

/* ---- save_loop.c ---------------------------------------------------------------------------- */

void coat_save_begin_loop(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                          struct coat_error *err);

/* The next attempt, on work->base. */
void coat_save_try(struct coat_session *s, int64_t now_ms, struct coat_step *step,
                   struct coat_error *err);

/* An event after an attempt. */
void coat_save_loop_answered(struct coat_session *s, const struct coat_event *event, int64_t now_ms,
                             struct coat_step *step, struct coat_error *err);

#endif
