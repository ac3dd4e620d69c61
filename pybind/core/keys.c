#include "keys.h"

#include <stdint.h>
#include <string.h>

/* Where a text of 1 to CORE_KEY_MAX bytes belongs. Only speed depends on how well it spreads. */
static size_t slot_of(const unsigned char *utf8, size_t len)
{
    uint64_t head = 0, tail = 0;

    if (len >= 8) {
        memcpy(&head, utf8, 8);
        memcpy(&tail, utf8 + len - 8, 8);
    } else if (len >= 4) {
        memcpy(&head, utf8, 4);
        memcpy(&tail, utf8 + len - 4, 4);
    } else {
        head = utf8[0];
        tail = (uint64_t)utf8[len / 2] << 8 | utf8[len - 1];
    }
    head ^= (tail + len) * UINT64_C(0x9e3779b97f4a7c15);
    head *= UINT64_C(0xbf58476d1ce4e5b9);
    return (size_t)(head >> 32) % CORE_KEYS;
}

/* Equal bytes: the texts in the slots are ASCII, so their characters are their UTF-8. */
static int is_text(PyObject *key, const unsigned char *utf8, size_t len)
{
    return key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == len &&
           memcmp(PyUnicode_1BYTE_DATA(key), utf8, len) == 0;
}

PyObject *core_key(struct core_keys *keys, const unsigned char *utf8, size_t len)
{
    PyObject **slot, *key;

    if (len == 0 || len > CORE_KEY_MAX)
        return PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    slot = &keys->slots[slot_of(utf8, len)];
    if (is_text(*slot, utf8, len)) {
        Py_INCREF(*slot);
        return *slot;
    }
    key = PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    if (key != NULL && PyUnicode_IS_COMPACT_ASCII(key)) {
        Py_INCREF(key);
        Py_XSETREF(*slot, key);
    }
    return key;
}

void core_keys_clear(struct core_keys *keys)
{
    for (size_t i = 0; i < CORE_KEYS; i++)
        Py_CLEAR(keys->slots[i]);
}
