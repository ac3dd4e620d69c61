/* text.h: Python's texts to UTF-8 and back, without the copies that CPython would keep. */
#ifndef COAT_CORE_TEXT_H
#define COAT_CORE_TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The text of UTF-8 from outside. New reference; NULL with MemoryError, or without where it is no
 * UTF-8. */
PyObject *core_text_read(const unsigned char *utf8, size_t len);

/* The same of a C string that is known to be UTF-8; None for NULL. */
PyObject *core_text_or_none(const char *text);

/* What one character of a text can take in UTF-8: the bytes that it has in Python, and one more,
 * but no more than 4. */
static inline size_t core_text_most(PyObject *text)
{
    static const unsigned char most[] = {0, 2, 3, 0, 4};

    return most[PyUnicode_KIND(text)];
}

/*
 * Write its UTF-8, core_text_most bytes for each character at most. Returns the byte after, or
 * NULL if there is a lone surrogate in it, which UTF-8 does not have.
 */
unsigned char *core_text_write(unsigned char *to, PyObject *text);

#endif
