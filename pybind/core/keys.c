#include "keys.h"

#include "text.h"

PyObject *core_key_make(struct core_key_slot *slot, const unsigned char *utf8, size_t len)
{
    PyObject *key = core_text_read(utf8, len);

    if (key != NULL && slot != NULL) {
        Py_XSETREF(slot->key, Py_NewRef(key));
        slot->len = (uint8_t)len;
        memcpy(slot->utf8, utf8, len);
    }
    return key;
}

void core_keys_clear(struct core_keys *keys)
{
    for (size_t i = 0; i < CORE_KEYS; i++)
        Py_CLEAR(keys->slots[i].key);
}
