/*
 * encode.h: Python values to bytes. Exact types only, and no Python code runs: neither a method of
 * a value nor the garbage collector, so nothing can change under the walk.
 */
#ifndef COAT_CORE_ENCODE_H
#define COAT_CORE_ENCODE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "coat_value.h"
#include "refuse.h"

struct core_state;

/* What came out: in the module's scratch, until the next call of core_encode or core_check. */
struct core_bytes {
    const unsigned char *at;
    size_t len;
    size_t items; /* values at all levels */
};

/*
 * root and place: what the paths of refusals start from, "value" with NULL, or "session" and the
 * field, whose document then counts for the depth. 0, or -1 with NotStorable, LimitExceeded or
 * MemoryError.
 */
int core_encode(struct core_state *state, PyObject *value, const char *root,
                const struct core_place *place, const struct coat_limits *limits,
                struct core_bytes *out);

/*
 * Everything that core_encode would refuse, as a list of exceptions; it ends with the first limit
 * that is exceeded. New reference, or NULL with MemoryError.
 */
PyObject *core_check(struct core_state *state, PyObject *value, const struct coat_limits *limits);

#endif
