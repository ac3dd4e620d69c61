/* scan.h: _core.Scan, a walk over all keys of a cache, a piece at a time. */
#ifndef COAT_CORE_SCAN_H
#define COAT_CORE_SCAN_H

#include <stdbool.h>

#include "view.h"
#include "api/cache.h"

struct core_scan {
    PyObject_HEAD struct core_state *state;
    struct core_cache *cache; /* in use; NULL: broken up by the garbage collector */
    struct core_view *view;   /* NULL: it is in none */
    struct coat_cache_scan *scan;
    bool clears; /* else it finds keys */
    bool busy;   /* in a call that lets other threads run */
    bool over;
};

/* Make the type. 0, or -1 with an exception. */
int core_scan_init(PyObject *module, struct core_state *state);

/* Before a piece, which is coat_cache_scan_op. 1; 0: it is over; -1 with an exception. */
int core_scan_begin(struct core_scan *s);

/*
 * After it, rc below 0: with the current exception. A list of keys, or how many were deleted. New
 * reference, or NULL with an exception.
 */
PyObject *core_scan_end(struct core_scan *s, int rc);

#endif
