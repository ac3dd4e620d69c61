/*
 * wire.h: the rules of the encoding, each written once. Not installed.
 *
 * Everything is inline and works on plain pointers, so that the packer, the check, the cursor and
 * the Python encoder and decoder are built from the same lines and pay no calls.
 *
 *   kind        form (always the smallest that holds it)
 *   nil         c0
 *   bool        c2, c3
 *   int         00-7f, e0-ff, cc-cf from zero up, d0-d3 below; beyond 64 bits: ext type 2
 *   float       cb
 *   text        a0-bf, d9, da, db; valid UTF-8
 *   bytes       c4, c5, c6
 *   list        90-9f, dc, dd
 *   tuple       ext type 1, whose content is exactly one list
 *   dict        80-8f, de, df
 *   an ext      d4-d8 for a content of 1, 2, 4, 8, 16 bytes, otherwise c7, c8, c9
 */
#ifndef COAT_API_WIRE_H
#define COAT_API_WIRE_H

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

/* The packing template leaves the byte order to its user. */
#ifndef MSGPACK_ENDIAN_LITTLE_BYTE
#    if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#        define MSGPACK_ENDIAN_LITTLE_BYTE 1
#        define MSGPACK_ENDIAN_BIG_BYTE    0
#    else
#        define MSGPACK_ENDIAN_LITTLE_BYTE 0
#        define MSGPACK_ENDIAN_BIG_BYTE    1
#    endif
#endif
#include <msgpack/sysdep.h>
#include <msgpack/timestamp.h>

#include "coat_value.h"

#define COAT_WIRE_INLINE static inline __attribute__((always_inline, unused))

enum { COAT_WIRE_EXT_TUPLE = 1, COAT_WIRE_EXT_BIGINT = 2 };

/* ---- msgpack-c's packing template, over a plain pointer ------------------------------------ */

/*
 * The first byte apart from the rest: the template builds each form in a small array, and the
 * compilers see through that only where a copy matches the store that it follows.
 */
COAT_WIRE_INLINE void coat_wire_mp_append(unsigned char **to, const void *form, size_t len)
{
    const unsigned char *from = form;

    (*to)[0] = from[0];
    memcpy(*to + 1, from + 1, len - 1);
    *to += len;
}

#define msgpack_pack_inline_func(name)        COAT_WIRE_INLINE void coat_wire_mp##name
#define msgpack_pack_inline_func_cint(name)   COAT_WIRE_INLINE void coat_wire_mp##name
#define msgpack_pack_inline_func_fixint(name) COAT_WIRE_INLINE void coat_wire_mp_fix##name
#define msgpack_pack_user                     unsigned char **
#define msgpack_pack_append_buffer            coat_wire_mp_append
#define msgpack_pack_ext                      coat_wire_mp_ext /* its timestamps call this name */
#include <msgpack/pack_template.h>
#undef msgpack_pack_ext
#undef msgpack_pack_inline_func_cint
#undef msgpack_pack_inline_func_fixint

/* ---- Writing ------------------------------------------------------------------------------- */

/*
 * Each appends at `to`, where there must be room, and returns the byte after. Lengths and counts
 * are at most UINT32_MAX: the limit on all bytes, COAT_BYTES_MAX, is to be checked before.
 */
enum {
    COAT_WIRE_SCALAR_MAX = 9,      /* nil, bool, int, float */
    COAT_WIRE_HEAD_MAX = 6,        /* the head of anything else, without its content */
    COAT_WIRE_TUPLE_BEGIN_MAX = 8, /* coat_wire_tuple_begin */
    COAT_WIRE_TUPLE_END_MAX = 3    /* coat_wire_tuple_end, beyond what is written already */
};

