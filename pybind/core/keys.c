#include "keys.h"

#include "text.h"

PyObject *core_key_make(PyObject **slot, const unsigned char *utf8, size_t len)
{
    PyObject *key = core_text_read(utf8, len);

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
