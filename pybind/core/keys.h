/*
 * keys.h: the names of dict entries, remembered. The same few occur in every session, and a hit
 * saves making the object and hashing it.
 */
#ifndef COAT_CORE_KEYS_H
#define COAT_CORE_KEYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CORE_KEYS_LOG2 = 9, CORE_KEYS = 1 << CORE_KEYS_LOG2, CORE_KEY_MAX = 32 };

/* A short text, with its UTF-8, where that leads to. */
struct core_key_slot {
    PyObject *key; /* NULL: none yet */
    uint8_t len;
    unsigned char utf8[CORE_KEY_MAX];
};

struct core_keys {
    struct core_key_slot slots[CORE_KEYS];
};

/* core_key for a text that is not remembered; remembers it where `slot` is given. */
PyObject *core_key_make(struct core_key_slot *slot, const unsigned char *utf8, size_t len);

void core_keys_clear(struct core_keys *keys);

/* The first and the last bytes of a text of 1 byte or more: all of it up to 16. */
struct core_key_ends {
    uint64_t head, tail;
};

static inline struct core_key_ends core_key_ends(const unsigned char *text, size_t len)
{
    struct core_key_ends ends = {0, 0};

    if (len >= 8) {
        memcpy(&ends.head, text, 8);
        memcpy(&ends.tail, text + len - 8, 8);
    } else if (len >= 4) {
        memcpy(&ends.head, text, 4);
        memcpy(&ends.tail, text + len - 4, 4);
    } else {
        ends.head = text[0];
        ends.tail = (uint64_t)text[len / 2] << 8 | text[len - 1];
    }
    return ends;
}

/*
 * Where a text belongs. Only speed depends on how well this spreads. Of a product all bits have a
 * part in the uppermost ones; a last letter that differs is in no other.
 */
static inline size_t core_key_place(struct core_key_ends ends, size_t len)
{
    uint64_t mix = ends.head ^ (ends.tail + len) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(mix * UINT64_C(0xbf58476d1ce4e5b9) >> (64 - CORE_KEYS_LOG2));
}

/* Whether two texts of the same length are the same; the second is given with its ends. */
static inline bool core_key_same(const unsigned char *key, const unsigned char *utf8,
                                 struct core_key_ends ends, size_t len)
{
    struct core_key_ends its = core_key_ends(key, len);

    return its.head == ends.head && its.tail == ends.tail &&
           (len <= 16 || memcmp(key + 8, utf8 + 8, len - 16) == 0);
}

/* The text of UTF-8. New reference; NULL as from core_text_read. */
static inline PyObject *core_key(struct core_keys *keys, const unsigned char *utf8, size_t len)
{
    struct core_key_slot *slot;
    struct core_key_ends ends;

    if (len == 0 || len > CORE_KEY_MAX)
        return core_key_make(NULL, utf8, len);
    ends = core_key_ends(utf8, len);
    slot = &keys->slots[core_key_place(ends, len)];
    if (slot->key != NULL && slot->len == len && core_key_same(slot->utf8, utf8, ends, len))
        return Py_NewRef(slot->key);
    return core_key_make(slot, utf8, len);
}

#endif
