#include "shapes.h"

/* Names that do not repeat cost least where one soon stops looking for them. */
enum { BACKOFF_MAX = 127 };

void core_shape_miss(struct core_shape *shape)
{
    Py_CLEAR(shape->dict);
    shape->backoff = shape->backoff < BACKOFF_MAX ? (uint8_t)(2 * shape->backoff + 1) : BACKOFF_MAX;
    shape->waiting = shape->backoff;
}

/* A dict with these keys, and None for each; NULL with MemoryError. */
static PyObject *keys_only(PyObject *dict)
{
    PyObject *copy = PyDict_New(), *key, *value;
    Py_ssize_t at = 0;

    while (copy != NULL && PyDict_Next(dict, &at, &key, &value)) {
        if (PyDict_SetItem(copy, key, Py_None) < 0)
            Py_CLEAR(copy);
    }
    return copy;
}

/* Whether the dict has only keys that are remembered as keys are: short and ASCII. */
static bool is_fit(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    while (PyDict_Next(dict, &at, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || !PyUnicode_IS_COMPACT_ASCII(key) ||
            PyUnicode_GET_LENGTH(key) == 0 || PyUnicode_GET_LENGTH(key) > CORE_KEY_MAX)
            return false;
    }
    return true;
}

void core_shape_learn(const struct core_layout *layout, struct core_shape *shape, PyObject *dict)
{
    struct core_entries entries;
    PyObject *copy;

    if (!layout->is_known || !is_fit(dict))
        return;
    copy = keys_only(dict);
    if (copy == NULL)
        PyErr_Clear(); /* another time */
    else if (core_dict_entries(layout, copy, &entries))
        Py_XSETREF(shape->dict, Py_NewRef(copy));
    Py_XDECREF(copy);
}

void core_shapes_clear(struct core_shapes *shapes)
{
    for (size_t i = 0; i < CORE_SHAPES; i++)
        Py_CLEAR(shapes->slots[i].dict);
}
