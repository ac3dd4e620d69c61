/*
 * coat_store.h: a store, where the sessions of one application live.
 *
 * A store may be used by any number of threads at once, and after fork() by parent and child:
 * each then has connections of its own. Every call that talks to Redis ends within the `timeout`
 * option: resolving the host's name, connecting and retries included. A name is resolved anew for
 * each connection, by a helper thread that ends with its look-up; where name servers are silent
 * it may outlive the call, and even the store. Failures that all share:
 *
 *     COAT_EUNAVAILABLE   no connection, or the server cannot serve now (`reason`: "OOM", ...)
 *     COAT_ETIMEOUT       the deadline has passed
 *     COAT_EDENIED        wrong password, or the user lacks a permission
 *     COAT_EFOREIGN       a reply belongs to another request
 *     COAT_ENOMEM
 *
 * Those that end sessions share another one, COAT_EUNCERTAIN: no reply came, and whether they were
 * ended cannot be told; or (`reason` "confirm") they were, but too few replicas know of it. To do
 * it again is right in both cases.
 */
#ifndef COAT_STORE_H
#define COAT_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "coat_options.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_doc;
struct coat_store;
struct coat_session;

/*
 * Open a store. Does not connect (embedded: alone starts or finds its server). The options are
 * copied and may be freed. 0 and *out, to be closed; COAT_ECONFIG: no url, no prefix, options
 * that do not go together.
 */
COAT_API int coat_store_open(struct coat_store **out, const struct coat_options *o,
                             struct coat_error *err);

/* Close its connections and free it. No session of it may be open. NULL allowed. */
COAT_API void coat_store_close(struct coat_store *store);

/*
 * What it is, for a log, without secrets: the URL without user, password and parameters, and the
 * prefix. Cut off at `size`, which 256 mostly fits. Returns `to`.
 */
COAT_API const char *coat_store_describe(const struct coat_store *store, char *to, size_t size);

/* One PING. 0, or a shared failure. */
COAT_API int coat_store_ping(struct coat_store *store, struct coat_error *err);

/*
 * The session that an id opens (a cookie's value, NUL-terminated; hostile input is welcome).
 * 1: *out, to be closed by coat_session_close.
 * 0: there is none, *out is NULL: malformed (nothing was sent), unknown, expired or logged out.
 * 2: *out is an empty session with coat_session_stale(): the id was replaced moments ago by a
 *    login or a privilege change. Its save does nothing, and no cookie may be set for it.
 * COAT_ECORRUPT, COAT_EFORMAT, COAT_ELIMIT: a record is there, but not a usable one; it is left
 * alone. Or a shared failure: then it is not known whether there is a session.
 */
COAT_API int coat_store_load(struct coat_store *store, const char *id, struct coat_session **out,
                             struct coat_error *err);

/*
 * Changes a session: 0, or one of COAT_E..., described in *err, and nothing is written. It must
 * not save, destroy or close the session, and is to do the same each time that it is called.
 */
typedef int coat_update_fn(void *context, struct coat_session *s, struct coat_error *err);

/*
 * Read, change, write, of which nothing that others do meanwhile is lost: load the session that an
 * id opens, call fn on it, save it. Where another request has saved in between, nothing is merged:
 * fn is called again, on what that one has stored, for as long as the `timeout` option says.
 * 1: it landed; *out (to be closed; `out` may be NULL) is the session. 0: the id opens none. What
 * fn has returned; a failure of coat_store_load or coat_session_save; COAT_ETIMEOUT: others have
 * saved at each try. fn may have been called all the same.
 */
COAT_API int coat_store_update(struct coat_store *store, const char *id, coat_update_fn *fn,
                               void *context, struct coat_session **out, struct coat_error *err);

/*
 * As coat_store_load, with the lock of the session: for work that can be done only once, while no
 * other request does it. Waits while another one has the lock; COAT_ETIMEOUT with the reason
 * "lock": for as long as the `timeout` option says. A save lands only while the lock is still held
 * (it ends by itself after the option lock_ttl), otherwise it fails with COAT_ELOCKLOST. Requests
 * without the lock save as ever. To be given back by coat_session_unlock.
 */
