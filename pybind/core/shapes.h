/*
 * shapes.h: the names that dicts begin with, for those that occur again, as in the rows of a table.
 * A dict of a known shape is made by copying one and replacing the values, which saves looking for
 * a place for each key. Needs layout.h: without it no shape is ever known.
 */
#ifndef COAT_CORE_SHAPES_H
#define COAT_CORE_SHAPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "keys.h"
#include "layout.h"

enum { CORE_SHAPES = 64, CORE_SHAPE_MAX = 32 };

/* One of the places for shapes; where one belongs, its first key and its count of entries say. */
struct core_shape {
    PyObject *dict;  /* the keys, with None for each; NULL: none are known here yet */
    uint8_t waiting; /* so many dicts with other keys are made before all keys of one are learnt */
    uint8_t backoff; /* what `waiting` was at its start */
};

struct core_shapes {
    struct core_shape slots[CORE_SHAPES];
};

/* Where the shape of a dict of `count` entries belongs, by the ends of its first key. */
static inline struct core_shape *
core_shape_slot(struct core_shapes *shapes, struct core_key_ends ends, size_t len, size_t count)
{
    return &shapes->slots[core_key_place(ends, len + 64 * count) % CORE_SHAPES];
}

/* A dict was made all of whose keys were known. */
static inline void core_shape_hit(struct core_shape *shape)
{
    shape->waiting = shape->backoff = 0;
}

/* A dict was made whose first `has` keys were known, and no more. Only speed depends on it. */
void core_shape_miss(struct core_shape *shape, PyObject *dict, size_t has);

void core_shapes_clear(struct core_shapes *shapes);

#endif
