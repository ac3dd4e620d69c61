/*
 * coat_session.h: one session. Its fields are a document (coat_doc.h); what is changed there is
 * written by coat_session_save, all at once, by compare-and-set: a concurrent change of other
 * fields is kept (three-way merge), and a session that was ended meanwhile stays ended.
 *
 * One thread at a time. A session borrows its store, which must outlive it.
 */
#ifndef COAT_SESSION_H
#define COAT_SESSION_H

#include "coat_doc.h"
#include "coat_store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A new session, not yet stored: it gets its id at the first save. 0, COAT_ENOMEM. */
COAT_API int coat_session_new(struct coat_store *store, struct coat_session **out,
                              struct coat_error *err);

/* Free it; what was not saved is dropped. Wipes its id. NULL allowed. */
COAT_API void coat_session_close(struct coat_session *s);

/* Its fields: borrowed, to be read and changed. Valid until the next save or close. */
COAT_API struct coat_doc *coat_session_doc(struct coat_session *s);

/*
 * Write what was changed, with login and rotate if asked for; renews the idle clock when that is
 * due. A new session without fields or login is not stored, an unchanged one costs nothing. 0, or
 * (with the session as it was, so that the call may be repeated where that makes sense)
 *   COAT_EGONE        it was ended meanwhile
 *   COAT_EREPLACED    its id was replaced meanwhile by a login or a privilege change
 *   COAT_ECONFLICT    on_conflict is "raise", and both changed one field (`path`); or what was to
 *                     be added to (coat_doc_add) is not a number any more
 *   COAT_EUNCERTAIN   the reply was lost, and whether the save landed cannot be told. To repeat it
 *                     is safe, and where something was added, refused: load the session again. With
 *                     the reason "confirm" too few replicas had a login or a rotation in time:
 *                     where that has landed, the id that it gave is lost
 *   COAT_ETOOMANY     a login: the principal has max_sessions sessions, and on_max is "refuse"
 *   COAT_EBUSY        a login: others of the same principal took each place that was made for it
 *   COAT_ELIMIT       with the other side's fields it would be over a limit
 *   COAT_ELOCKLOST    the lock of coat_store_lock ran out before; nothing was written
 *   COAT_ECORRUPT, COAT_EFORMAT    the record was overwritten meanwhile with something else
 * or a failure of coat_store.h; after COAT_EFOREIGN too it cannot be told whether the save landed.
 */
COAT_API int coat_session_save(struct coat_session *s, struct coat_error *err);

/*
 * Log a principal in (UTF-8, 1 to 255 bytes, "user:42"): with the next save the session gets a new
 * id and a new lifetime, and the old id is dead. carry: which fields survive, as an array of
 * `count` NUL-terminated names; NULL: all of them. Fields that are not carried are deleted at
 * once; what is set afterwards is kept. 0; COAT_EUSAGE: it belongs to another principal (destroy
 * it first), or `principal` cannot be one; COAT_ENOTSTORABLE, COAT_ELIMIT: names that no field can
 * have, or too many; COAT_ENOMEM: fields may be missing now, so do not save.
 */
COAT_API int coat_session_login(struct coat_session *s, const char *principal,
                                const char *const *carry, size_t count, struct coat_error *err);

/* A change of privilege: a new id with the next save, same fields, same deadline. 0, COAT_EUSAGE.
 */
COAT_API int coat_session_rotate(struct coat_session *s, struct coat_error *err);

/*
 * End it at once, for every request that holds its id. 1, or 0 if it was gone already; where a
 * reply was lost and the repeat finds it gone, 1, though another may have ended it in between. Then
 * it is a new, empty session, which gets another id if something is stored. Otherwise it is as it
 * was:
 *   COAT_EREPLACED    its id was replaced meanwhile: it lives on under the new one
 *   COAT_EUNCERTAIN   the reply was lost, and whether it was ended cannot be told; or (`reason`
 *                     "confirm") it was, but too few replicas know of it: repeat it
 * or a failure of coat_store.h.
 */
COAT_API int coat_session_destroy(struct coat_session *s, struct coat_error *err);

/*
 * Give back the lock that coat_store_lock has taken. 1; 0: it was not held any more. On a failure
 * it ends by itself. Closing the session does not give it back.
 */
COAT_API int coat_session_unlock(struct coat_session *s, struct coat_error *err);

/* Its own idle timeout from the next save on; 0: until the deadline. 0, COAT_EUSAGE beyond 2^31-1.
 */
COAT_API int coat_session_set_idle(struct coat_session *s, int64_t idle_s, struct coat_error *err);

/* The id for the cookie, 43 characters. A secret. NULL while the session is not stored. */
COAT_API const char *coat_session_id(const struct coat_session *s);
/* For logs and lists, 12 characters; opens nothing. NULL while the session is not stored. */
COAT_API const char *coat_session_public_id(const struct coat_session *s);
/* NULL if nobody is logged in. After coat_session_login: the new one. */
COAT_API const char *coat_session_principal(const struct coat_session *s);
/* Milliseconds since 1970; 0 while the session is not stored. */
COAT_API int64_t coat_session_created_ms(const struct coat_session *s);
COAT_API int64_t coat_session_deadline_ms(const struct coat_session *s);
/* Seconds; 0: until the deadline. */
COAT_API int64_t coat_session_idle_s(const struct coat_session *s);
/* 1 until the first save. */
COAT_API int coat_session_is_new(const struct coat_session *s);
/* 1 if a save would write something: changed fields, a login, a rotation, another idle timeout. */
COAT_API int coat_session_modified(const struct coat_session *s);
/* 1 if it was loaded with an id that was replaced moments ago (coat_store_load). */
COAT_API int coat_session_stale(const struct coat_session *s);

#ifdef __cplusplus
}
#endif

#endif
