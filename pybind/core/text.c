#include "text.h"

#include <stdbool.h>
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

/* What an object has to have room for, if the bytes are UTF-8. */
struct extent {
    size_t chars;
    Py_UCS4 most; /* no character is greater, and PyUnicode_New takes one that is as great */
};

/* Looks at eight bytes at a time: at the top of each byte, what its highest bits are. */
static struct extent extent_of(const unsigned char *utf8, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t beyond_latin1 = 0, beyond_bmp = 0; /* some byte is c4 or greater, and f0 */
    size_t tails = 0;

    for (size_t at = 0; at < len; at += 8) {
        uint64_t v = 0, both, either; /* of a byte's bits and those right of them */

        if (len - at >= 8)
            memcpy(&v, utf8 + at, 8);
        else
            coat_wire_put_raw((unsigned char *)&v, utf8 + at, len - at);
        both = v & v << 1;
        either = v | v << 1;
        beyond_latin1 |= both & (either << 2 | either << 4);
        beyond_bmp |= both & both << 2;
        tails += (((v ^ both) & tops) >> 7) * ones >> 56;
    }
    return (struct extent){len - tails, beyond_bmp & tops      ? 0x10ffff
                                        : beyond_latin1 & tops ? 0xffff
                                                               : 0xff};
}

static bool read_latin1(Py_UCS1 *to, const unsigned char *at, const unsigned char *end)
{
    uint32_t c;

    while (at < end) {
        if (end - at >= 8 && coat_is_ascii(at, 8)) {
            memcpy(to, at, 8);
            at += 8;
            to += 8;
            continue;
        }
        at = coat_utf8_read(at, end, &c);
        if (at == NULL)
            return false;
        *to++ = (Py_UCS1)c;
    }
    return true;
}

/* Four characters of two bytes each, as alphabets beyond Latin have; 0 where there are others. */
static inline uint64_t read_pairs(const unsigned char *at)
{
    const uint64_t ones = UINT64_C(0x0001000100010001);
    uint64_t v;

    memcpy(&v, at, 8);
    if (!MSGPACK_ENDIAN_LITTLE_BYTE || (v & ones * 0xc0e0) != ones * 0x80c0 ||
        (((v & ones * 0x1e) + ones * 0x1e) & ones * 0x20) != ones * 0x20)
        return 0;
    return (v & ones * 0x1f) << 6 | (v >> 8 & ones * 0x3f);
}

static bool read_ucs2(Py_UCS2 *to, const unsigned char *at, const unsigned char *end)
{
    uint64_t four;
    uint32_t c;

    while (at < end) {
        if (end - at >= 8 && (four = read_pairs(at)) != 0) {
            memcpy(to, &four, 8);
            at += 8;
            to += 4;
            continue;
        }
        at = coat_utf8_read(at, end, &c);
        if (at == NULL)
            return false;
        *to++ = (Py_UCS2)c;
    }
    return true;
}

static bool read_ucs4(Py_UCS4 *to, const unsigned char *at, const unsigned char *end)
{
    while (at < end) {
        at = coat_utf8_read(at, end, to++);
        if (at == NULL)
            return false;
    }
    return true;
}

/* Into a new text whose size is that of the bytes if they are UTF-8. */
static bool read_chars(PyObject *text, const unsigned char *at, const unsigned char *end)
{
    switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
        return read_latin1(PyUnicode_1BYTE_DATA(text), at, end);
    case PyUnicode_2BYTE_KIND:
        return read_ucs2(PyUnicode_2BYTE_DATA(text), at, end);
    default:
        return read_ucs4(PyUnicode_4BYTE_DATA(text), at, end);
    }
}

/* Texts of one character are objects that Python has already. */
static PyObject *read_short(const unsigned char *utf8, size_t len)
{
    return coat_utf8_valid(utf8, len) == len
               ? PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL)
               : NULL;
}

PyObject *core_text_read(const unsigned char *utf8, size_t len)
{
    struct extent x;
    PyObject *text;

    if (coat_is_ascii(utf8, len))
        x = (struct extent){len, 0x7f};
    else
        x = extent_of(utf8, len);
    if (x.chars < 2)
        return read_short(utf8, len);
    text = PyUnicode_New((Py_ssize_t)x.chars, x.most);
    if (text == NULL)
        return NULL;
    if (x.most == 0x7f)
        coat_wire_put_raw(PyUnicode_1BYTE_DATA(text), utf8, len);
    else if (!read_chars(text, utf8, utf8 + len))
        Py_CLEAR(text);
    return text;
}

PyObject *core_text_or_none(const char *text)
{
    if (text == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(text);
}
