#include "text.h"

#include <string.h>

#include "api/utf8.h"
#include "api/wire.h"

static unsigned char *write_latin1(unsigned char *to, const Py_UCS1 *from, size_t len)
{
    const Py_UCS1 *end = from + len;

    while (from < end) {
        uint64_t eight;

        if (end - from >= 8 && coat_is_ascii(from, 8)) {
            memcpy(&eight, from, 8);
            memcpy(to, &eight, 8);
            from += 8;
            to += 8;
        } else {
            to = coat_utf8_put(to, *from++);
        }
    }
    return to;
}

static inline int is_surrogate(Py_UCS4 c)
{
    return (c & 0xfffff800) == 0xd800;
}

static unsigned char *write_ucs2(unsigned char *to, const Py_UCS2 *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_surrogate(from[i]))
            return NULL;
        to = coat_utf8_put(to, from[i]);
    }
    return to;
}

static unsigned char *write_ucs4(unsigned char *to, const Py_UCS4 *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_surrogate(from[i]))
            return NULL;
        to = coat_utf8_put(to, from[i]);
    }
    return to;
}

unsigned char *core_text_write(unsigned char *to, PyObject *text)
{
    size_t len = (size_t)PyUnicode_GET_LENGTH(text);

    switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
        return write_latin1(to, PyUnicode_1BYTE_DATA(text), len);
    case PyUnicode_2BYTE_KIND:
        return write_ucs2(to, PyUnicode_2BYTE_DATA(text), len);
    default:
        return write_ucs4(to, PyUnicode_4BYTE_DATA(text), len);
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* PyUnicode_New for this greatest character. */
static PyObject *new_text(const struct coat_utf8_extent *x)
{
    Py_UCS4 most = x->top >= 0xf0   ? 0x10ffff
                   : x->top >= 0xc4 ? 0xffff
                   : x->top >= 0x80 ? 0xff
                                    : 0x7f;

    return PyUnicode_New((Py_ssize_t)x->chars, most);
}

static void read_latin1(Py_UCS1 *to, const unsigned char *at, const unsigned char *end)
{
    while (at < end) {
        uint64_t eight;

        if (end - at >= 8 && coat_is_ascii(at, 8)) {
            memcpy(&eight, at, 8);
            memcpy(to, &eight, 8);
            at += 8;
            to += 8;
        } else {
            *to++ = (Py_UCS1)coat_utf8_get(&at);
        }
    }
}

static void read_ucs2(Py_UCS2 *to, const unsigned char *at, const unsigned char *end)
{
    while (at < end)
        *to++ = (Py_UCS2)coat_utf8_get(&at);
}

static void read_ucs4(Py_UCS4 *to, const unsigned char *at, const unsigned char *end)
{
    while (at < end)
        *to++ = coat_utf8_get(&at);
}

PyObject *core_text_read(const unsigned char *utf8, size_t len)
{
    struct coat_utf8_extent x;
    PyObject *text;

    if (coat_is_ascii(utf8, len))
        x = (struct coat_utf8_extent){len, 0};
    else if (coat_utf8_walk(utf8, len, &x) != len)
        return NULL;
    /* One character is an object that Python has already. */
    if (x.chars < 2)
        return PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    text = new_text(&x);
    if (text == NULL)
        return NULL;
    if (x.chars == len) {
        coat_wire_put_raw(PyUnicode_1BYTE_DATA(text), utf8, len);
        return text;
    }
    switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
        read_latin1(PyUnicode_1BYTE_DATA(text), utf8, utf8 + len);
        break;
    case PyUnicode_2BYTE_KIND:
        read_ucs2(PyUnicode_2BYTE_DATA(text), utf8, utf8 + len);
        break;
    default:
        read_ucs4(PyUnicode_4BYTE_DATA(text), utf8, utf8 + len);
    }
    return text;
}
