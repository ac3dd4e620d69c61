/* index.h: calls on the sessions of a principal, for the drivers. */
#ifndef COAT_CORE_INDEX_H
#define COAT_CORE_INDEX_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "store.h"
#include "api/op.h"

/*
 * The operation for a method's arguments: the principal, and which session to end, or to keep, by
 * its public id, or None. To be freed; NULL with an exception. The store is in use by the caller.
 */
struct coat_index_op *core_index_op(struct core_store *store, enum coat_index_do what,
                                    PyObject *principal, PyObject *public_id);

/*
 * What a success returns: a list of tuples (public id, created_ms, deadline_ms, shown fields), a
 * bool, or a tuple (how many were ended, whether the index was lost).
 */
PyObject *core_index_result(struct core_store *store, enum coat_index_do what,
                            struct coat_index_op *op, int rc);

/* The blocking call from beginning to end. */
PyObject *core_index_call(struct core_store *store, enum coat_index_do what, PyObject *principal,
                          PyObject *public_id);

#endif
