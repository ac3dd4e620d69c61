/*
 * refuse.h: why a value is refused, in words.
 *
 * Finding the words runs no Python code and makes nothing but texts: names are read from the types
 * themselves, and no object is made that could set off the garbage collector. So the encoder may
 * ask in the middle of its walk, and a class with a hostile metaclass is described like any other.
 */
#ifndef COAT_CORE_REFUSE_H
#define COAT_CORE_REFUSE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "errors.h"

/* Where the encoder is: the member of a container, and where that container is. */
struct core_place {
    const struct core_place *up; /* NULL: the container is the root */
    PyObject *key;               /* of a dict's member; NULL: `index` counts */
    Py_ssize_t index;
};

enum core_limit { CORE_MAX_DEPTH, CORE_MAX_BYTES, CORE_MAX_ITEMS, CORE_MAX_ODD_KEYS };

struct core_refusal {
    enum core_exception which; /* CORE_NOT_STORABLE or CORE_LIMIT_EXCEEDED */
    PyObject *path;            /* all three are texts */
    PyObject *what;            /* the type's name, or the limit's */
    PyObject *text;
};

/* `value` at `at` (NULL: the root) is of no storable type. 0, or -1 with MemoryError. */
int core_refuse_value(struct core_refusal *r, const char *root, const struct core_place *at,
                      PyObject *value);

/* A value of a storable type, or a key; why: follows the path and names the type itself. */
int core_refuse_because(struct core_refusal *r, const char *root, const struct core_place *at,
                        PyObject *value, const char *why);

/* `value` cannot be a key of the dict at `at`. */
int core_refuse_key(struct core_refusal *r, const char *root, const struct core_place *at,
                    PyObject *value, const char *advice);

/* Plain data, but more than `most` of what the limit limits. */
int core_refuse_limit(struct core_refusal *r, const char *root, const struct core_place *at,
                      enum core_limit limit, size_t most);

/* The exception that says so. New reference, or NULL with another exception. */
PyObject *core_refusal_exception(struct core_state *state, const struct core_refusal *r);

/* Raise it. Returns -1. */
int core_refusal_raise(struct core_state *state, const struct core_refusal *r);

void core_refusal_release(struct core_refusal *r);

#endif
