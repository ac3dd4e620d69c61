/* fill.h: _core.Fill, a value that is made once, whoever wants it (api/fill.h). */
#ifndef COAT_CORE_FILL_H
#define COAT_CORE_FILL_H

#include <stdbool.h>

#include "view.h"
#include "api/fill.h"

enum core_filling { CORE_FETCHING, CORE_STORING, CORE_RELEASING, CORE_FILLINGS };

struct core_fill {
    PyObject_HEAD struct core_state *state;
    struct core_cache *cache; /* in use; NULL: broken up by the garbage collector */
    struct core_view *view;   /* NULL: it is in none */
    struct coat_cache_fill *fill;
    PyObject *value; /* what the last fetch has found; or NULL */
    enum core_filling step;
    bool busy; /* in a call that lets other threads run */
};

/* Make the type. 0, or -1 with an exception. */
int core_fill_init(PyObject *module, struct core_state *state);

/*
 * The operation of a step with these arguments: none, or to store the value, a TTL, and for how
 * long it may be stale and how long it took, in seconds. It is busy then. NULL with an exception.
 */
struct coat_op *core_fill_begin(struct core_fill *f, enum core_filling step, PyObject *const *args,
                                Py_ssize_t count);

/* The step of this name; CORE_FILLINGS: there is none. */
enum core_filling core_filling_named(PyObject *name);

/* After it: an int of enum coat_fetch, or a bool. New reference, or NULL with an exception. */
PyObject *core_fill_end(struct core_fill *f, int rc);

#endif
