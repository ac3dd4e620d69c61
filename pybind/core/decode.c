#include "decode.h"

#include "ints.h"
#include "module.h"
#include "text.h"
#include "api/error.h"
#include "api/utf8.h"
#include "api/value.h"
#include "api/wire.h"

#include <stdbool.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * The rules are those of wire.h, utf8.h and coat_check; what they say about bytes that break them,
 * coat_check says: here it is only noticed that they do.
 */
struct decoder {
    struct core_state *state;
    const unsigned char *end;
    size_t left;       /* values that containers may still announce */
    size_t depth_left; /* containers that may still be opened within each other */
};

/*
 * The functions below read what is at `at` and return the byte after it, with a new reference in
 * *out. NULL: an exception is set, or the bytes are not ours, and *out is not set.
 */
static const unsigned char *read_list(struct decoder *d, const unsigned char *at, size_t count,
                                      PyObject **out);
static const unsigned char *read_tuple(struct decoder *d, const unsigned char *at,
                                       const struct coat_wire_head *h, bool is_key, PyObject **out);
static const unsigned char *read_dict(struct decoder *d, const unsigned char *at, size_t count,
                                      PyObject **out);

/* ---- Scalars ------------------------------------------------------------------------------- */

ALWAYS_INLINE PyObject *read_int(const struct coat_wire_head *h, const unsigned char *digits)
{
    switch (h->form) {
    case COAT_WIRE_INT_SIGNED:
        return PyLong_FromLongLong(h->v.i);
    case COAT_WIRE_INT_UNSIGNED:
        return PyLong_FromUnsignedLongLong(h->v.u);
    case COAT_WIRE_INT_BIG:
        break;
    }
    return core_int_read(digits, h->len);
}

ALWAYS_INLINE PyObject *read_text(const unsigned char *utf8, size_t len)
{
    PyObject *text;

    if (len < 2 || !coat_is_ascii(utf8, len))
        return core_text_read(utf8, len);
    text = PyUnicode_New((Py_ssize_t)len, 127);
    if (text != NULL)
        coat_wire_put_raw(PyUnicode_1BYTE_DATA(text), utf8, len);
    return text;
}

/* The value whose head was read, and has `content` behind it. */
ALWAYS_INLINE const unsigned char *read_rest(struct decoder *d, const unsigned char *content,
                                             const struct coat_wire_head *h, PyObject **out)
{
    PyObject *value = NULL;

    switch (h->kind) {
    case COAT_TEXT:
        value = read_text(content, h->len);
        content += h->len;
        break;
    case COAT_INT:
        value = read_int(h, content);
        content += h->len; /* of a big one; the others have none */
        break;
    case COAT_DICT:
        return read_dict(d, content, h->len, out);
    case COAT_LIST:
        return read_list(d, content, h->len, out);
    case COAT_TUPLE:
        return read_tuple(d, content, h, false, out);
    case COAT_NIL:
        value = Py_NewRef(Py_None);
        break;
    case COAT_BOOL:
        value = Py_NewRef(h->v.truth ? Py_True : Py_False);
        break;
    case COAT_FLOAT:
        value = PyFloat_FromDouble(h->v.f);
        break;
    case COAT_BYTES:
        value = PyBytes_FromStringAndSize((const char *)content, (Py_ssize_t)h->len);
        content += h->len;
        break;
    }
    *out = value;
    return value == NULL ? NULL : content;
}

ALWAYS_INLINE const unsigned char *read_value(struct decoder *d, const unsigned char *at,
                                              PyObject **out)
{
    struct coat_wire_head h;

    at = coat_wire_read(at, d->end, 1, &h);
    return at == NULL ? NULL : read_rest(d, at, &h, out);
}

/* ---- Lists and tuples ---------------------------------------------------------------------- */

/* Whether a container of `members` values may be opened. */
ALWAYS_INLINE bool may_open(struct decoder *d, size_t members)
{
    if (d->depth_left == 0 || members > d->left)
        return false;
    d->depth_left--;
    d->left -= members;
    return true;
}

ALWAYS_INLINE void close_container(struct decoder *d)
{
    d->depth_left++;
}

static const unsigned char *read_list(struct decoder *d, const unsigned char *at, size_t count,
                                      PyObject **out)
{
    PyObject *list;

    if (!may_open(d, count) || (list = PyList_New((Py_ssize_t)count)) == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        PyObject *member;

        at = read_value(d, at, &member);
        if (at == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, member);
    }
    close_container(d);
    *out = list;
    return at;
}