COAT_WIRE_INLINE unsigned char *coat_wire_put_nil(unsigned char *to)
{
    coat_wire_mp_nil(&to);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_bool(unsigned char *to, int truth)
{
    *to = truth ? 0xc3 : 0xc2;
    return to + 1;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_int(unsigned char *to, int64_t number)
{
    coat_wire_mp_int64(&to, number);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_uint(unsigned char *to, uint64_t number)
{
    coat_wire_mp_uint64(&to, number);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_float(unsigned char *to, double number)
{
    coat_wire_mp_double(&to, number);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_text_head(unsigned char *to, size_t len)
{
    coat_wire_mp_str(&to, len);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_bytes_head(unsigned char *to, size_t len)
{
    coat_wire_mp_bin(&to, len);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_list_head(unsigned char *to, size_t count)
{
    coat_wire_mp_array(&to, count);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_dict_head(unsigned char *to, size_t pairs)
{
    coat_wire_mp_map(&to, pairs);
    return to;
}

COAT_WIRE_INLINE unsigned char *coat_wire_put_ext_head(unsigned char *to, int type, size_t len)
{
    coat_wire_mp_ext(&to, len, (int8_t)type);
    return to;
}

/* A copy of `width` bytes from either end of content that has as many, and at most twice as many.
 */
#define COAT_WIRE_COPY_ENDS(to, from, len, width)                                                  \
    do {                                                                                           \
        unsigned char head_[width], tail_[width];                                                  \
        memcpy(head_, from, width);                                                                \
        memcpy(tail_, (from) + (len) - (width), width);                                            \
        memcpy(to, head_, width);                                                                  \
        memcpy((to) + (len) - (width), tail_, width);                                              \
    } while (0)

/* Copy content. Most is short, and short copies are cheaper here than by a call. */
COAT_WIRE_INLINE unsigned char *coat_wire_put_raw(unsigned char *to, const void *bytes, size_t len)
{
    const unsigned char *from = bytes;

    if (len > 64) {
        memcpy(to, from, len);
    } else if (len > 32) {
        COAT_WIRE_COPY_ENDS(to, from, len, 32);
    } else if (len > 16) {
        COAT_WIRE_COPY_ENDS(to, from, len, 16);
    } else if (len >= 8) {
        COAT_WIRE_COPY_ENDS(to, from, len, 8);
    } else if (len >= 4) {
        COAT_WIRE_COPY_ENDS(to, from, len, 4);
    } else if (len > 0) {
        to[0] = from[0];
        to[len / 2] = from[len / 2];
        to[len - 1] = from[len - 1];
    }
    return to + len;
}

/*
 * A tuple: begin, the members, end. How long its content is, and so which ext head it has, is
 * known only at the end; the content is then moved where the guess (ext of up to 255 bytes) was
 * wrong. `start` of the end is the `to` of the begin. Between the two the bytes are no value.
 */
enum { COAT_WIRE_TUPLE_GUESS = 3 };

COAT_WIRE_INLINE unsigned char *coat_wire_tuple_begin(unsigned char *to, size_t count)
{
    return coat_wire_put_list_head(to + COAT_WIRE_TUPLE_GUESS, count);
}

COAT_WIRE_INLINE unsigned char *coat_wire_tuple_end(unsigned char *start, unsigned char *to)
{
    unsigned char *content = start + COAT_WIRE_TUPLE_GUESS;
    size_t len = (size_t)(to - content), head = COAT_WIRE_TUPLE_GUESS;

    /* Lengths that are constants make these moves single instructions. */
    switch (len) {
    case 1:
        memmove(start + 2, content, 1), head = 2;
        break;
    case 2:
        memmove(start + 2, content, 2), head = 2;
        break;
    case 4:
        memmove(start + 2, content, 4), head = 2;
        break;
    case 8:
        memmove(start + 2, content, 8), head = 2;
        break;
    case 16:
        memmove(start + 2, content, 16), head = 2;
        break;
    default:
        if (len > UINT8_MAX) {
            head = len > UINT16_MAX ? 6 : 4;
            memmove(start + head, content, len);
        }
    }
    coat_wire_put_ext_head(start, COAT_WIRE_EXT_TUPLE, len);
    return start + head + len;
}

/* ---- Big ints: big-endian two's complement ------------------------------------------------- */

/* How many leading bytes only repeat the sign and can go. len is at least 1; one byte stays. */
COAT_WIRE_INLINE size_t coat_wire_bigint_spare(const unsigned char *number, size_t len)
{
    unsigned char sign = number[0] & 0x80 ? 0xff : 0x00;
    size_t spare = 0;

    while (len - spare > 1 && number[spare] == sign && ((number[spare + 1] ^ sign) & 0x80) == 0)
        spare++;
    return spare;
}

/* 1 if a number without spare bytes fits neither a signed nor an unsigned int of 64 bits. */
COAT_WIRE_INLINE int coat_wire_bigint_is_big(const unsigned char *number, size_t len)
{
    return len > 9 || (len == 9 && number[0] != 0);
}

/* The head of a big int; `len` bytes of it follow. */
COAT_WIRE_INLINE unsigned char *coat_wire_put_bigint_head(unsigned char *to, size_t len)
{
    return coat_wire_put_ext_head(to, COAT_WIRE_EXT_BIGINT, len);
}

/* ---- Reading ------------------------------------------------------------------------------- */

COAT_WIRE_INLINE uint16_t coat_wire_load16(const unsigned char *from)
{
    uint16_t v;

    memcpy(&v, from, sizeof v);
    return MSGPACK_ENDIAN_LITTLE_BYTE ? __builtin_bswap16(v) : v;
}

COAT_WIRE_INLINE uint32_t coat_wire_load32(const unsigned char *from)
{
    uint32_t v;

    memcpy(&v, from, sizeof v);
    return MSGPACK_ENDIAN_LITTLE_BYTE ? __builtin_bswap32(v) : v;
}

COAT_WIRE_INLINE uint64_t coat_wire_load64(const unsigned char *from)
{
    uint64_t v;

    memcpy(&v, from, sizeof v);
    return MSGPACK_ENDIAN_LITTLE_BYTE ? __builtin_bswap64(v) : v;
}

enum coat_wire_int { COAT_WIRE_INT_SIGNED, COAT_WIRE_INT_UNSIGNED, COAT_WIRE_INT_BIG };

/* What stands at the beginning of every value. What does not belong to the kind is 0. */
struct coat_wire_head {
    enum coat_kind kind;
    enum coat_wire_int form; /* COAT_INT: where the number is */
    struct {                 /* no union: it would be kept in memory, not in registers */
        int truth;           /* COAT_BOOL */
        int64_t i;           /* COAT_INT, signed form: all that fit */
        uint64_t u;          /* COAT_INT, unsigned form: beyond INT64_MAX */
        double f;            /* COAT_FLOAT */
        size_t span;         /* COAT_TUPLE: bytes from `list` to the end of the last member */
        const char *fault; /* after NULL was returned: what is wrong, for "value at offset 5 ..." */
    } v;
    size_t len; /* text, bytes, big int: bytes of content; list, tuple: members; dict: pairs */
    const unsigned char *list; /* COAT_TUPLE: where its content, a list, begins */
};

/* Fault texts that callers tell apart by address. */
#define COAT_WIRE_CUT_OFF "is cut off"

COAT_WIRE_INLINE const unsigned char *coat_wire_fault(struct coat_wire_head *h, const char *fault)
{
    h->v.fault = fault;
    return NULL;
}

/* A length or count of `width` bytes, which smaller forms hold below `least`. */
COAT_WIRE_INLINE const unsigned char *coat_wire_read_len(const unsigned char *at,
                                                         const unsigned char *end, int width,
                                                         size_t least, const int checked,
                                                         struct coat_wire_head *h)
{
    if (checked && end - at < width)
        return coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    h->len = width == 1 ? at[0] : width == 2 ? coat_wire_load16(at) : coat_wire_load32(at);
    if (checked && h->len < least)
        return coat_wire_fault(h, "is not in its smallest form");
    return at + width;
}

/* A container of h->len members, each of which is `least` bytes or more. */
COAT_WIRE_INLINE const unsigned char *coat_wire_read_members(const unsigned char *at,
                                                             const unsigned char *end, size_t least,
                                                             enum coat_kind kind, const int checked,
                                                             struct coat_wire_head *h)
{
    if (checked && (at == NULL || h->len > (size_t)(end - at) / least))
        return at == NULL ? NULL : coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    h->kind = kind;
    return at;
}

/* Text or bytes with h->len bytes of content. */
COAT_WIRE_INLINE const unsigned char *coat_wire_read_content(const unsigned char *at,
                                                             const unsigned char *end,
                                                             enum coat_kind kind, const int checked,
                                                             struct coat_wire_head *h)
{
    return coat_wire_read_members(at, end, 1, kind, checked, h);
}

COAT_WIRE_INLINE const unsigned char *coat_wire_read_list(const unsigned char *at,
                                                          const unsigned char *end,
                                                          const int checked,
                                                          struct coat_wire_head *h)
{
    unsigned first;

    if (checked && at == end)
        return coat_wire_fault(h, "is a tuple without its list");
    first = *at++;
    if ((first & 0xf0) == 0x90)
        h->len = first & 0x0f;
    else if (first == 0xdc)
        at = coat_wire_read_len(at, end, 2, 16, checked, h);
    else if (!checked || first == 0xdd)
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
    else
        return coat_wire_fault(h, "is a tuple without its list");
    return coat_wire_read_members(at, end, 1, COAT_LIST, checked, h);
}

/* An ext from its type byte on, with h->len bytes of content. */
COAT_WIRE_INLINE const unsigned char *coat_wire_read_ext(const unsigned char *at,
                                                         const unsigned char *end,
                                                         const int checked,
                                                         struct coat_wire_head *h)
{
    unsigned type;
    size_t len = h->len;

    if (checked && (at == NULL || end - at < 1 || (size_t)(end - at) - 1 < len))
        return at == NULL ? NULL : coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    type = *at++;
    if (type == COAT_WIRE_EXT_TUPLE) {
        const unsigned char *list = at;

        at = coat_wire_read_list(at, at + len, checked, h);
        if (checked && at == NULL)
            return NULL;
        h->kind = COAT_TUPLE;
        h->v.span = len;
        h->list = list;
        return at;
    }
    if (checked && type != COAT_WIRE_EXT_BIGINT)
        return coat_wire_fault(h, "is of an ext type that is not ours");
    if (checked &&
        (len == 0 || coat_wire_bigint_spare(at, len) > 0 || !coat_wire_bigint_is_big(at, len)))
        return coat_wire_fault(h, "is not in its smallest form");
    h->kind = COAT_INT;
    h->form = COAT_WIRE_INT_BIG;
    return at;
}

COAT_WIRE_INLINE const unsigned char *coat_wire_read_fixext(const unsigned char *at,
                                                            const unsigned char *end, size_t len,
                                                            const int checked,
                                                            struct coat_wire_head *h)
{
    h->len = len;
    return coat_wire_read_ext(at, end, checked, h);
}

/* An int of `width` bytes; least and most bound what no smaller form holds. */
COAT_WIRE_INLINE const unsigned char *coat_wire_read_uint(const unsigned char *at,
                                                          const unsigned char *end, int width,
                                                          uint64_t least, const int checked,
                                                          struct coat_wire_head *h)
{
    uint64_t u;

    if (checked && end - at < width)
        return coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    u = width == 1   ? at[0]
        : width == 2 ? coat_wire_load16(at)
        : width == 4 ? coat_wire_load32(at)
                     : coat_wire_load64(at);
    if (checked && u < least)
        return coat_wire_fault(h, "is not in its smallest form");
    h->kind = COAT_INT;
    if (width == 8 && u > INT64_MAX) {
        h->form = COAT_WIRE_INT_UNSIGNED;
        h->v.u = u;
    } else {
        h->form = COAT_WIRE_INT_SIGNED;
        h->v.i = (int64_t)u;
    }
    return at + width;
}

COAT_WIRE_INLINE const unsigned char *coat_wire_read_negative(const unsigned char *at,
                                                              const unsigned char *end, int width,
                                                              int64_t most, const int checked,
                                                              struct coat_wire_head *h)
{
    if (checked && end - at < width)
        return coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    h->kind = COAT_INT;
    h->form = COAT_WIRE_INT_SIGNED;
    h->v.i = width == 1   ? (int8_t)at[0]
             : width == 2 ? (int16_t)coat_wire_load16(at)
             : width == 4 ? (int32_t)coat_wire_load32(at)
                          : (int64_t)coat_wire_load64(at);
    if (checked && h->v.i > most)
        return coat_wire_fault(h, "is not in its smallest form");
    return at + width;
}

/*
 * Read the head of the value at `at`. Returns where its content or its members begin (for a scalar
 * without content: where the next value does).
 *
 * `checked` is a constant of the caller. With 1, `at` may be anything up to `end`: NULL and
 * h->v.fault where the bytes break a rule that the head can tell; all content lies before `end`
 * then, no count exceeds what the bytes that remain can hold, and left to the caller are UTF-8,
 * that the members of a tuple end exactly after h->v.span, and keys. With 0, the bytes have passed
 * that, `end` is not looked at, and nothing can fail.
 */
COAT_WIRE_INLINE const unsigned char *coat_wire_read(const unsigned char *at,
                                                     const unsigned char *end, const int checked,
                                                     struct coat_wire_head *h)
{
    unsigned first;

    *h = (struct coat_wire_head){.kind = COAT_NIL}; /* free, and no compiler has to guess */
    if (checked && at == end)
        return coat_wire_fault(h, COAT_WIRE_CUT_OFF);
    first = *at++;
    if ((first & 0xe0) == 0xa0) {
        h->len = first & 0x1f;
        return coat_wire_read_content(at, end, COAT_TEXT, checked, h);
    }
    if (first < 0x80 || first >= 0xe0) {
        h->kind = COAT_INT;
        h->form = COAT_WIRE_INT_SIGNED;
        h->v.i = (signed char)first;
        return at;
    }
    if (first < 0xa0) {
        h->len = first & 0x0f;
        return first < 0x90 ? coat_wire_read_members(at, end, 2, COAT_DICT, checked, h)
                            : coat_wire_read_members(at, end, 1, COAT_LIST, checked, h);
    }
    switch (first) {
    case 0xc0:
        h->kind = COAT_NIL;
        return at;
    case 0xc2:
    case 0xc3:
        h->kind = COAT_BOOL;
        h->v.truth = (int)(first & 1);
        return at;
    case 0xc4:
        at = coat_wire_read_len(at, end, 1, 0, checked, h);
        return coat_wire_read_content(at, end, COAT_BYTES, checked, h);
    case 0xc5:
        at = coat_wire_read_len(at, end, 2, 256, checked, h);
        return coat_wire_read_content(at, end, COAT_BYTES, checked, h);
    case 0xc6:
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
        return coat_wire_read_content(at, end, COAT_BYTES, checked, h);
    case 0xc7:
        at = coat_wire_read_len(at, end, 1, 0, checked, h);
        if (checked && at != NULL && h->len <= 16 && (h->len & (h->len - 1)) == 0)
            return coat_wire_fault(h, "is not in its smallest form");
        return coat_wire_read_ext(at, end, checked, h);
    case 0xc8:
        at = coat_wire_read_len(at, end, 2, 256, checked, h);
        return coat_wire_read_ext(at, end, checked, h);
    case 0xc9:
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
        return coat_wire_read_ext(at, end, checked, h);
    case 0xcb: {
        uint64_t bits;
        double f;

        if (checked && end - at < 8)
            return coat_wire_fault(h, COAT_WIRE_CUT_OFF);
        bits = coat_wire_load64(at);
        memcpy(&f, &bits, sizeof f);
        h->v.f = f;
        h->kind = COAT_FLOAT;
        return at + 8;
    }
    case 0xcc:
        return coat_wire_read_uint(at, end, 1, 1u << 7, checked, h);
    case 0xcd:
        return coat_wire_read_uint(at, end, 2, 1u << 8, checked, h);
    case 0xce:
        return coat_wire_read_uint(at, end, 4, 1u << 16, checked, h);
    case 0xcf:
        return coat_wire_read_uint(at, end, 8, (uint64_t)1 << 32, checked, h);
    case 0xd0:
        return coat_wire_read_negative(at, end, 1, -33, checked, h);
    case 0xd1:
        return coat_wire_read_negative(at, end, 2, INT8_MIN - 1, checked, h);
    case 0xd2:
        return coat_wire_read_negative(at, end, 4, INT16_MIN - 1, checked, h);
    case 0xd3:
        return coat_wire_read_negative(at, end, 8, (int64_t)INT32_MIN - 1, checked, h);
    case 0xd4:
        return coat_wire_read_fixext(at, end, 1, checked, h);
    case 0xd5:
        return coat_wire_read_fixext(at, end, 2, checked, h);
    case 0xd6:
        return coat_wire_read_fixext(at, end, 4, checked, h);
    case 0xd7:
        return coat_wire_read_fixext(at, end, 8, checked, h);
    case 0xd8:
        return coat_wire_read_fixext(at, end, 16, checked, h);
    case 0xd9:
        at = coat_wire_read_len(at, end, 1, 32, checked, h);
        return coat_wire_read_content(at, end, COAT_TEXT, checked, h);
    case 0xda:
        at = coat_wire_read_len(at, end, 2, 256, checked, h);
        return coat_wire_read_content(at, end, COAT_TEXT, checked, h);
    case 0xdb:
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
        return coat_wire_read_content(at, end, COAT_TEXT, checked, h);
    case 0xdc:
        at = coat_wire_read_len(at, end, 2, 16, checked, h);
        return coat_wire_read_members(at, end, 1, COAT_LIST, checked, h);
    case 0xdd:
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
        return coat_wire_read_members(at, end, 1, COAT_LIST, checked, h);
    case 0xde:
        at = coat_wire_read_len(at, end, 2, 16, checked, h);
        return coat_wire_read_members(at, end, 2, COAT_DICT, checked, h);
    case 0xdf:
        at = coat_wire_read_len(at, end, 4, 65536, checked, h);
        return coat_wire_read_members(at, end, 2, COAT_DICT, checked, h);
    default: /* c1 is nothing, ca a float of 32 bits */
        if (!checked)
            __builtin_unreachable();
        return coat_wire_fault(h, first == 0xca ? "is a float of 32 bits" : "is no value");
    }
}

/* Past one whole value of bytes that have been checked. */
static inline const unsigned char *coat_wire_skip(const unsigned char *at, const unsigned char *end)
{
    struct coat_wire_head h;
    size_t left = 1;

    while (left-- > 0) {
        at = coat_wire_read(at, end, 0, &h);
        switch (h.kind) {
        case COAT_INT:
            if (h.form != COAT_WIRE_INT_BIG)
                break;
            /* fallthrough */
        case COAT_TEXT:
        case COAT_BYTES:
            at += h.len;
            break;
        case COAT_TUPLE:
            at = h.list + h.v.span;
            break;
        case COAT_LIST:
            left += h.len;
            break;
        case COAT_DICT:
            left += 2 * h.len;
            break;
        default:
            break;
        }
    }
    return at;
}

/* ---- Keys ---------------------------------------------------------------------------------- */

/* 1 if a value may be a key in a dict; the members of a tuple are to be asked one by one. */
COAT_WIRE_INLINE int coat_wire_may_be_key(const struct coat_wire_head *h)
{
    switch (h->kind) {
    case COAT_INT:
        return h->form != COAT_WIRE_INT_BIG;
    case COAT_FLOAT:
        return h->v.f - h->v.f == 0; /* neither NaN nor infinite */
    case COAT_LIST:
    case COAT_DICT:
        return 0;
    default:
        return 1;
    }
}

/* 1 for the keys whose values COAT_ODD_KEYS_MAX bounds. */
COAT_WIRE_INLINE int coat_wire_is_odd_key(enum coat_kind kind)
{
    return kind != COAT_TEXT && kind != COAT_BYTES;
}

#endif
