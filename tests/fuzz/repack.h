/* repack.h: from a cursor back into a packer, without a look at the bytes between. */
#ifndef TESTS_REPACK_H
#define TESTS_REPACK_H

#include "coat_value.h"

/* Packs the one value that the cursor is at. Returns how many values that was, at all levels. */
static inline size_t repack(struct coat_packer *p, struct coat_cursor *c)
{
    struct coat_item item;
    size_t members, items = 1;

    if (!coat_cursor_next(c, &item))
        return 0;
    members = item.kind == COAT_DICT ? 2 * item.count : item.count;
    switch (item.kind) {
    case COAT_NIL:
        coat_pack_nil(p);
        return 1;
    case COAT_BOOL:
        coat_pack_bool(p, item.truth);
        return 1;
    case COAT_INT:
        if (item.is_big)
            coat_pack_bigint(p, item.bytes, item.len);
        else if (item.is_unsigned)
            coat_pack_uint(p, item.u);
        else
            coat_pack_int(p, item.i);
        return 1;
    case COAT_FLOAT:
        coat_pack_float(p, item.f);
        return 1;
    case COAT_TEXT:
        coat_pack_text(p, (const char *)item.bytes, item.len);
        return 1;
    case COAT_BYTES:
        coat_pack_bytes(p, item.bytes, item.len);
        return 1;
    case COAT_LIST:
        coat_pack_list(p, item.count);
        break;
    case COAT_TUPLE:
        coat_pack_tuple(p, item.count);
        break;
    case COAT_DICT:
        coat_pack_dict(p, item.count);
        break;
    }
    while (members-- > 0)
        items += repack(p, c);
    coat_pack_end(p);
    return items;
}

#endif