/* A key, or a member of one that is a tuple. */
static const unsigned char *read_other_key(struct decoder *d, const unsigned char *at,
                                           const struct coat_wire_head *h, PyObject **out)
{
    if (!coat_wire_may_be_key(h))
        return NULL;
    return h->kind == COAT_TUPLE ? read_tuple(d, at, h, true, out) : read_rest(d, at, h, out);
}

static const unsigned char *read_key_member(struct decoder *d, const unsigned char *at,
                                            PyObject **out)
{
    struct coat_wire_head h;

    at = coat_wire_read(at, d->end, 1, &h);
    return at == NULL ? NULL : read_other_key(d, at, &h, out);
}

static const unsigned char *read_tuple(struct decoder *d, const unsigned char *at,
                                       const struct coat_wire_head *h, bool is_key, PyObject **out)
{
    const unsigned char *stop = h->list + h->v.span;
    size_t count = h->len;
    PyObject *tuple;

    if (!may_open(d, count) || (tuple = PyTuple_New((Py_ssize_t)count)) == NULL)
        return NULL;
    for (size_t i = 0; i < count && at != NULL; i++) {
        PyObject *member;

        at = is_key ? read_key_member(d, at, &member) : read_value(d, at, &member);
        if (at != NULL)
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, member);
    }
    if (at != stop) {
        Py_DECREF(tuple);
        return NULL;
    }
    close_container(d);
    *out = tuple;
    return at;
}

/* ---- Dicts --------------------------------------------------------------------------------- */

