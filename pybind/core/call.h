/*
 * call.h: _core.Call, one call of an event loop's driver: the operation, its courier and the
 * future that waits for it. Where its hops go is the driver's business.
 */
#ifndef COAT_CORE_CALL_H
#define COAT_CORE_CALL_H

#include "api/courier.h"
#include "request.h"
#include "fill.h"
#include "scan.h"
#include "session.h"

struct coat_channel_place;
struct core_channel;
struct core_driver;

enum core_call_kind {
    CORE_CALL_LOAD,
    CORE_CALL_LOAD_INTO,
    CORE_CALL_LOCK,
    CORE_CALL_UNLOCK,
    CORE_CALL_END,
    CORE_CALL_SAVE,
    CORE_CALL_UPDATE,
    CORE_CALL_DESTROY,
    CORE_CALL_LIST,
    CORE_CALL_DESTROY_ONE,
    CORE_CALL_DESTROY_ALL,
    CORE_CALL_CACHE,
    CORE_CALL_SCAN,
    CORE_CALL_FILL,
    CORE_CALL_PING
};

struct core_call {
    PyObject_HEAD struct core_driver *driver;
    enum core_call_kind kind;
    struct core_store *store;     /* in use; NULL: the call is over */
    struct core_session *object;  /* LOAD_INTO, SAVE, UPDATE, UNLOCK, DESTROY: busy; else NULL */
    struct coat_session *session; /* what the operation is on, or NULL */
    struct coat_index_op *index;  /* LIST, DESTROY_ONE, DESTROY_ALL: the operation; else NULL */
    struct core_request request;  /* CACHE: the call, and its operation */
    struct core_scan *scan;       /* SCAN: busy; else NULL */
    struct core_fill *fill;       /* FILL: busy; else NULL */
    struct coat_op *fill_op;
    struct coat_ping ping;
    PyObject *raised; /* by a function that it asked, and what it raises then; or NULL */
    PyObject *future;
    PyObject *cause; /* the exception that the last loss of a hop came from; or NULL */
    struct coat_courier courier;
    struct coat_hop hop; /* what the courier asked for last */
    int64_t deadline_ms;

    /* Where it waits, which has a reference to it. */
    struct core_channel *channel; /* with its place there; else NULL */
    struct coat_channel_place *place;
    struct core_call *next, **link; /* link not NULL: in the driver's list of those that pause */
};

int core_call_init(PyObject *module, struct core_state *state);

/*
 * A call whose courier is at its start, with a new future. store: one use of it is taken over, also
 * on failure; so is `session`, where `object` is NULL or does not hold it. object: of LOAD_INTO,
 * SAVE, UPDATE, UNLOCK, DESTROY. timeout_ms: 0 for the store's. NULL with an exception.
 */
struct core_call *core_call_new(struct core_driver *driver, enum core_call_kind kind,
                                struct core_store *store, struct core_session *object,
                                struct coat_session *session, int64_t timeout_ms);

/* The same for an operation on the sessions of a principal, which is taken over. */
struct core_call *core_call_on_index(struct core_driver *driver, enum core_call_kind kind,
                                     struct core_store *store, struct coat_index_op *index);

/* The same for a call of a cache, one use of which is taken over; args are the method's. */
struct core_call *core_call_on_cache(struct core_driver *driver, struct core_cache *cache,
                                     struct core_view *view, enum core_method method,
                                     PyObject *const *args, Py_ssize_t count, PyObject *keywords);

/* The same for a piece of a walk over keys, which is busy; a use of its cache is taken over. */
struct core_call *core_call_on_scan(struct core_driver *driver, struct core_scan *scan);

/* The same for a step of a Fill, which is busy with this operation. */
struct core_call *core_call_on_fill(struct core_driver *driver, struct core_fill *fill,
                                    struct coat_op *op);

/* The courier has said DONE: the future gets the result of hop.rc, or the exception of *err. */
void core_call_finish(struct core_call *call, const struct coat_error *err);

/* Nobody waits for it any more. It must not be queued or pause. Any number of times. */
void core_call_abandon(struct core_call *call);

#endif
