/*
 * store.h: _core.Store, one application's sessions.
 *
 * The library's store stays open while a session of it lives or a call on it is under way, also
 * after close(): each of these is a user of it.
 */
#ifndef COAT_CORE_STORE_H
#define COAT_CORE_STORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_store.h"

struct coat_options;
struct core_state;

struct core_store {
    PyObject_HEAD struct core_state *state;
    struct coat_store *store;   /* NULL: not opened, or closed and without users */
    PyTypeObject *session_type; /* what its sessions are, a subclass of _core.Session */
    PyObject *credentials;      /* a callable, or NULL; the library's store borrows it */
    PyObject *about;            /* which store it is, for repr(); NULL: not opened */
    PyObject *on_conflict;      /* a dict (conflict.h), or NULL */
    PyObject *on_event;         /* a callable (events.h), or NULL */
    Py_ssize_t users;
    int closed;
};

/* Make the type. 0, or -1 with an exception. */
int core_store_init(PyObject *module, struct core_state *state);

/* One user more: 0, or -1 with ValueError where the store is not open. */
int core_store_use(struct core_store *self);
void core_store_unuse(struct core_store *self);

/*
 * A session by the id that was presented, still to be loaded or destroyed. 1 and *session; 0: no
 * such id is possible; -1 with an exception. The store is in use by the caller.
 */
int core_store_session_for(struct core_store *self, PyObject *id, struct coat_session **session);

/* A timeout in whole milliseconds; 0 for None. -1 with an exception. */
int64_t core_store_timeout(PyObject *timeout);

/* ---- What a cache shares with a store -------------------------------------------------------- */

/* The options are taken over; credentials: a callable or None. 0, or -1 with an exception. */
int core_store_open(struct core_store *self, struct coat_options *options, PyObject *credentials);

/* Methods, and what fills slots. */
PyObject *core_store_close(PyObject *object, PyObject *ignored);
PyObject *core_store_ping(PyObject *object, PyObject *args, PyObject *keywords);
PyObject *core_store_stop_embedded(PyObject *object, PyObject *ignored);
PyObject *core_store_stats(PyObject *object, PyObject *ignored);
PyObject *core_store_samples(PyObject *object, PyObject *ignored);
PyObject *core_store_repr(PyObject *object);
PyObject *core_store_make(PyTypeObject *type, PyObject *args, PyObject *keywords);
int core_store_traverse(PyObject *object, visitproc visit, void *arg);
int core_store_clear(PyObject *object);
void core_store_dealloc(PyObject *object);

#endif