/* Entries at `at`, one after the other, into a dict that has `has` of its `count` already. */
static const unsigned char *read_entries(struct decoder *d, const unsigned char *at, size_t has,
                                         size_t count, PyObject *dict)
{
    size_t odd = 0;

    for (; has < count; has++) {
        struct coat_wire_head h;
        PyObject *key = NULL, *value;
        int rc;

        at = coat_wire_read(at, d->end, 1, &h);
        if (at == NULL)
            return NULL;
        if (h.kind == COAT_TEXT) {
            key = core_key(&d->state->keys, at, h.len);
            at += h.len;
        } else {
            size_t left = d->left;

            at = read_other_key(d, at, &h, &key);
            if (at == NULL)
                return NULL;
            odd += coat_wire_is_odd_key(h.kind) ? 1 + left - d->left : 0;
            if (odd > COAT_ODD_KEYS_MAX) {
                Py_DECREF(key);
                return NULL;
            }
        }
        if (key == NULL)
            return NULL;
        at = read_value(d, at, &value);
        if (at == NULL) {
            Py_DECREF(key);
            return NULL;
        }
        rc = PyDict_SetItem(dict, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (rc < 0)
            return NULL;
    }
    return (size_t)PyDict_GET_SIZE(dict) == count ? at : NULL;
}

/* Whether a key of a shape, which is ASCII, is this text. */
static inline bool is_key(PyObject *key, const unsigned char *utf8, size_t len)
{
    return (size_t)PyUnicode_GET_LENGTH(key) == len &&
           core_key_same(PyUnicode_1BYTE_DATA(key), utf8, core_key_ends(utf8, len), len);
}

/*
 * Entries into a copy of a shape, as far as their keys are the same: *has says how many. The
 * collector is told of the dict if it holds a container.
 */
static const unsigned char *read_shaped(struct decoder *d, const unsigned char *at, size_t count,
                                        PyObject *dict, size_t *has)
{
    struct core_entries entries;
    bool tracks = false;

    *has = 0;
    if (!core_dict_entries(&d->state->layout, dict, &entries))
        return at;
    for (; *has < count && entries.at < entries.end; ++*has, entries.at += entries.stride) {
        struct coat_wire_head h;
        const unsigned char *next = coat_wire_read(at, d->end, 1, &h);
        PyObject *value, *none = entries.at[1];

        if (next == NULL)
            return NULL;
        if (h.kind != COAT_TEXT || h.len == 0 || !is_key(entries.at[0], next, h.len))
            break;
        next = coat_wire_read(next + h.len, d->end, 1, &h);
        tracks |= h.kind >= COAT_LIST;
        if (next == NULL || (next = read_rest(d, next, &h, &value)) == NULL)
            return NULL;
        entries.at[1] = value;
        Py_DECREF(none);
        at = next;
    }
    if (tracks && !PyObject_GC_IsTracked(dict))
        PyObject_GC_Track(dict);
    return at;
}

/* A plain dict with the first `has` entries of another. */
static PyObject *copy_entries(PyObject *from, size_t has)
{
    PyObject *dict = PyDict_New(), *key, *value;
    Py_ssize_t at = 0;

    for (; dict != NULL && has > 0 && PyDict_Next(from, &at, &key, &value); has--) {
        if (PyDict_SetItem(dict, key, value) < 0)
            Py_CLEAR(dict);
    }
    return dict;
}

/* The place for the shape of the dict at `at`, or NULL. */
ALWAYS_INLINE struct core_shape *shape_of(struct decoder *d, const unsigned char *at, size_t count)
{
    struct coat_wire_head h;

    if (!d->state->layout.is_known || count == 0 || count > CORE_SHAPE_MAX)
        return NULL;
    at = coat_wire_read(at, d->end, 1, &h);
    if (at == NULL || h.kind != COAT_TEXT || h.len == 0 || h.len > CORE_KEY_MAX)
        return NULL;
    return core_shape_slot(&d->state->shapes, core_key_ends(at, h.len), h.len, count);
}

/* A dict with the entries that begin with the keys of the shape: *has says how many. */
static const unsigned char *begin_shaped(struct decoder *d, const unsigned char *at, size_t count,
                                         const struct core_shape *shape, size_t *has,
                                         PyObject **out)
{
    size_t known = (size_t)PyDict_GET_SIZE(shape->dict);
    PyObject *dict = PyDict_Copy(shape->dict);

    if (dict == NULL)
        return NULL;
    at = read_shaped(d, at, count, dict, has);
    if (at != NULL && *has < known) {
        PyObject *less = copy_entries(dict, *has);

        Py_DECREF(dict);
        dict = less;
    }
    if (at == NULL || dict == NULL) {
        Py_XDECREF(dict);
        return NULL;
    }
    *out = dict;
    return at;
}

static const unsigned char *read_dict(struct decoder *d, const unsigned char *at, size_t count,
                                      PyObject **out)
{
    struct core_shape *shape;
    PyObject *dict;
    size_t has = 0;

    if (!may_open(d, 2 * count))
        return NULL;
    shape = shape_of(d, at, count);
    if (shape != NULL && shape->dict != NULL && (size_t)PyDict_GET_SIZE(shape->dict) <= count)
        at = begin_shaped(d, at, count, shape, &has, &dict);
    else if ((dict = PyDict_New()) == NULL)
        at = NULL;
    if (at == NULL)
        return NULL;
    if (has < count && (at = read_entries(d, at, has, count, dict)) == NULL) {
        Py_DECREF(dict);
        return NULL;
    }
    if (shape != NULL && has == count)
        core_shape_hit(shape);
    else if (shape != NULL)
        core_shape_miss(shape, dict, has);
    close_container(d);
    *out = dict;
    return at;
}

/* ---- The call ------------------------------------------------------------------------------ */

/* The bytes are not ours, or too many: coat_check says why. */
static void refuse(struct core_state *state, const void *bytes, size_t len,
                   const struct coat_limits *limits)
{
    struct coat_error err;

    if (coat_check(bytes, len, limits, COAT_CHECK_EQUAL_KEYS, NULL, &err) < 0)
        core_raise(state, &err, "value");
    else
        PyErr_SetString(PyExc_SystemError, "coatcheck refuses bytes that its own check has passed");
}

PyObject *core_decode(struct core_state *state, const void *bytes, size_t len,
                      const struct coat_limits *limits)
{
    struct coat_limits l = coat_limits_effective(limits);
    size_t values = len < l.max_items ? len : l.max_items; /* each has a byte at least */
    struct decoder d = {state, (const unsigned char *)bytes + len, values - 1, l.max_depth};
    const unsigned char *at = NULL;
    PyObject *value = NULL;
    int collecting;

    collecting = PyGC_Disable();
    if (values > 0 && len <= l.max_bytes)
        at = read_value(&d, bytes, &value);
    if (at != NULL && at != d.end)
        Py_CLEAR(value);
    if (collecting)
        PyGC_Enable();
    if (value == NULL && !PyErr_Occurred())
        refuse(state, bytes, len, limits);
    return value;
}
