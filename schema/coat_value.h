/*
 * coat_value.h: plain values and their bytes. What may be stored, and nothing else:
 *
 *     nil  bool  int (any size)  float  text  bytes  list  tuple  dict
 *
 * The bytes are msgpack in its smallest forms, one encoding for each value, so bytes can be
 * compared. A tuple is ext type 1 around one array; an int beyond 64 bits is ext type 2, its
 * shortest big-endian two's complement. Everything here is pure: no I/O, no clock, no global
 * state; any number of threads, each with its own packer or cursor.
 */
#ifndef COAT_VALUE_H
#define COAT_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "coat_error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coat_kind {
    COAT_NIL,
    COAT_BOOL,
    COAT_INT,
    COAT_FLOAT,
    COAT_TEXT,
    COAT_BYTES,
    COAT_LIST,
    COAT_TUPLE,
    COAT_DICT
};

/* "nil", "bool", ... ; "unknown kind" for anything else. */
COAT_API const char *coat_kind_name(enum coat_kind kind);

/*
 * Limits, the same for writing and reading. SIZE_MAX lifts one, except that no depth beyond
 * COAT_DEPTH_MAX and no encoding beyond COAT_BYTES_MAX is possible. NULL where a `const struct
 * coat_limits *` is asked for means the defaults below.
 */
struct coat_limits {
    size_t max_depth;  /* containers within each other; a scalar has depth 0, [] has 1 */
    size_t max_bytes;  /* of the whole encoding */
    size_t max_fields; /* top-level fields of a document */
    size_t max_items;  /* values at all levels: containers, their members, and keys each count */
};

#define COAT_DEPTH_MAX ((size_t)1024)
#define COAT_BYTES_MAX ((size_t)UINT32_MAX)
#define COAT_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        64, (size_t)1 << 20, 16384, 262144                                                         \
    }

/*
 * Values in those keys of one dict that are neither text nor bytes, a tuple and all its members
 * each counting one: their hashes are not seeded in Python, and of chosen ones each is compared
 * with all others. One more is COAT_ELIMIT with the reason "max_odd_keys", whatever the other
 * limits.
 */
#define COAT_ODD_KEYS_MAX ((size_t)4096)

/* ---- Writing ------------------------------------------------------------------------------ */

/*
 * A packer collects one value. Its first failure sticks: later calls do nothing, and
 * coat_packer_finish reports it, so that a value is written in straight lines and checked once:
 *
 *     struct coat_packer p;
 *     coat_packer_init(&p, NULL);
 *     coat_pack_dict(&p, 2);
 *         coat_pack_str(&p, "sku");  coat_pack_str(&p, "A-17");
 *         coat_pack_str(&p, "size"); coat_pack_tuple(&p, 2);
 *             coat_pack_int(&p, 40); coat_pack_int(&p, 42);
 *         coat_pack_end(&p);
 *     coat_pack_end(&p);
 *     if (coat_packer_finish(&p, &bytes, &len, &err) < 0)
 *         ...
 *     coat_packer_release(&p);
 *
 * The announced count is that of members (of pairs, in a dict) and is checked at the end.
 */
struct coat_packer {
    void *state; /* private */
    int code;    /* the first failure, or 0; may be read */
    struct coat_limits limits;
    void *reserved[8]; /* for later versions */
};

/* Ready for one value. Allocates nothing. limits: copied. */
COAT_API void coat_packer_init(struct coat_packer *p, const struct coat_limits *limits);

/* Forget the value and the failure, keep the memory: ready for the next value. */
COAT_API void coat_packer_reset(struct coat_packer *p);

/* Free what it holds. Always legal after init, any number of times. */
COAT_API void coat_packer_release(struct coat_packer *p);

/*
 * The finished value. 0: *bytes (owned by the packer, until its next reset or release) and *len.
 * Otherwise the first failure, with its path: COAT_ENOTSTORABLE, COAT_ELIMIT, COAT_EUSAGE (a
 * count that does not fit, no value or more than one, an open container), COAT_ENOMEM.
 */
COAT_API int coat_packer_finish(struct coat_packer *p, const void **bytes, size_t *len,
                                struct coat_error *err);

