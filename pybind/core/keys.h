/*
 * keys.h: the names of dict entries, remembered. The same few occur in every session, and a hit
 * saves making the object and hashing it.
 */
#ifndef COAT_CORE_KEYS_H
#define COAT_CORE_KEYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { CORE_KEYS = 512, CORE_KEY_MAX = 32 };

struct core_keys {
    PyObject *slots[CORE_KEYS]; /* short ASCII texts, each where its bytes lead */
};

/* The text of checked UTF-8. New reference, or NULL with an exception. */
PyObject *core_key(struct core_keys *keys, const unsigned char *utf8, size_t len);

/* Nothing to traverse: texts are in no cycles. */
void core_keys_clear(struct core_keys *keys);

#endif
