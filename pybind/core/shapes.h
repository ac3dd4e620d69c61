/*
 * shapes.h: dicts that have the same names in the same order, as the rows of a table have. A dict
 * of a known shape is made by copying one and replacing the values, which saves looking for a
 * place for each key. Needs layout.h: without it no shape is ever known.
 */
#ifndef COAT_CORE_SHAPES_H
#define COAT_CORE_SHAPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "keys.h"
#include "layout.h"

enum { CORE_SHAPES = 64, CORE_SHAPE_MAX = 32 };

/* One of the places for shapes; where one belongs, its first key and its length say. */
struct core_shape {
    PyObject *dict;  /* all its values are None; NULL: none is known here yet */
    uint8_t waiting; /* this many dicts are made without looking here */
    uint8_t backoff; /* how many that is to be after the next dict that has another shape */
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

/* The dict that was made had another shape, which this slot may learn. Only speed depends on it. */
void core_shape_miss(struct core_shape *shape);
void core_shape_learn(const struct core_layout *layout, struct core_shape *shape, PyObject *dict);

void core_shapes_clear(struct core_shapes *shapes);

#endif
