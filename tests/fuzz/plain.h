/*
 * plain.h: the rules of schema/FORMAT.md once more, put as simply as can be, with no line of the
 * library's: what the fuzzers compare it with.
 */
#ifndef TESTS_PLAIN_H
#define TESTS_PLAIN_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#include "coat_value.h"
#include "must.h"

_Static_assert(LDBL_MANT_DIG >= 64, "a long double holds every int of 64 bits and every double");

enum { PLAIN_EXT = COAT_DICT + 1 }; /* an ext before its type is known */

/* What stands at the beginning of a value. */
struct plain_head {
    int kind;       /* enum coat_kind */
    size_t size;    /* its own bytes */
    size_t len;     /* bytes of content, members, or pairs; of a scalar 0 */
    size_t content; /* of a tuple: the bytes of its content */
    int is_big;     /* an int beyond 64 bits */
    long double number;
};

static inline uint64_t plain_number(const uint8_t *at, size_t width)
{
    uint64_t number = 0;

    while (width-- > 0)
        number = number << 8 | *at++;
    return number;
}

/* The forms that have a length, a count or a number without sign behind the first byte. */
static const struct plain_form {
    uint8_t first;
    int kind;
    size_t width;
    uint64_t least; /* what smaller forms cannot hold */
} plain_forms[] = {
    {0xc4, COAT_BYTES, 1, 0},        {0xc5, COAT_BYTES, 2, 1 << 8}, {0xc6, COAT_BYTES, 4, 1 << 16},
    {0xc7, PLAIN_EXT, 1, 0},         {0xc8, PLAIN_EXT, 2, 1 << 8},  {0xc9, PLAIN_EXT, 4, 1 << 16},
    {0xcc, COAT_INT, 1, 128},        {0xcd, COAT_INT, 2, 1 << 8},   {0xce, COAT_INT, 4, 1 << 16},
    {0xcf, COAT_INT, 8, 1ull << 32}, {0xd9, COAT_TEXT, 1, 32},      {0xda, COAT_TEXT, 2, 1 << 8},
    {0xdb, COAT_TEXT, 4, 1 << 16},   {0xdc, COAT_LIST, 2, 16},      {0xdd, COAT_LIST, 4, 1 << 16},
    {0xde, COAT_DICT, 2, 16},        {0xdf, COAT_DICT, 4, 1 << 16},
};

static inline int plain_read_form(const uint8_t *s, size_t left, struct plain_head *h)
{
    for (size_t i = 0; i < sizeof plain_forms / sizeof *plain_forms; i++) {
        const struct plain_form *f = &plain_forms[i];
        uint64_t number;

        if (f->first != s[0])
            continue;
        h->kind = f->kind;
        h->size = 1 + f->width;
        if (left < h->size || (number = plain_number(s + 1, f->width)) < f->least)
            return 0;
        if (f->kind == COAT_INT)
            h->number = (long double)number;
        else
            h->len = (size_t)number;
        return f->first != 0xc7 ||
               (number != 1 && number != 2 && number != 4 && number != 8 && number != 16);
    }
    return 0;
}

static inline int plain_read_negative(const uint8_t *s, size_t left, struct plain_head *h)
{
    size_t width = (size_t)1 << (s[0] - 0xd0);
    uint64_t number;

    h->kind = COAT_INT;
    h->size = 1 + width;
    if (left < h->size)
        return 0;
    number = plain_number(s + 1, width);
    if (number >> (8 * width - 1) == 0)
        return 0;
    /* 2^bits - number, without 2^64 */
    h->number = -(long double)(((width < 8 ? (uint64_t)1 << (8 * width) : 0) - number));
    return h->number < (width == 1 ? -32.0L : -(long double)((uint64_t)1 << (4 * width - 1)));
}

static inline int plain_read_float(const uint8_t *s, size_t left, struct plain_head *h)
{
    uint64_t bits;
    double number;

    h->kind = COAT_FLOAT;
    h->size = 9;
    if (left < h->size)
        return 0;
    bits = plain_number(s + 1, 8);
    memcpy(&number, &bits, sizeof number);
    h->number = number;
    return 1;
}

