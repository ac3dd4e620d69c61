#include "decode.h"

#include "module.h"
#include "api/error.h"
#include "api/wire.h"

#include <stdbool.h>

struct decoder {
    struct core_state *state;
    const unsigned char *start;
};

/*
 * The functions below read on at *at and leave it after the value. Depth and counts were bounded
 * by the check. New reference, or NULL with an exception.
 */
static PyObject *read_value(struct decoder *d, const unsigned char **at);

static PyObject *read_bigint(const unsigned char *bytes, size_t len)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyLong_FromNativeBytes(bytes, len, Py_ASNATIVEBYTES_BIG_ENDIAN);
#else
    return _PyLong_FromByteArray(bytes, len, 0, 1);
#endif
}

/* Whether none of the bytes is beyond ASCII. */
static bool is_ascii(const unsigned char *bytes, size_t len)
{
    uint64_t seen = 0, word;
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        memcpy(&word, bytes + i, 8);
        seen |= word;
    }
    for (; i < len; i++)
        seen |= bytes[i];
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

static PyObject *read_text(const unsigned char *utf8, size_t len)
{
    PyObject *text;

    /* One character is an object that Python has already. */
    if (len < 2 || !is_ascii(utf8, len))
        return PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    text = PyUnicode_New((Py_ssize_t)len, 127);
    if (text != NULL)
        coat_wire_put_raw(PyUnicode_1BYTE_DATA(text), utf8, len);
    return text;
}

static PyObject *read_list(struct decoder *d, const unsigned char **at, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; i < count && list != NULL; i++) {
        PyObject *member = read_value(d, at);

        if (member == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, member);
    }
    return list;
}

static PyObject *read_tuple(struct decoder *d, const unsigned char **at, size_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);

    for (size_t i = 0; i < count && tuple != NULL; i++) {
        PyObject *member = read_value(d, at);

        if (member == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, member);
    }
    return tuple;
}

static PyObject *read_key(struct decoder *d, const unsigned char **at)
{
    struct coat_wire_head h;
    const unsigned char *content = coat_wire_read(*at, NULL, 0, &h);

    if (h.kind != COAT_TEXT)
        return read_value(d, at);
    *at = content + h.len;
    return core_key(&d->state->keys, content, h.len);
}

static int read_entry(struct decoder *d, const unsigned char **at, PyObject *dict)
{
    PyObject *key = read_key(d, at), *value = key == NULL ? NULL : read_value(d, at);
    int rc = value == NULL ? -1 : PyDict_SetItem(dict, key, value);

    Py_XDECREF(key);
    Py_XDECREF(value);
    return rc;
}

/* Apart, so that the error does not take its room on every level of the recursion. */
static __attribute__((noinline)) PyObject *equal_key(const struct decoder *d, size_t offset)
{
    struct coat_error err;

    coat_error_set(&err, COAT_ECORRUPT,
                   "these bytes are damaged or not ours: the key at byte %zu equals an earlier one",
                   offset);
    err.offset = offset;
    return core_raise(d->state, &err, "value");
}

/* The pairs at `at` have made a dict with fewer, so they are read again, to find the key. */
static __attribute__((noinline)) PyObject *refuse_dict(struct decoder *d, const unsigned char *at)
{
    const unsigned char *key = at;
    PyObject *dict = PyDict_New();

    for (Py_ssize_t i = 0; dict != NULL && PyDict_GET_SIZE(dict) == i; i++) {
        key = at;
        if (read_entry(d, &at, dict) < 0)
            Py_CLEAR(dict);
    }
    if (dict == NULL)
        return NULL;
    Py_DECREF(dict);
    return equal_key(d, (size_t)(key - d->start));
}

static PyObject *read_dict(struct decoder *d, const unsigned char **at, size_t count)
{
    const unsigned char *first = *at;
    PyObject *dict = PyDict_New();

    for (size_t i = 0; i < count && dict != NULL; i++) {
        if (read_entry(d, at, dict) < 0)
            Py_CLEAR(dict);
    }
    if (dict == NULL || (size_t)PyDict_GET_SIZE(dict) == count)
        return dict;
    Py_DECREF(dict);
    return refuse_dict(d, first);
}

static PyObject *read_int(const struct coat_wire_head *h, const unsigned char *digits)
{
    switch (h->form) {
    case COAT_WIRE_INT_SIGNED:
        return PyLong_FromLongLong(h->v.i);
    case COAT_WIRE_INT_UNSIGNED:
        return PyLong_FromUnsignedLongLong(h->v.u);
    case COAT_WIRE_INT_BIG:
        break;
    }
    return read_bigint(digits, h->len);
}

static PyObject *read_value(struct decoder *d, const unsigned char **at)
{
    struct coat_wire_head h;
    const unsigned char *content = coat_wire_read(*at, NULL, 0, &h);

    *at = content;
    switch (h.kind) {
    case COAT_NIL:
        Py_RETURN_NONE;
    case COAT_BOOL:
        return PyBool_FromLong(h.v.truth);
    case COAT_INT:
        if (h.form == COAT_WIRE_INT_BIG)
            *at = content + h.len;
        return read_int(&h, content);
    case COAT_FLOAT:
        return PyFloat_FromDouble(h.v.f);
    case COAT_TEXT:
        *at = content + h.len;
        return read_text(content, h.len);
    case COAT_BYTES:
        *at = content + h.len;
        return PyBytes_FromStringAndSize((const char *)content, (Py_ssize_t)h.len);
    case COAT_LIST:
        return read_list(d, at, h.len);
    case COAT_TUPLE:
        return read_tuple(d, at, h.len);
    case COAT_DICT:
        return read_dict(d, at, h.len);
    }
    Py_UNREACHABLE();
}

PyObject *core_decode(struct core_state *state, const void *bytes)
{
    struct decoder d = {state, bytes};
    const unsigned char *at = bytes;
    int collecting = PyGC_Disable();
    PyObject *value = read_value(&d, &at);

    if (collecting)
        PyGC_Enable();
    return value;
}
