#include "keys.h"

PyObject *core_key_make(PyObject **slot, const unsigned char *utf8, size_t len)
{
    PyObject *key = PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);

    if (key != NULL && slot != NULL && PyUnicode_IS_COMPACT_ASCII(key)) {
        PyObject *old = *slot;

        *slot = Py_NewRef(key);
        Py_XDECREF(old);
    }
    return key;
}

void core_keys_clear(struct core_keys *keys)
{
    for (size_t i = 0; i < CORE_KEYS; i++)
        Py_CLEAR(keys->slots[i]);
}