/* Of a list that is no ext, and whatever else is no ext. */
static inline int plain_read_first(const uint8_t *s, size_t left, struct plain_head *h)
{
    *h = (struct plain_head){.kind = COAT_NIL, .size = 1};
    if (left == 0)
        return 0;
    if (s[0] < 0x80 || s[0] >= 0xe0) {
        h->kind = COAT_INT;
        h->number = (int8_t)s[0];
    } else if (s[0] < 0xc0) {
        h->kind = s[0] < 0x90 ? COAT_DICT : s[0] < 0xa0 ? COAT_LIST : COAT_TEXT;
        h->len = s[0] & (s[0] < 0xa0 ? 0x0f : 0x1f);
    } else if (s[0] == 0xc2 || s[0] == 0xc3) {
        h->kind = COAT_BOOL;
        h->number = s[0] & 1;
    } else if (s[0] == 0xcb) {
        return plain_read_float(s, left, h);
    } else if (s[0] >= 0xd0 && s[0] <= 0xd3) {
        return plain_read_negative(s, left, h);
    } else if (s[0] >= 0xd4 && s[0] <= 0xd8) {
        h->kind = PLAIN_EXT;
        h->len = (size_t)1 << (s[0] - 0xd4);
    } else if (s[0] != 0xc0) {
        return plain_read_form(s, left, h);
    }
    return 1;
}

/* 1 if a value may begin so, with `left` bytes until the end of all. */
static inline int plain_read(const uint8_t *s, size_t left, struct plain_head *h)
{
    const uint8_t *content;
    size_t len;
    struct plain_head list;

    if (!plain_read_first(s, left, h))
        return 0;
    if (h->kind != PLAIN_EXT)
        return h->len <= (left - h->size) / (h->kind == COAT_DICT ? 2 : 1);
    if (left - h->size < 1 || left - h->size - 1 < h->len)
        return 0;
    content = s + h->size + 1;
    len = h->len;
    h->size++;
    if (content[-1] == 1) {
        if (!plain_read_first(content, len, &list) || list.kind != COAT_LIST ||
            list.len > len - list.size)
            return 0;
        *h = (struct plain_head){COAT_TUPLE, h->size + list.size, list.len, len - list.size, 0, 0};
        return 1;
    }
    h->kind = COAT_INT;
    h->is_big = 1;
    return content[-1] == 2 && (len > 9 || (len == 9 && content[0] != 0)) &&
           !(content[0] == 0x00 && content[1] < 0x80) &&
           !(content[0] == 0xff && content[1] >= 0x80);
}

/* How many bytes from the beginning are whole characters of UTF-8. */
static inline size_t plain_utf8(const uint8_t *s, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t at = 0, width;
    uint32_t c;

    for (; at < len; at += width) {
        width = s[at] < 0x80       ? 1
                : s[at] >> 5 == 6  ? 2
                : s[at] >> 4 == 14 ? 3
                : s[at] >> 3 == 30 ? 4
                                   : 0;
        if (width == 0 || width > len - at)
            break;
        c = width == 1 ? s[at] : s[at] & (0x7fu >> width);
        for (size_t i = 1; i < width; i++)
            c = s[at + i] >> 6 == 2 ? c << 6 | (s[at + i] & 0x3f) : UINT32_MAX;
        if (c < least[width] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            break;
    }
    return at;
}

struct plain {
    const uint8_t *bytes;
    size_t len;
    struct coat_limits limits;
    int with_equal_keys;
    size_t at;
    size_t items;
    size_t depth;
    size_t deepest;
    int code; /* why it is refused, and where; 0: it is not */
    size_t offset;
    const char *reason; /* the limit */
};

static inline int plain_refuse(struct plain *p, int code, size_t offset, const char *reason)
{
    p->code = code;
    p->offset = offset;
    p->reason = reason;
    return 0;
}

/* Both keys were read before; moves behind them. */
static inline int plain_equal(const uint8_t **a, const uint8_t **b)
{
    struct plain_head x, y;
    int numbers;

    plain_read(*a, SIZE_MAX / 2, &x);
    plain_read(*b, SIZE_MAX / 2, &y);
    numbers = (x.kind == COAT_BOOL || x.kind == COAT_INT || x.kind == COAT_FLOAT) &&
              (y.kind == COAT_BOOL || y.kind == COAT_INT || y.kind == COAT_FLOAT);
    *a += x.size;
    *b += y.size;
    if (numbers)
        return x.number == y.number;
    if (x.kind != y.kind || x.len != y.len)
        return 0;
    if (x.kind == COAT_TUPLE) {
        for (size_t i = 0; i < x.len; i++)
            if (!plain_equal(a, b))
                return 0;
        return 1;
    }
    if (memcmp(*a, *b, x.len) != 0)
        return 0;
    *a += x.len;
    *b += x.len;
    return 1;
}

enum plain_place { PLAIN_VALUE, PLAIN_KEY, PLAIN_IN_KEY };

/* *odd: counts values in those keys of a dict that are neither text nor bytes. */
static inline int plain_value(struct plain *p, enum plain_place place, size_t *odd);

/* Whether key `k` equals none of those before it. */
static inline int plain_is_new_key(const struct plain *p, const size_t *keys, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        const uint8_t *a = p->bytes + keys[i], *b = p->bytes + keys[k];

        if (plain_equal(&a, &b))
            return 0;
    }
    return 1;
}

