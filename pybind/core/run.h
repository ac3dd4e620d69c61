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

/* What the paths in its failures start from. */
const char *core_root(const struct coat_op *op);

/* What a callback of the library needs of the call, or the connect, that it is a part of. */
struct core_pause {
    PyThreadState *thread; /* that has let go of the interpreter's lock; NULL: it has it */
    PyObject *exception;   /* of the callback; or NULL */
    enum core_blame {
        CORE_CAUSES, /* it is the cause of what the call raises */
        CORE_RAISES  /* it is what the call raises */
    } blame;
    PyObject *given; /* to credentials the answer is known; else NULL. Borrowed */
};

/* From now on this thread's one; returns the one before, to be set again. */
struct core_pause *core_pause_begin(struct core_pause *pause);

/*
 * From a callback of the library, in the thread of this core_pause: run a function with the
 * interpreter's lock. What it returns; below 0 with an exception, which is kept.
 */
int core_call_back(int (*function)(void *), void *argument, enum core_blame blame);

/* A coat_credentials_fn that asks a Python callable, for this thread's core_pause. */
int core_credentials(void *callable, struct coat_credentials *to, struct coat_error *err);

/* What the library wants to be known goes to the logger `coatcheck`. No exception may be set. */
void core_log_notices(struct coat_store *store);

/* The current exception as one object, with its traceback. */
PyObject *core_take_exception(void);

/*
 * Call a method with one argument, or with NULL none. As PyObject_CallMethod, whose name is a new
 * text each time: of these CPython's cache of methods keeps thousands, and finds none again.
 */
PyObject *core_call_method(PyObject *object, const char *name, PyObject *argument);

/*
 * The current exception gets this cause, an exception of the option credentials; one that is to end
 * the program takes its place instead.
 */
void core_raise_from(PyObject *cause);

#endif
