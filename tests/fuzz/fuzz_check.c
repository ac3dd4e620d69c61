/*
 * Any bytes: the check says what a plain reader of the same rules says, at the same byte, and what
 * passes is one value and its one encoding, also for another library.
 */
#include <string.h>

#include <msgpack.h>

#include "must.h"
#include "plain.h"
#include "repack.h"
#include "api/value.h"

static void try_repacking(const uint8_t *bytes, size_t len, const struct plain *plain)
{
    struct coat_packer p;
    struct coat_cursor c;
    const void *again;
    size_t again_len;

    coat_packer_init(&p, NULL);
    coat_cursor_init(&c, bytes, len);
    must(repack(&p, &c) == plain->items);
    must(c.at == c.end);
    must(coat_packer_finish(&p, &again, &again_len, NULL) == 0);
    must(again_len == len && memcmp(again, bytes, len) == 0);
    must(coat_packer_items(&p) == plain->items && coat_packer_depth(&p) == plain->deepest);
    coat_packer_release(&p);
}

/* msgpack-c reads it and writes the same; it goes no deeper than 32. */
static void try_msgpack(const uint8_t *bytes, size_t len)
{
    msgpack_unpacked value;
    msgpack_sbuffer again;
    msgpack_packer packer;
    size_t at = 0;

    msgpack_unpacked_init(&value);
    msgpack_sbuffer_init(&again);
    msgpack_packer_init(&packer, &again, msgpack_sbuffer_write);
    must(msgpack_unpack_next(&value, (const char *)bytes, len, &at) == MSGPACK_UNPACK_SUCCESS);
    must(at == len);
    must(msgpack_pack_object(&packer, value.data) == 0);
    must(again.size == len && memcmp(again.data, bytes, len) == 0);
    msgpack_sbuffer_destroy(&again);
    msgpack_unpacked_destroy(&value);
}

/* Whether it passes, as the plain reader says. */
static int try_checking(const uint8_t *bytes, size_t len, const struct coat_limits *limits,
                        unsigned flags, struct plain *plain)
{
    struct coat_error err;
    size_t items = 0;
    int rc = coat_check(bytes, len, limits, flags, &items, &err);

    plain_check(plain, bytes, len, limits, flags == COAT_CHECK_EQUAL_KEYS);
    must(rc == plain->code);
    must(coat_check(bytes, len, limits, flags, NULL, NULL) == rc);
    if (rc == 0) {
        must(items == plain->items);
        return 1;
    }
    must(err.code == rc && err.offset == plain->offset);
    must(strcmp(err.reason, plain->reason) == 0 && err.text[0] != '\0');
    return 0;
}

/* What passes needs just these limits, and all of its bytes. */
static void try_limits(const uint8_t *bytes, size_t len, const struct plain *passed)
{
    struct coat_limits least = {passed->deepest, len, 0, passed->items}, less = least;
    struct plain plain;

    must(try_checking(bytes, len, &least, COAT_CHECK_EQUAL_KEYS, &plain));
    less.max_items--;
    must(!try_checking(bytes, len, &less, COAT_CHECK_EQUAL_KEYS, &plain));
    must(plain.code == COAT_ELIMIT);
    less = least;
    less.max_bytes--;
    must(!try_checking(bytes, len, &less, 0, &plain));
    if (passed->deepest > 0) {
        less = least;
        less.max_depth--;
        must(!try_checking(bytes, len, &less, 0, &plain));
    }
    must(!try_checking(bytes, len - 1, NULL, 0, &plain));
    must(!try_checking(bytes, len / 2, NULL, COAT_CHECK_EQUAL_KEYS, &plain));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct coat_limits tight = {3, 40, 0, 10};
    const struct coat_limits lifted = {SIZE_MAX, SIZE_MAX, 0, SIZE_MAX};
    struct coat_cursor c;
    struct plain plain;

    try_checking(bytes, len, &tight, COAT_CHECK_EQUAL_KEYS, &plain);
    try_checking(bytes, len, &lifted, 0, &plain);
    if (!try_checking(bytes, len, NULL, 0, &plain)) {
        must(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, NULL) < 0);
        return 0;
    }
    coat_cursor_init(&c, bytes, len);
    must(coat_cursor_skip(&c) == 1);
    must(c.at == c.end);
    if (plain.deepest < 32)
        try_msgpack(bytes, len);
    if (try_checking(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, &plain)) {
        try_repacking(bytes, len, &plain);
        try_limits(bytes, len, &plain);
    }
    return 0;
}
