/* utf8.h: is it ASCII, is it UTF-8, and its characters. For all layers; not installed. */
#ifndef COAT_API_UTF8_H
#define COAT_API_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 if no byte has its high bit set. Looks at 8 bytes at a time, and reads none twice over len. */
static inline int coat_is_ascii(const void *text, size_t len)
{
    const unsigned char *s = text;
    uint64_t high = 0, v;
    uint32_t head, tail;
    size_t i;

    if (len >= 8) {
        for (i = 0; i + 8 < len; i += 8) {
            memcpy(&v, s + i, 8);
            if (v & 0x8080808080808080u)
                return 0;
        }
        memcpy(&v, s + len - 8, 8); /* overlaps what was seen: no loop over the rest */
        return (v & 0x8080808080808080u) == 0;
    }
    if (len >= 4) {
        memcpy(&head, s, 4);
        memcpy(&tail, s + len - 4, 4);
        return ((head | tail) & 0x80808080u) == 0;
    }
    for (i = 0; i < len; i++)
        high |= s[i];
    return (high & 0x80) == 0;
}

static inline int coat_utf8_is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/*
 * The character at `at`, which is before `end`. Returns the byte after it, or NULL if there is no
 * valid UTF-8 (RFC 3629: shortest forms, no surrogates, nothing beyond U+10FFFF). First bytes rise
 * with the characters: c4 begins U+0100, f0 begins U+10000.
 */
static inline __attribute__((always_inline)) const unsigned char *
coat_utf8_read(const unsigned char *at, const unsigned char *end, uint32_t *c)
{
    uint32_t first = at[0];

    if (first < 0x80) {
        *c = first;
        return at + 1;
    }
    if (first < 0xe0) {
        if (first < 0xc2 || end - at < 2 || !coat_utf8_is_tail(at[1]))
            return NULL;
        *c = (first & 0x1f) << 6 | (at[1] & 0x3f);
        return at + 2;
    }
    if (first < 0xf0) {
        if (end - at < 3 || !coat_utf8_is_tail(at[1]) || !coat_utf8_is_tail(at[2]))
            return NULL;
        *c = (first & 0x0f) << 12 | (uint32_t)(at[1] & 0x3f) << 6 | (at[2] & 0x3f);
        return *c < 0x800 || (*c & 0xf800) == 0xd800 ? NULL : at + 3;
    }
    if (first > 0xf4 || end - at < 4 || !coat_utf8_is_tail(at[1]) || !coat_utf8_is_tail(at[2]) ||
        !coat_utf8_is_tail(at[3]))
        return NULL;
    *c = (first & 0x07) << 18 | (uint32_t)(at[1] & 0x3f) << 12 | (uint32_t)(at[2] & 0x3f) << 6 |
         (at[3] & 0x3f);
    return *c < 0x10000 || *c > 0x10ffff ? NULL : at + 4;
}

/* coat_utf8_valid without the short way for ASCII. */
size_t coat_utf8_walk(const void *text, size_t len);

/*
 * How many bytes from the beginning are valid UTF-8: `len` if all are, otherwise where the first
 * bad sequence begins.
 */
static inline size_t coat_utf8_valid(const void *text, size_t len)
{
    return coat_is_ascii(text, len) ? len : coat_utf8_walk(text, len);
}

/*
 * Writes a character that UTF-8 has, so no surrogate, in 1 to 4 bytes; returns the byte after.
 * There must be room for 2 bytes also where 1 is enough: in texts beyond ASCII nobody can foretell
 * which it will be, so no branch tells them apart.
 */
static inline unsigned char *coat_utf8_put(unsigned char *to, uint32_t c)
{
    if (c < 0x800) {
        to[0] = (unsigned char)(c < 0x80 ? c : 0xc0 | c >> 6);
        to[1] = (unsigned char)(0x80 | (c & 0x3f));
        return to + 1 + (c >= 0x80);
    }
    if (c < 0x10000) {
        to[0] = (unsigned char)(0xe0 | c >> 12);
        to[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (unsigned char)(0x80 | (c & 0x3f));
        return to + 3;
    }
    to[0] = (unsigned char)(0xf0 | c >> 18);
    to[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (unsigned char)(0x80 | (c & 0x3f));
    return to + 4;
}

#endif
