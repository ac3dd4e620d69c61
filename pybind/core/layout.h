/*
 * layout.h: all that reaches past CPython's public API. Everything else is written against these
 * few functions and works without them: they answer "not known" where CPython is of a version
 * that was not tried, where configure was told --disable-cpython-internals, and where
 * core_layout_init found on import that this interpreter is not what these lines take it for.
 */
#ifndef COAT_CORE_LAYOUT_H
#define COAT_CORE_LAYOUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* The first version that was not tried. The tests set one that they have. */
#ifndef CORE_UNTRIED_VERSION
#    define CORE_UNTRIED_VERSION 0x030e0000
#endif

#if COAT_CPYTHON_INTERNALS && PY_VERSION_HEX >= 0x030b0000 &&                                      \
    PY_VERSION_HEX < CORE_UNTRIED_VERSION && !defined(Py_GIL_DISABLED) && !defined(Py_DEBUG) &&    \
    !defined(Py_TRACE_REFS)
#    define CORE_LAYOUT_KNOWN 1
#else
#    define CORE_LAYOUT_KNOWN 0
#endif

/* What the import found out; in the module's state. */
struct core_layout {
    bool is_known;
};

/* Try out everything below. 0, or -1 with MemoryError. */
int core_layout_init(struct core_layout *layout);

/* ---- Dicts --------------------------------------------------------------------------------- */

/* Entries of a dict in its order: a key with its value behind it, or NULL where one was removed. */
struct core_entries {
    PyObject **at, **end;
    size_t stride;
    bool texts; /* every key is of type str, and of none that is derived from it */
};

#if CORE_LAYOUT_KNOWN
/* Objects/dictobject.c and Include/internal/pycore_dict.h, 3.11 to 3.13. */
struct core_dict_keys {
    Py_ssize_t refcount;
    uint8_t log2_size;
    uint8_t log2_index_bytes;
    uint8_t kind; /* 0: each entry begins with a hash; 1: all keys are texts; 2: values elsewhere */
    uint32_t version;
    Py_ssize_t usable;
    Py_ssize_t entries;
    unsigned char indices[];
};

enum { CORE_DICT_GENERAL = 0 };
#endif

/* Whether the entries of a dict can be walked; they stay so until the dict is changed. */
static inline bool core_dict_entries(const struct core_layout *layout, PyObject *dict,
                                     struct core_entries *entries)
{
#if CORE_LAYOUT_KNOWN
    const PyDictObject *d = (PyDictObject *)dict;
    struct core_dict_keys *keys = (struct core_dict_keys *)d->ma_keys;

    if (layout->is_known && d->ma_values == NULL) {
        bool hashes = keys->kind == CORE_DICT_GENERAL;

        entries->texts = !hashes;
        entries->stride = hashes ? 3 : 2;
        entries->at = (PyObject **)(void *)(keys->indices + ((size_t)1 << keys->log2_index_bytes));
        entries->end = entries->at + (size_t)keys->entries * entries->stride;
        entries->at += hashes;
        return true;
    }
#else
    (void)layout;
    (void)dict;
    (void)entries;
#endif
    return false;
}

/* ---- Ints ---------------------------------------------------------------------------------- */

/* Whether an int has at most two of CPython's digits, and then its value. */
static inline bool core_int_value(const struct core_layout *layout, PyObject *number,
                                  int64_t *value)
{
#if CORE_LAYOUT_KNOWN && PyLong_SHIFT == 30
#    if PY_VERSION_HEX >= 0x030c0000
    uintptr_t tag = ((PyLongObject *)number)->long_value.lv_tag;
    const digit *digits = ((PyLongObject *)number)->long_value.ob_digit;
    size_t count = tag >> 3;
    int64_t sign = 1 - (int64_t)(tag & 3);
#    else
    Py_ssize_t size = Py_SIZE(number);
    const digit *digits = ((PyLongObject *)number)->ob_digit;
    size_t count = (size_t)(size < 0 ? -size : size);
    int64_t sign = size < 0 ? -1 : 1;
#    endif

    if (!layout->is_known || count > 2)
        return false;
    *value = 0;
    if (count > 0)
        *value = digits[0];
    if (count > 1)
        *value |= (int64_t)digits[1] << PyLong_SHIFT;
    *value *= sign;
    return true;
#else
    (void)layout;
    (void)number;
    (void)value;
    return false;
#endif
}

/* ---- Texts --------------------------------------------------------------------------------- */

/* The UTF-8 of a compact text if it remembers it, or NULL. */
static inline const char *core_text_utf8(const struct core_layout *layout, PyObject *text,
                                         size_t *len)
{
#if CORE_LAYOUT_KNOWN
    if (layout->is_known && PyUnicode_IS_COMPACT(text)) {
        *len = (size_t)((PyCompactUnicodeObject *)text)->utf8_length;
        return ((PyCompactUnicodeObject *)text)->utf8;
    }
#else
    (void)layout;
    (void)text;
    (void)len;
#endif
    return NULL;
}

#endif
