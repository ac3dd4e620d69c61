/*
 * session.h: _core.Session, one session.
 *
 * Its fields are the library's document, bytes; those that were looked at or assigned are kept
 * beside it as the one object that was handed out (fields.h).
 */
#ifndef COAT_CORE_SESSION_H
#define COAT_CORE_SESSION_H

#include <stdbool.h>

#include "coat_session.h"
#include "store.h"

struct core_session {
    PyObject_HEAD struct core_state *state;
    struct core_store *store;     /* NULL: broken up by the garbage collector */
    struct coat_session *session; /* NULL: not loaded yet */
    PyObject *id;                 /* not loaded yet: the id that was presented, or NULL */
    PyObject *on_error;           /* not loaded yet: asked if that fails, or NULL */
    PyObject *failure;            /* it failed: the session is empty and read-only, or it was
                                     awaited, and there is none. Or NULL */
    PyObject *fields;             /* dict: what was decoded or assigned, by name */
    uint64_t names_version;       /* counts changes of the set of names */
    bool busy;                    /* in a call that lets other threads run */
    bool accessed;
};

/* Make the types. 0, or -1 with an exception. */
int core_session_init(PyObject *module, struct core_state *state);

/*
 * A session of this store, of a type for its sessions. session: taken over, also on failure; NULL:
 * it is loaded by `id` (NULL: it is new), with on_error (or NULL), when it is looked at, or where
 * its calls are awaited, by one of those. New reference.
 */
PyObject *core_session_make(struct core_store *store, PyTypeObject *type,
                            struct coat_session *session, PyObject *id, PyObject *on_error);

/*
 * Is it open, and in nobody's call; also load it, before its fields or what is known about it are
 * used; also be writable, before a change. Each 0, or -1 with an exception.
 */
int core_session_ready(const struct core_session *s);
int core_session_look(struct core_session *s);
int core_session_look_to_change(struct core_session *s);

/* Has anybody looked at it? */
bool core_session_accessed(const struct core_session *s);

/*
 * A load, a save and a destroy, for the drivers, who run COAT_OP_LOAD, COAT_OP_SAVE or
 * COAT_OP_DESTROY between the two halves, with `busy` set.
 */

/* 1 and *session, to be loaded; 0: there is nothing to load any more; -1 with an exception. */
int core_session_before_load(struct core_session *s, struct coat_session **session);

/*
 * What was loaded is taken over; NULL where the id opens none. rc below 0: it failed, with an
 * exception. 0, or -1 with one.
 */
int core_session_loaded(struct core_session *s, struct coat_session *session, int rc);

/* 1 if there is something to be run; 0: there is nothing to store; -1 with an exception. */
int core_session_before_save(struct core_session *s);
PyObject *core_session_saved(struct core_session *s); /* the id, or None */

/*
 * In place of that, where it was interrupted or nobody waits any more: it may have merged and
 * landed already, and what was handed out before would then undo at the next save what others did.
 */
void core_session_unanswered(struct core_session *s);

/* After a COAT_OP_UPDATE that has to be repeated: what was handed out is of no use any more. */
void core_session_started_over(struct core_session *s);

/* 0 if there is something to unlock, or -1 with an exception. The operation is COAT_OP_UNLOCK. */
int core_session_before_unlock(struct core_session *s);

/* What is to be destroyed; taken over by core_session_destroyed if s does not hold it already. */
struct coat_session *core_session_before_destroy(struct core_session *s);
PyObject *core_session_destroyed(struct core_session *s, struct coat_session *session, int rc);

#endif