/* The pairs; `keys` is filled in with where their keys begin. */
static inline int plain_pairs(struct plain *p, size_t pairs, size_t *keys)
{
    size_t odd = 0;

    for (size_t i = 0; i < pairs; i++) {
        keys[i] = p->at;
        if (!plain_value(p, PLAIN_KEY, &odd) || !plain_value(p, PLAIN_VALUE, NULL))
            return 0;
    }
    for (size_t k = 1; k < pairs && p->with_equal_keys; k++)
        if (!plain_is_new_key(p, keys, k))
            return plain_refuse(p, COAT_ECORRUPT, keys[k], "");
    return 1;
}

static inline int plain_dict(struct plain *p, size_t pairs)
{
    size_t *keys = malloc((pairs + 1) * sizeof *keys);
    int ok;

    must(keys != NULL);
    ok = plain_pairs(p, pairs, keys);
    free(keys);
    return ok;
}

static inline int plain_container(struct plain *p, size_t start, const struct plain_head *h,
                                  enum plain_place place, size_t *odd)
{
    size_t first = p->at;
    int ok = 1;

    if (++p->depth > p->limits.max_depth)
        return plain_refuse(p, COAT_ELIMIT, start, "max_depth");
    if (p->depth > p->deepest)
        p->deepest = p->depth;
    if (h->kind == COAT_DICT)
        ok = plain_dict(p, h->len);
    for (size_t i = 0; i < h->len && ok && h->kind != COAT_DICT; i++)
        ok = plain_value(p, place == PLAIN_VALUE ? PLAIN_VALUE : PLAIN_IN_KEY, odd);
    p->depth--;
    if (ok && h->kind == COAT_TUPLE && p->at != first + h->content)
        return plain_refuse(p, COAT_ECORRUPT, start, "");
    return ok;
}

static inline int plain_may_be_key(const struct plain_head *h)
{
    if (h->kind == COAT_FLOAT)
        return h->number <= DBL_MAX && h->number >= -DBL_MAX;
    return h->kind != COAT_LIST && h->kind != COAT_DICT && !h->is_big;
}

static inline int plain_value(struct plain *p, enum plain_place place, size_t *odd)
{
    size_t start = p->at, valid;
    struct plain_head h;

    if (!plain_read(p->bytes + start, p->len - start, &h))
        return plain_refuse(p, COAT_ECORRUPT, start, "");
    if (p->items++ == p->limits.max_items)
        return plain_refuse(p, COAT_ELIMIT, start, "max_items");
    if (place != PLAIN_VALUE && !plain_may_be_key(&h))
        return plain_refuse(p, COAT_ECORRUPT, start, "");
    if (place == PLAIN_KEY && (h.kind == COAT_TEXT || h.kind == COAT_BYTES))
        place = PLAIN_VALUE;
    if (place != PLAIN_VALUE && ++*odd > 4096)
        return plain_refuse(p, COAT_ELIMIT, start, "max_odd_keys");
    p->at += h.size;
    if (h.kind == COAT_LIST || h.kind == COAT_TUPLE || h.kind == COAT_DICT)
        return plain_container(p, start, &h, place, odd);
    valid = h.kind == COAT_TEXT ? plain_utf8(p->bytes + p->at, h.len) : h.len;
    if (valid < h.len)
        return plain_refuse(p, COAT_ECORRUPT, p->at + valid, "");
    p->at += h.len;
    return 1;
}

/* What coat_check is to say. */
static inline void plain_check(struct plain *p, const void *bytes, size_t len,
                               const struct coat_limits *limits, int with_equal_keys)
{
    *p = (struct plain){bytes, len, COAT_LIMITS_DEFAULT, with_equal_keys, 0, 0, 0, 0, 0, 0, ""};
    if (limits != NULL)
        p->limits = *limits;
    if (p->limits.max_depth > 1024)
        p->limits.max_depth = 1024;
    if (len > p->limits.max_bytes)
        plain_refuse(p, COAT_ELIMIT, 0, "max_bytes");
    else if (plain_value(p, PLAIN_VALUE, NULL) && p->at != len)
        plain_refuse(p, COAT_ECORRUPT, p->at, "");
}

#endif