COAT_API int coat_store_lock(struct coat_store *store, const char *id, struct coat_session **out,
                             struct coat_error *err);

/*
 * End the session that an id opens: 1; 0 if it opens none. Where a reply was lost and the repeat
 * finds none, 1, here and below: the send before has most likely ended it. Or a shared failure.
 */
COAT_API int coat_store_destroy(struct coat_store *store, const char *id, struct coat_error *err);

/*
 * The sessions that a principal is logged in with, the first to end first. Nothing of it opens one.
 */
struct coat_session_info {
    char public_id[13];
    int64_t created_ms, deadline_ms; /* since 1970 */
    const struct coat_doc *shown;    /* of its fields those that the option `show` names, or NULL */
};
struct coat_session_list;

/*
 * List them; the first 32768 of more. 0 and *out, to be freed. COAT_EUSAGE: no principal can be
 * named so. COAT_EFORMAT: a session has a record of a newer format. Or a shared failure.
 */
COAT_API int coat_store_sessions(struct coat_store *store, const char *principal,
                                 struct coat_session_list **out, struct coat_error *err);
COAT_API size_t coat_session_list_count(const struct coat_session_list *list);
/* The nth, from 0; borrowed. NULL: there is none. */
COAT_API const struct coat_session_info *coat_session_list_get(const struct coat_session_list *list,
                                                               size_t n);
COAT_API void coat_session_list_free(struct coat_session_list *list); /* NULL allowed */

/*
 * End one of them: 1; 0: there is none (hostile input is welcome). COAT_EUSAGE: no principal can be
 * named so. Or a shared failure.
 */
COAT_API int coat_store_destroy_one(struct coat_store *store, const char *principal,
                                    const char *public_id, struct coat_error *err);

/*
 * End all of them, or all but the one with the public id `keep` (NULL: none): how many were ended.
 * Those of a login that has not yet been answered may be among them, or survive. *index_lost (NULL
 * allowed): 1 if `keep` was not in the index, so that others may be missing from it, too.
 * COAT_EUSAGE: no principal can be named so, or no session. After any other failure some may have
 * been ended: do it again.
 */
COAT_API int coat_store_destroy_all(struct coat_store *store, const char *principal,
                                    const char *keep, int *index_lost, struct coat_error *err);

/*
 * What somebody should read about, in one line of a log: a server cannot be reached, or can be
 * again; one that may throw sessions away; fields that two requests changed at once. The oldest
 * line that was not read: 1 and *text, cut off at `size`; 0: there is none. Only the newest few are
 * kept. Cheap enough to ask after every call.
 */
COAT_API int coat_store_notice(struct coat_store *store, char *text, size_t size);

/* Events since the store was opened. */
enum coat_count {
    COAT_COUNT_UNKNOWN_ID,   /* well-formed ids that opened nothing */
    COAT_COUNT_MALFORMED_ID, /* ids that could not be ids */
    COAT_COUNT_DEAD_ID,      /* replaced ids and guesses: the session exists, the id is not its */
    COAT_COUNT_CORRUPT,      /* records under our keys that are not records */
    COAT_COUNT_CONFLICT,     /* fields that two requests changed at once */
    COAT_COUNT_NO_TTL,       /* records found without a TTL, and repaired */
    COAT_COUNT_EVICTED,      /* sessions ended by a login beyond max_sessions */
    COAT_COUNT_LOST_EVENT,   /* events (coat_life.h) that there was no memory for */
    COAT_COUNTS
};
COAT_API uint64_t coat_store_count(const struct coat_store *store, enum coat_count what);

/* Stop the server of an embedded: store, data kept. COAT_EUSAGE for any other URL. */
COAT_API int coat_store_stop_embedded(struct coat_store *store, struct coat_error *err);

#ifdef __cplusplus
}
#endif

#endif
