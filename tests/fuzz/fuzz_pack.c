/*
 * The packer, called in any way. The input: a byte that chooses the limits and how the calls come,
 * then the calls. In their own order they make all mistakes there are; as a tree, each container
 * has what it announces and is closed, so that most values get finished.
 */
#include <string.h>

#include "input.h"
#include "must.h"
#include "plain.h"
#include "repack.h"
#include "api/value.h"

/* A number of up to 8 bytes, so that every form of an int is near. */
static uint64_t take_number(struct input *in)
{
    size_t len = take_byte(in) % 9;
    const uint8_t *at = take(in, &len);

    return plain_number(at, len);
}

static size_t take_count(struct input *in)
{
    unsigned count = take_byte(in);

    return count < 0xfe ? count % 24 : count == 0xfe ? SIZE_MAX : (size_t)take_number(in);
}

/* ---- Calls --------------------------------------------------------------------------------- */

enum { CALLS_SCALAR = 8, CALLS = CALLS_SCALAR + 4 };

static void pack_scalar(struct coat_packer *p, unsigned call, struct input *in)
{
    const uint8_t *bytes;
    uint64_t number;
    double f;
    size_t len;

    switch (call) {
    case 0:
        coat_pack_nil(p);
        return;
    case 1:
        coat_pack_bool(p, (int)take_byte(in));
        return;
    case 2:
        coat_pack_uint(p, take_number(in));
        return;
    case 3:
        coat_pack_int(p, (int64_t)(0 - take_number(in)));
        return;
    case 4:
        number = take_number(in);
        memcpy(&f, &number, sizeof f);
        coat_pack_float(p, f);
        return;
    }
    len = take_byte(in);
    bytes = take(in, &len);
    if (call == 5)
        coat_pack_bigint(p, bytes, len);
    else if (call == 6)
        coat_pack_bytes(p, bytes, len);
    else
        coat_pack_text(p, (const char *)bytes, len);
}

static void pack_container(struct coat_packer *p, unsigned call, size_t count)
{
    if (call % 3 == 0)
        coat_pack_list(p, count);
    else if (call % 3 == 1)
        coat_pack_tuple(p, count);
    else
        coat_pack_dict(p, count);
}

/* Whatever comes. */
static void pack_anything(struct coat_packer *p, struct input *in)
{
    while (in->left > 0) {
        unsigned call = take_byte(in) % CALLS;
        int code = p->code;

        if (call < CALLS_SCALAR)
            pack_scalar(p, call, in);
        else if (call == CALLS - 1)
            coat_pack_end(p);
        else
            pack_container(p, call, take_count(in));
        must(code == 0 || p->code == code);
    }
}

/* One value; where the input has ended, nil. */
static void pack_tree(struct coat_packer *p, struct input *in, unsigned depth)
{
    unsigned call = take_byte(in);
    size_t count;

    if (call < 0xa0 || depth == 8) {
        pack_scalar(p, call % CALLS_SCALAR, in);
        return;
    }
    count = take_byte(in) % 20;
    pack_container(p, call, count);
    for (size_t i = 0; i < (call % 3 == 2 ? 2 * count : count); i++)
        pack_tree(p, in, depth + 1);
    coat_pack_end(p);
}

/* ---- What comes of them -------------------------------------------------------------------- */

/* The value passes the check, and is what its own reading makes again. */
static void try_value(const struct coat_packer *p, const struct coat_limits *limits,
                      const uint8_t *bytes, size_t len)
{
    struct coat_packer again;
    struct coat_cursor c;
    struct plain plain;
    const void *twice;
    size_t twice_len;

    plain_check(&plain, bytes, len, limits, 1);
    must(plain.code == 0);
    must(plain.items == coat_packer_items(p) && plain.deepest == coat_packer_depth(p));
    must(coat_check(bytes, len, limits, COAT_CHECK_EQUAL_KEYS, NULL, NULL) == 0);
    coat_packer_init(&again, limits);
    coat_cursor_init(&c, bytes, len);
    repack(&again, &c);
    must(coat_packer_finish(&again, &twice, &twice_len, NULL) == 0);
    must(twice_len == len && memcmp(twice, bytes, len) == 0);
    coat_packer_release(&again);
}

static void finish(struct coat_packer *p, const struct coat_limits *limits, int is_tree)
{
    struct coat_error err;
    const void *bytes;
    size_t len;
    int rc = coat_packer_finish(p, &bytes, &len, &err);

    must(rc == p->code);
    if (rc == 0) {
        try_value(p, limits, bytes, len);
        return;
    }
    must(err.code == rc && err.text[0] != '\0');
    must(rc == COAT_ENOTSTORABLE || rc == COAT_ELIMIT || rc == COAT_EUSAGE);
    must((rc == COAT_ELIMIT) == (err.reason[0] != '\0'));
    must(!is_tree || rc != COAT_EUSAGE || strcmp(err.text, "an int of no bytes") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct coat_limits limits = COAT_LIMITS_DEFAULT;
    struct input in = {bytes, len};
    unsigned how = take_byte(&in);
    struct coat_packer p;
    const void *value;
    size_t value_len;

    if (how & 2)
        limits = (struct coat_limits){3, 60, 0, 20};
    coat_packer_init(&p, &limits);
    if (how & 1)
        pack_tree(&p, &in, 0);
    else
        pack_anything(&p, &in);
    finish(&p, &limits, how & 1);

    coat_packer_reset(&p);
    coat_pack_nil(&p);
    must(coat_packer_finish(&p, &value, &value_len, NULL) == 0);
    must(value_len == 1 && memcmp(value, "\xc0", 1) == 0);
    coat_packer_release(&p);
    return 0;
}