COAT_API void coat_pack_nil(struct coat_packer *p);
COAT_API void coat_pack_bool(struct coat_packer *p, int truth);
COAT_API void coat_pack_int(struct coat_packer *p, int64_t number);
COAT_API void coat_pack_uint(struct coat_packer *p, uint64_t number);
/* Big-endian two's complement of any length from 1; stored in the smallest form of its value. */
COAT_API void coat_pack_bigint(struct coat_packer *p, const void *number, size_t len);
/* NaN and infinities included, bits kept. */
COAT_API void coat_pack_float(struct coat_packer *p, double number);
/* Must be valid UTF-8 (RFC 3629: no surrogates, no overlong forms); may hold NUL. */
COAT_API void coat_pack_text(struct coat_packer *p, const char *text, size_t len);
/* The same for a NUL-terminated string. */
COAT_API void coat_pack_str(struct coat_packer *p, const char *text);
COAT_API void coat_pack_bytes(struct coat_packer *p, const void *bytes, size_t len);
COAT_API void coat_pack_list(struct coat_packer *p, size_t count);
COAT_API void coat_pack_tuple(struct coat_packer *p, size_t count);
/*
 * `pairs` times key, value. A key is text, bytes, bool, nil, a 64-bit int, a finite float, or a
 * tuple of these. Two keys that Python calls equal (1, True, 1.0) are refused at the end, and so
 * are more than COAT_ODD_KEYS_MAX values in keys that are neither text nor bytes.
 */
COAT_API void coat_pack_dict(struct coat_packer *p, size_t pairs);
/* Closes the innermost open list, tuple or dict. */
COAT_API void coat_pack_end(struct coat_packer *p);

/* ---- Checking ----------------------------------------------------------------------------- */

enum { COAT_CHECK_EQUAL_KEYS = 1 }; /* also refuse equal keys within one dict */

/*
 * The one pass that bytes from outside go through: exactly one value, well-formed, smallest
 * forms, valid UTF-8, known kinds, keys that may be keys, within the limits. Runs in O(len) and
 * allocates nothing (with COAT_CHECK_EQUAL_KEYS: O(len log len), and memory of at most
 * twice the input). flags: 0 or COAT_CHECK_*. items, if not NULL: how many values there are at all
 * levels. 0, COAT_ECORRUPT (with the offset of the first byte at fault), COAT_ELIMIT, COAT_ENOMEM.
 */
COAT_API int coat_check(const void *bytes, size_t len, const struct coat_limits *limits,
                        unsigned flags, size_t *items, struct coat_error *err);

/* ---- Reading ------------------------------------------------------------------------------ */

/* What a cursor reads: a scalar, or the head of a container whose members follow. */
struct coat_item {
    enum coat_kind kind;
    int is_unsigned; /* COAT_INT: 1 if beyond INT64_MAX; then .u is valid, otherwise .i */
    int is_big;      /* COAT_INT: 1 if beyond 64 bits; then .bytes and .len hold it */
    int truth;       /* COAT_BOOL */
    int64_t i;       /* COAT_INT that fits */
    uint64_t u;      /* COAT_INT that fits only without a sign */
    double f;        /* COAT_FLOAT */
    size_t count;    /* COAT_LIST, COAT_TUPLE: members; COAT_DICT: pairs, key before value */
    const unsigned char *bytes; /* COAT_TEXT (UTF-8, no NUL after it), COAT_BYTES, a big int
                                   (as coat_pack_bigint takes it): into the checked bytes */
    size_t len;                 /* of `bytes` */
};

/*
 * Walks over bytes that coat_check has passed (or that this library packed), and cannot fail.
 * Over other bytes its behaviour is undefined.
 */
struct coat_cursor {
    const unsigned char *at;
    const unsigned char *end;
};

/* Reads from the caller's bytes, which must outlive it. */
COAT_API void coat_cursor_init(struct coat_cursor *c, const void *bytes, size_t len);
/* 1 and the next item (a container's members come next), or 0 at the end. */
COAT_API int coat_cursor_next(struct coat_cursor *c, struct coat_item *item);
/* Passes over one whole value with all its members. 1, or 0 at the end. */
COAT_API int coat_cursor_skip(struct coat_cursor *c);

#ifdef __cplusplus
}
#endif

#endif
