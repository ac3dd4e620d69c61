/*
 * entry.h: an entry of a cache, as it lies in Redis.
 *
 * An int of 64 bits lies there as decimal digits, so that INCRBY works on it. Any other value is a
 * byte that no digits begin with, one that says which format this is, and its encoding. In format
 * 1 two numbers of 4 bytes stand before that, big-endian milliseconds: what the value cost to make,
 * and the part of its TTL for which it is stale.
 */
#ifndef COAT_BACKEND_ENTRY_H
#define COAT_BACKEND_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "api/buf.h"
#include "coat_error.h"

enum {
    COAT_ENTRY_MAGIC = 0xc1, /* begins no msgpack, either */
    COAT_ENTRY_FORMAT = 0,
    COAT_ENTRY_MADE = 1, /* the format of what says how it was made */
    COAT_ENTRY_HEAD = 2,
    COAT_ENTRY_MADE_HEAD = 10,
    COAT_ENTRY_INT_MAX = 20 /* digits, with the sign */
};

/* Append the entry of a value, which is checked or from a packer. 0, COAT_ENOMEM. */
int coat_entry_put(struct coat_buf *to, const void *value, size_t len);

/* How a value was made; all zero: nothing is known of it. */
struct coat_entry_made {
    uint32_t cost_ms;
    uint32_t stale_ms; /* the last part of its TTL */
};

/* The same with how it was made; with nothing known it is the same entry. */
int coat_entry_put_made(struct coat_buf *to, const void *value, size_t len,
                        const struct coat_entry_made *made);

/* How the value of an entry was made; of what is no entry, nothing. */
struct coat_entry_made coat_entry_made(const void *entry, size_t len);

/* What stands between the prefix and the key of an entry; of one in a view, its digits and a `:`.
 */
#define COAT_ENTRIES "c:k:"
#define COAT_IN_VIEW "c:n:"

/*
 * Append the key of an entry, as it is in Redis. 0; COAT_EUSAGE: no key can be so; COAT_ENOMEM, and
 * nothing was appended.
 */
int coat_entry_key(struct coat_buf *to, const char *prefix, const char *key, size_t len,
                   struct coat_error *err);

/*
 * Append the key of the lock of who makes the value of that entry: in the same slot, but for a key
 * with a } and no hash tag, which has no such neighbour. 0, COAT_ENOMEM.
 */
int coat_entry_lock(struct coat_buf *to, const char *prefix, const char *key, size_t len);

/*
 * The same for an entry of a view, which has `width` digits of generations, all zeros here; 0: as
 * above.
 */
int coat_entry_key_in(struct coat_buf *to, const char *prefix, size_t width, const char *key,
                      size_t len, struct coat_error *err);
int coat_entry_lock_in(struct coat_buf *to, const char *prefix, size_t width, const char *key,
                       size_t len);

/* Put the digits into a key that one of these two made. */
void coat_entry_renew(unsigned char *key, const char *prefix, const char *digits, size_t width);

/*
 * Append the key of the generation of a name, as it is in Redis. path: what stands before it, where
 * it is in a namespace. 0; COAT_EUSAGE: no name can be so; COAT_ENOMEM, and nothing was appended.
 */
int coat_entry_generation(struct coat_buf *to, const char *prefix, const char *path,
                          size_t path_len, const char *name, size_t len, struct coat_error *err);

/*
 * The encoding of its value: in the entry, or in `room` for COAT_WIRE_SCALAR_MAX bytes. What it
 * holds is still to be checked. 0; COAT_ECORRUPT: no entry of ours.
 */
int coat_entry_value(const void *entry, size_t entry_len, unsigned char *room, const void **value,
                     size_t *len);

/*
 * The version of an entry: the SHA-1 of its bytes in hexadecimal, as a script sees it, too. It is
 * no secret, and nobody gains by two entries of the same one. 0; COAT_EUNAVAILABLE: OpenSSL cannot.
 */
enum { COAT_ENTRY_VERSION_LEN = 40 };
int coat_entry_version(const void *entry, size_t len, char version[COAT_ENTRY_VERSION_LEN + 1],
                       struct coat_error *err);

/*
 * A number as Redis writes it: no leading zeros, no -0, no sign but a minus. 0; COAT_ECORRUPT: it
 * is none of 64 bits.
 */
int coat_entry_digits(const void *digits, size_t len, int64_t *number);

#endif
