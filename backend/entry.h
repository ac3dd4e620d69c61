/*
 * entry.h: an entry of a cache, as it lies in Redis.
 *
 * An int of 64 bits lies there as decimal digits, so that INCRBY works on it. Any other value is a
 * byte that no digits begin with, one that says which format this is, and its encoding.
 */
#ifndef COAT_BACKEND_ENTRY_H
#define COAT_BACKEND_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "api/buf.h"

enum {
    COAT_ENTRY_MAGIC = 0xc1, /* begins no msgpack, either */
    COAT_ENTRY_FORMAT = 0,
    COAT_ENTRY_HEAD = 2,
    COAT_ENTRY_INT_MAX = 20 /* digits, with the sign */
};

/* Append the entry of a value, which is checked or from a packer. 0, COAT_ENOMEM. */
int coat_entry_put(struct coat_buf *to, const void *value, size_t len);

/*
 * The encoding of its value: in the entry, or in `room` for COAT_WIRE_SCALAR_MAX bytes. What it
 * holds is still to be checked. 0; COAT_ECORRUPT: no entry of ours.
 */
int coat_entry_value(const void *entry, size_t entry_len, unsigned char *room, const void **value,
                     size_t *len);

/*
 * A number as Redis writes it: no leading zeros, no -0, no sign but a minus. 0; COAT_ECORRUPT: it
 * is none of 64 bits.
 */
int coat_entry_digits(const void *digits, size_t len, int64_t *number);

#endif
