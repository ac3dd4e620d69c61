/*
 * errors.h: the one place where a failure of the library becomes a Python exception.
 */
#ifndef COAT_CORE_ERRORS_H
#define COAT_CORE_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_error.h"

struct core_state;

/* The classes of coatcheck.exceptions that are raised from here. */
enum core_exception {
    CORE_ERROR, /* the base of the others */
    CORE_NOT_STORABLE,
    CORE_LIMIT_EXCEEDED,
    CORE_CORRUPT,
    CORE_UNKNOWN_FORMAT,
    CORE_CONFIG_ERROR,
    CORE_STORE_DENIED,
    CORE_STORE_UNAVAILABLE,
    CORE_STORE_TIMEOUT,
    CORE_FOREIGN_REPLY,
    CORE_UNCERTAIN,
    CORE_SESSION_GONE,
    CORE_CONFLICT,
    CORE_LOCK_LOST,
    CORE_LOCK_TIMEOUT,
    CORE_TOO_MANY_SESSIONS,
    CORE_BUSY,
    CORE_NOT_LOADED,
    CORE_EXCEPTIONS
};

/* Import them into the state. 0, or -1 with an exception. */
int core_errors_init(struct core_state *state);

/*
 * Raise what a call of the library reported. `root` is what its paths start from, "value" or
 * "session". Returns NULL.
 */
void *core_raise(struct core_state *state, const struct coat_error *err, const char *root);

/*
 * An exception of ours with up to two attributes; a NULL value is left out. New reference, or NULL
 * with another exception.
 */
PyObject *core_exception(struct core_state *state, enum core_exception which, PyObject *text,
                         const char *name, PyObject *value, const char *name2, PyObject *value2);

#endif
