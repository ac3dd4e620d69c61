/*
 * buf.h: bytes that grow. For all layers; not installed.
 *
 * `bytes` moves when the buffer grows: keep offsets into it, not pointers. Writers that append
 * without checks (wire.h) go between a reserve and a took:
 *
 *     if (coat_buf_reserve(b, COAT_WIRE_SCALAR_MAX) < 0)
 *         return COAT_ENOMEM;
 *     coat_buf_took(b, coat_wire_put_int(coat_buf_end(b), 5));
 */
#ifndef COAT_API_BUF_H
#define COAT_API_BUF_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "coat_error.h"

struct coat_buf {
    unsigned char *bytes; /* NULL while cap is 0 */
    size_t len;
    size_t cap;
};

#define COAT_BUF_INIT                                                                              \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/* 1 and *sum, or 0 if the sum or product does not fit: the one place where sizes are added up. */
static inline int coat_size_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

static inline int coat_size_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* coat_buf_reserve where the room is not there. */
int coat_buf_grow(struct coat_buf *b, size_t more);

/* Room for `more` bytes after the end. 0, or COAT_ENOMEM with the buffer as it was. */
static inline int coat_buf_reserve(struct coat_buf *b, size_t more)
{
    return more <= b->cap - b->len ? 0 : coat_buf_grow(b, more);
}

/* Where the next byte goes. */
static inline unsigned char *coat_buf_end(const struct coat_buf *b)
{
    return b->bytes + b->len;
}

/* The bytes up to `end` have been written into reserved room. */
static inline void coat_buf_took(struct coat_buf *b, const unsigned char *end)
{
    b->len = (size_t)(end - b->bytes);
    assert(b->len <= b->cap);
}

/* 0, or COAT_ENOMEM with the buffer as it was. `bytes` must not lie within the buffer. */
static inline int coat_buf_append(struct coat_buf *b, const void *bytes, size_t len)
{
    int rc = coat_buf_reserve(b, len);

    if (rc < 0 || len == 0)
        return rc;
    memcpy(coat_buf_end(b), bytes, len);
    b->len += len;
    return 0;
}

/* Forget the bytes, keep the memory. */
static inline void coat_buf_clear(struct coat_buf *b)
{
    b->len = 0;
}

/* Free the memory: an empty buffer, fit for use. Any number of times. */
void coat_buf_release(struct coat_buf *b);

#endif
