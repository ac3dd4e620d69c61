#include "text.h"

#include <string.h>

#include "api/utf8.h"

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
