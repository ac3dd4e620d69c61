/* request.h: a call of a cache for the drivers: its arguments become an operation, and what that
 * brings becomes its result. */
#ifndef COAT_CORE_REQUEST_H
#define COAT_CORE_REQUEST_H

#include "view.h"
#include "api/cache.h"

enum core_method {
    CORE_GET,
    CORE_GET_MANY,
    CORE_SET,
    CORE_ADD,
    CORE_SET_MANY,
    CORE_DELETE,
    CORE_DELETE_MANY,
    CORE_HAS,
    CORE_TOUCH,
    CORE_TTL,
    CORE_POP,
    CORE_INCR,
    CORE_DECR,
    CORE_GET_VERSIONED,
    CORE_COMPARE_AND_SET,
    CORE_INVALIDATE,
    CORE_METHODS
};

/* All zero: there is none. */
struct core_request {
    struct core_cache *cache; /* in use by the caller */
    struct core_view *view;   /* NULL: it is on the whole cache */
    enum core_method method;
    struct coat_cache_op *op;
    PyObject *key;   /* or the keys, as a list or tuple */
    PyObject *found; /* the value, or the default, alone or with a version; the values by key; else
                        NULL */
};

/* The method of this name; CORE_METHODS: there is none. */
enum core_method core_method_named(PyObject *name);

/* From a method's arguments. view or NULL. 0, to be released; -1 with an exception. */
int core_request_begin(struct core_request *r, struct core_cache *cache, struct core_view *view,
                       enum core_method method, PyObject *const *args, Py_ssize_t count,
                       PyObject *keywords);

/* Its operation, to be run once; from now on the request stays where it is. */
struct coat_op *core_request_op(struct core_request *r);

/* The UTF-8 of a key, borrowed. NULL with an exception. */
const char *core_request_key(PyObject *key, Py_ssize_t *len);

/*
 * What a cache finds in a reply: 1 and a new reference in *value; 0: nothing that it has stored,
 * unless that is to be raised; -1 with an exception.
 */
int core_request_decode(struct core_cache *cache, const struct coat_reply *reply, PyObject **value);

/* What the method returns after a success. New reference, or NULL with an exception. */
PyObject *core_request_result(const struct core_request *r, int rc);

int core_request_traverse(struct core_request *r, visitproc visit, void *arg);
void core_request_release(struct core_request *r); /* any number of times */

#endif
