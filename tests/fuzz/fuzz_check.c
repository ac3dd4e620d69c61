/* Any bytes: what passes the check is one value, and its one encoding. */
#include <string.h>

#include "must.h"
#include "repack.h"

static void try_repacking(const uint8_t *bytes, size_t len, size_t items)
{
    struct coat_packer p;
    struct coat_cursor c;
    const void *again;
    size_t again_len;

    coat_packer_init(&p, NULL);
    coat_cursor_init(&c, bytes, len);
    must(repack(&p, &c) == items);
    must(c.at == c.end);
    must(coat_packer_finish(&p, &again, &again_len, NULL) == 0);
    must(again_len == len && memcmp(again, bytes, len) == 0);
    coat_packer_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct coat_limits tight = {3, 40, 0, 10};
    struct coat_error err;
    struct coat_cursor c;
    size_t items = 0, same = 0;
    int rc = coat_check(bytes, len, NULL, 0, &items, &err), equal;

    if (rc < 0) {
        must(rc == err.code && (rc == COAT_ECORRUPT || rc == COAT_ELIMIT));
        must(err.offset <= len && err.text[0] != '\0');
        must((rc == COAT_ELIMIT) == (err.reason[0] != '\0'));
        must(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, NULL) < 0);
        return 0;
    }
    coat_cursor_init(&c, bytes, len);
    must(coat_cursor_skip(&c) == 1);
    must(c.at == c.end);
    equal = coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, &same, &err);
    must(equal == 0 || equal == COAT_ECORRUPT);
    if (equal == 0) {
        must(same == items);
        try_repacking(bytes, len, items);
    }
    rc = coat_check(bytes, len, &tight, 0, NULL, NULL);
    must(rc == 0 || rc == COAT_ELIMIT);
    must(rc == COAT_ELIMIT || (len <= tight.max_bytes && items <= tight.max_items));
    return 0;
}
