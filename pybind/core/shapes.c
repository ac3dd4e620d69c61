#include "shapes.h"

/* Where all names are not the same, those at the end cost least if they are seldom learnt. */
enum { BACKOFF_MAX = 127 };

/* Whether a key is compared as keys of shapes are. */
static bool is_fit(PyObject *key)
{
    return PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key) &&
           PyUnicode_GET_LENGTH(key) > 0 && PyUnicode_GET_LENGTH(key) <= CORE_KEY_MAX;
}

/* The first keys of a dict, `most` of them or as many as are fit, with None for each. */
static PyObject *first_keys(PyObject *dict, size_t most)
{
    PyObject *keys = PyDict_New(), *key, *value;
    Py_ssize_t at = 0;

    for (; keys != NULL && most > 0 && PyDict_Next(dict, &at, &key, &value) && is_fit(key); most--)
        if (PyDict_SetItem(keys, key, Py_None) < 0)
            Py_CLEAR(keys);
    return keys;
}

/*
 * What dicts have in common stays known. What one has beyond it is learnt after ever longer waits,
 * since it is likely to be as new in the next.
 */
void core_shape_miss(struct core_shape *shape, PyObject *dict, size_t has)
{
    PyObject *keys;

    if (shape->waiting == 0) {
        has = CORE_SHAPE_MAX;
        shape->backoff = (uint8_t)((2 * shape->backoff + 1) & BACKOFF_MAX);
        shape->waiting = shape->backoff;
    } else {
        shape->waiting--;
        if (shape->dict == NULL || has == (size_t)PyDict_GET_SIZE(shape->dict))
            return;
    }
    keys = first_keys(dict, has);
    if (keys == NULL)
        PyErr_Clear(); /* another time */
    else if (PyDict_GET_SIZE(keys) == 0)
        Py_CLEAR(keys);
    Py_XSETREF(shape->dict, keys);
}

void core_shapes_clear(struct core_shapes *shapes)
{
    for (size_t i = 0; i < CORE_SHAPES; i++)
        Py_CLEAR(shapes->slots[i].dict);
}
