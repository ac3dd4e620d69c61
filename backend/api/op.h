/*
 * op.h: operations, the rules of the store as state machines without I/O.
 *
 * An operation says which commands to send, is given their replies, and says what is next or that
 * it is done. It owns every rule of ../../docs/protocol.md: what may be repeated after a lost
 * reply, what a compare-and-set that failed means, how records are merged. It holds no clock,
 * lock, socket or Python object. A driver only moves bytes and keeps the deadline: call.h is the
 * blocking one, tests/unit/script_driver.h the scripted one. Not installed.
 */
#ifndef COAT_API_OP_H
#define COAT_API_OP_H

#include <stddef.h>
#include <stdint.h>

#include "coat_error.h"
#include "api/life.h"
#include "api/reply.h"

struct coat_node;
struct coat_session;
struct coat_session_list;
struct coat_store;

struct coat_arg {
    const void *bytes;
    size_t len;
};

struct coat_command {
    const struct coat_arg *args;
    size_t count;
    struct coat_arg key;    /* it goes to the node of this key; bytes NULL: to any */
    struct coat_node *node; /* not NULL: to this one, whatever the key; the operation holds it */
};

/* What a driver tells an operation. */
struct coat_event {
    enum {
        COAT_EVENT_START,   /* the first event */
        COAT_EVENT_REPLIES, /* one reply for each command of the last SEND */
        COAT_EVENT_LOST,    /* no, or not every, reply came to the last SEND */
        COAT_EVENT_TIMER    /* a wait is over */
    } kind;
    int64_t now_ms;                   /* wall clock, since 1970 */
    int64_t monotonic_ms;             /* the clock of deadlines */
    int64_t deadline_ms;              /* of the call, on that clock */
    const struct coat_reply *replies; /* REPLIES: valid during the step */
    size_t count;
    int64_t confirmed; /* REPLIES to a step with `confirm`: how many replicas have all of it */
    int maybe_sent;    /* LOST: 0 if the server surely has not seen the commands */
    int unreached;     /* LOST: no connection could be had, so nothing was sent */
    int final;         /* LOST: no further SEND will be tried: say DONE */
    const struct coat_error *why; /* LOST, never NULL: COAT_EUNAVAILABLE, COAT_ETIMEOUT, ... */
};

/* What an operation tells its driver. */
struct coat_step {
    enum {
        COAT_STEP_SEND, /* these commands; in a cluster perhaps split up, so in no certain order */
        COAT_STEP_WAIT, /* COAT_EVENT_TIMER at until_ms; LOST, final, if that is after the deadline
                         */
        COAT_STEP_DONE  /* `rc` is the result; on failure the driver's *err was filled in */
    } kind;
    const struct coat_command *commands; /* SEND: valid until the next step */
    size_t count;
    int64_t confirm;  /* SEND: replicas that are waited for, on the connection of the commands */
    int64_t until_ms; /* WAIT: of the monotonic clock */
    int close;        /* DONE: the connection is not in step with us, close it */
    int rc;           /* DONE */
};

/* By which operations are counted (coat_stats.h). */
enum coat_op_kind {
    COAT_KIND_PING,
    COAT_KIND_LOAD,
    COAT_KIND_SAVE,
    COAT_KIND_DESTROY,
    COAT_KIND_LOCK,
    COAT_KIND_UNLOCK,
    COAT_KIND_LIST,
    COAT_KIND_DESTROY_ONE,
    COAT_KIND_DESTROY_ALL,
    COAT_KIND_GET, /* from here on of a cache */
    COAT_KIND_SET,
    COAT_KIND_DELETE,
    COAT_KIND_HAS,
    COAT_KIND_TOUCH,
    COAT_KIND_TTL,
    COAT_KIND_POP,
    COAT_KIND_INCR,
    COAT_KIND_KEYS,
    COAT_KIND_CLEAR,
    COAT_KIND_FETCH,
    COAT_KIND_FILL,
    COAT_KIND_SWAP,
    COAT_KIND_INVALIDATE,
    COAT_OP_KINDS
};

