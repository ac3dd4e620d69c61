/* Any text as JSON: refused, or a value that comes back the same from how it is written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"

/* The bytes of the value, or NULL. */
static const void *pack(struct coat_packer *p, const void *text, size_t len, size_t *value_len)
{
    struct coat_error err;
    const void *value;
    coat_packer_init(p, NULL);
    int rc = json_pack(p, text, len, &err);
    if (rc < 0 && rc != COAT_EUSAGE && rc != COAT_ENOMEM)
        abort();
    return rc == 0 && coat_packer_finish(p, &value, value_len, &err) == 0 ? value : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct coat_packer first, second;
    struct coat_buf json = COAT_BUF_INIT;
    size_t value_len, again_len;
    const void *value = pack(&first, len ? (const void *)bytes : "", len, &value_len);

    if (value && json_append(&json, value, value_len) == 0) {
        const void *again = pack(&second, json.bytes, json.len, &again_len);
        if (!again || again_len != value_len || memcmp(again, value, value_len) != 0)
            abort();
        coat_packer_release(&second);
    }
    coat_buf_release(&json);
    coat_packer_release(&first);
    return 0;
}
