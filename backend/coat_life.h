/*
 * coat_life.h: what becomes of sessions, as events for a log or an audit trail.
 *
 *     created      it was stored for the first time
 *     logged_in    a principal logged in, which gave it a new id
 *     rotated      it got a new id, for a change of privilege
 *     offered      a renewal has given it a new id, beside the old one
 *     renewed      that one was used; the old one ends after the option grace
 *     destroyed    it was ended, for this reason:
 *                      logout          by coat_session_destroy or coat_store_destroy
 *                      destroy_one, destroy_all    by the call of that name
 *                      max_sessions    by a login beyond those
 *                      not_before      by a login in need of the place that it still held
 *     expired      an id was presented after the time of its session: deadline, not_before
 *     refused      an id was presented that opens nothing:
 *                      unknown     none has it
 *                      replaced    it was replaced moments ago
 *                      dead        it was replaced earlier, or guessed
 *                  or a login found no place in the index: max_sessions, busy
 *     dropped      what a request changed was not stored:
 *                      gone        the session had ended
 *                      replaced    its id had been replaced
 *     corrupt      its record is not one
 *
 * A session that is loaded, or saved again, makes no event; nor does one that ends by its idle
 * timeout while nobody comes: who comes later has an unknown id. An id that could not be one has no
 * public id, and is only counted. What nobody can tell makes no event: a save or an end whose reply
 * was lost (COAT_EUNCERTAIN), or a call that is abandoned. An end that too few replicas have
 * confirmed has happened, and is told.
 */
#ifndef COAT_LIFE_H
#define COAT_LIFE_H

#include "coat_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_store;

enum coat_life_kind {
    COAT_LIFE_CREATED,
    COAT_LIFE_LOGGED_IN,
    COAT_LIFE_ROTATED,
    COAT_LIFE_OFFERED,
    COAT_LIFE_RENEWED,
    COAT_LIFE_DESTROYED,
    COAT_LIFE_EXPIRED,
    COAT_LIFE_REFUSED,
    COAT_LIFE_DROPPED,
    COAT_LIFE_CORRUPT,
    COAT_LIFE_KINDS
};

/* "created" for COAT_LIFE_CREATED; NULL for what is no kind. */
COAT_API const char *coat_life_name(enum coat_life_kind kind);

/* Holds no id, key or field. The texts are valid during the call. */
struct coat_life_event {
    enum coat_life_kind kind;
    const char *public_id; /* whose; 12 characters */
    const char *principal; /* UTF-8, as the application has named it; NULL: nobody, or not known */
    const char *reason;    /* a word; NULL: there is nothing more to say */
};

/*
 * Called at the end of the call that made the event, in its thread and with no lock held, in the
 * order in which things happened; several threads at once where several use the store. It may use
 * the store, but not the session or the list of that call. What it was about has been done.
 */
typedef void coat_life_fn(void *context, const struct coat_life_event *event);

/*
 * Tell this function of every event from now on; NULL: nobody. To be set before the store is used
 * by several threads. `context` is borrowed. An event that there is no memory for is lost, and
 * counted (COAT_COUNT_LOST_EVENT).
 */
COAT_API void coat_store_on_event(struct coat_store *store, coat_life_fn *fn, void *context);

#ifdef __cplusplus
}
#endif

#endif