/* The base of every operation; the rest of its state stands around it. */
struct coat_op {
    void (*step)(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                 struct coat_error *err);
    enum coat_op_kind kind;
    struct coat_life life; /* what has happened, for the driver to tell once it is done */
};

/* ---- The operations on a session ---------------------------------------------------------- */

/*
 * A session has one operation at a time, in itself. While it is under way the session must not be
 * touched otherwise; an abandoned one needs no cleaning up, coat_session_close is always legal.
 */
enum coat_session_op {
    COAT_OP_LOAD, /* a session from coat_session_for_id. rc: as coat_store_load (0, 1, 2) */
    COAT_OP_SAVE, /* rc: as coat_session_save */
    /*
     * A save that does not merge. COAT_ECONFLICT: another request has saved meanwhile, and the
     * session is now what that one stored; make the change again, then this. Once the store's
     * timeout has passed over that: COAT_ETIMEOUT.
     */
    COAT_OP_UPDATE,
    COAT_OP_LOCK,   /* a load under the lock of the session. COAT_ETIMEOUT, "lock": it was not to be
                       had */
    COAT_OP_UNLOCK, /* 1; 0: it was not held any more */
    /*
     * rc: as coat_session_destroy. A session that was not loaded, by a dead id: 0, and from then
     * on it is stale, so that no cookie is set: the id may have been replaced a moment ago.
     */
    COAT_OP_DESTROY
};
struct coat_op *coat_session_op(struct coat_session *s, enum coat_session_op which);

/*
 * A session that still has to be loaded (or, without that, can only be destroyed). 1 and *out; 0
 * if `id` is malformed (counted); COAT_ENOMEM.
 */
int coat_session_for_id(struct coat_store *store, const char *id, size_t len,
                        struct coat_session **out, struct coat_error *err);

/* 1 if the last save had to merge: fields that were not changed here may have new values. */
int coat_session_merged(const struct coat_session *s);

/* ---- The operations on the sessions of a principal ----------------------------------------- */

enum coat_index_do {
    COAT_INDEX_LIST,    /* rc: 0; the list by coat_index_op_list */
    COAT_INDEX_END_ONE, /* rc: as coat_store_destroy_one */
    COAT_INDEX_END_ALL  /* rc: as coat_store_destroy_all */
};

/*
 * public_id: which one to end, or to keep (NULL: none); both texts are copied. 0 and *out, to be
 * freed; COAT_EUSAGE: no such principal is possible, or no such session to keep; COAT_ENOMEM.
 */
struct coat_index_op;
int coat_index_op_new(struct coat_index_op **out, struct coat_store *store, enum coat_index_do what,
                      const char *principal, const char *public_id, struct coat_error *err);
/*
 * End the session with these keys if it is this principal's ("": nobody's) or nobody's, listed or
 * not. As COAT_INDEX_END_ONE, but the index is not asked. 0, COAT_ENOMEM.
 */
struct coat_keys;
int coat_index_op_new_member(struct coat_index_op **out, struct coat_store *store,
                             const char *principal, const struct coat_keys *keys,
                             struct coat_error *err);
void coat_index_op_free(struct coat_index_op *x); /* NULL allowed; also when abandoned */

/* To be run once. */
struct coat_op *coat_index_op(struct coat_index_op *x);

/* The list, which is the caller's from now on; 1 if the session to keep was not in the index. */
struct coat_session_list *coat_index_op_list(struct coat_index_op *x);
int coat_index_op_lost(const struct coat_index_op *x);

/* ---- Others -------------------------------------------------------------------------------- */

/* The PING of a store; a caller places it. rc: 0. */
struct coat_ping {
    struct coat_op op;
    struct coat_arg arg;
    struct coat_command command;
    int sends;
};
struct coat_op *coat_ping_op(struct coat_ping *ping);

#endif
