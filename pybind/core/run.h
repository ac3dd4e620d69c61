/* run.h: the library's blocking calls from Python. */
#ifndef COAT_CORE_RUN_H
#define COAT_CORE_RUN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_store.h"
#include "api/op.h"

struct core_state;

/*
 * Run one operation to its end, or until a signal handler raises. The interpreter's lock is
 * released meanwhile: nobody else may touch what the operation works on. timeout_ms: 0 for the
 * store's. What the operation returns, or -1 with an exception.
 */
int core_run(struct core_state *state, struct coat_store *store, struct coat_op *op,
             int64_t timeout_ms);

/* A coat_credentials_fn that asks a Python callable, in the thread of core_run. */
int core_credentials(void *callable, struct coat_credentials *to, struct coat_error *err);

#endif
