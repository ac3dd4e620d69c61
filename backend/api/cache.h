/*
 * cache.h: the operations of a cache, on the store that it is in. Not installed.
 *
 * A call is on any number of keys, and is one pipeline to each node that has some of them. Keys are
 * 1 to 512 bytes of UTF-8 without control characters; in Redis they lie under `<prefix>c:k:`.
 *
 *     rc = coat_cache_op_new(&x, store, COAT_CACHE_SET, 1, err);
 *     rc = coat_cache_op_key(x, "a", 1, err);
 *     rc = coat_cache_op_value(x, bytes, len, ttl_ms, err);
 *     ... run coat_cache_op(x) by a driver ...
 *     coat_cache_op_free(x);
 */
#ifndef COAT_API_CACHE_H
#define COAT_API_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "api/op.h"
#include "api/view.h"

struct coat_cache_op;

enum coat_cache_do {
    COAT_CACHE_GET,     /* coat_cache_op_found is told of them. rc: how many there are */
    COAT_CACHE_SET,     /* rc: how many were set */
    COAT_CACHE_ADD,     /* where there is no entry. As SET; COAT_EUNCERTAIN */
    COAT_CACHE_REPLACE, /* where there is one. As SET */
    COAT_CACHE_DELETE,  /* rc: how many there were; all, if the reply to an earlier send was lost */
    COAT_CACHE_HAS,     /* rc: how many there are */
    COAT_CACHE_TOUCH,   /* a new TTL for one entry. rc: 1; 0: there is none */
    COAT_CACHE_TTL,     /* of one entry, by coat_cache_op_number. rc: 1; 0: there is none */
    COAT_CACHE_POP,     /* GET and DELETE of one entry. As GET; COAT_EUNCERTAIN */
    COAT_CACHE_INCR,    /* of one entry. rc: 1 and coat_cache_op_number; 0: there is none;
                           COAT_EUSAGE: it is no int, or would leave 64 bits; COAT_EUNCERTAIN */
    COAT_CACHE_SWAP,    /* as SET, in place of the entry of coat_cache_op_version only. rc: 1; 0: it
                           is another one by now, or there is none; COAT_EUNCERTAIN */
    COAT_CACHE_INVALIDATE /* its keys are names, as of a view: all that lies in such views ends. rc:
                             how many of them may have had entries */
};

/* For so many keys. 0 and *out, to be freed (also when abandoned); COAT_ENOMEM. */
int coat_cache_op_new(struct coat_cache_op **out, struct coat_store *store, enum coat_cache_do what,
                      size_t count, struct coat_error *err);
void coat_cache_op_free(struct coat_cache_op *x); /* NULL allowed */

/*
 * It is on entries of this view, which is borrowed (NULL: it is not in a view), or on names in it.
 * Before the first key. 0, COAT_ENOMEM.
 */
int coat_cache_op_in(struct coat_cache_op *x, const struct coat_view *view, struct coat_error *err);

/* INVALIDATE: the own names of the view, coat_view_own many, in place of keys. 0, COAT_ENOMEM. */
int coat_cache_op_own(struct coat_cache_op *x, struct coat_error *err);

/* The next key, which is copied. 0; COAT_EUSAGE: no key can be so; COAT_ENOMEM. */
int coat_cache_op_key(struct coat_cache_op *x, const char *key, size_t len, struct coat_error *err);

/*
 * Of the key that came last: what SET, ADD and REPLACE write, which is copied; the TTL for TOUCH,
 * with no value. ttl_ms 0: none. 0, COAT_ENOMEM.
 */
int coat_cache_op_value(struct coat_cache_op *x, const void *value, size_t len, int64_t ttl_ms,
                        struct coat_error *err);

/*
 * INCR: add `by`; where there is no entry, make one with `initial` and this TTL, and add to that.
 * initial NULL: make none. 0, COAT_ENOMEM.
 */
int coat_cache_op_incr(struct coat_cache_op *x, int64_t by, const int64_t *initial, int64_t ttl_ms,
                       struct coat_error *err);

/*
 * The version of the entry in a reply to GET: changes with its value. 0; COAT_EUNAVAILABLE: OpenSSL
 * cannot.
 */
enum { COAT_CACHE_VERSION_LEN = 40 };
int coat_cache_version(const struct coat_reply *reply, char version[COAT_CACHE_VERSION_LEN + 1],
                       struct coat_error *err);

/* SWAP: which version is replaced; copied. 0; COAT_EUSAGE: that is no version; COAT_ENOMEM. */
int coat_cache_op_version(struct coat_cache_op *x, const char *version, size_t len,
                          struct coat_error *err);

/*
 * GET and POP: told of all replies at once, one for each key in turn, while the operation is run;
 * they end with the call. Returns how many values there were; below 0, described in *err: that is
 * the result.
 */
typedef int coat_cache_found_fn(void *context, const struct coat_reply *replies, size_t count,
                                struct coat_error *err);
void coat_cache_op_found(struct coat_cache_op *x, coat_cache_found_fn *fn, void *context);

/*
 * The encoded value in such a reply, still to be checked; in the reply or in *room. 1; 0: there is
 * none; COAT_ECORRUPT: what is there is no entry of a cache; COAT_EFOREIGN.
 */
struct coat_cache_room {
    unsigned char bytes[16];
};
int coat_cache_value(const struct coat_reply *reply, struct coat_cache_room *room,
                     const void **value, size_t *len, struct coat_error *err);

/* To be run once. */
struct coat_op *coat_cache_op(struct coat_cache_op *x);

/* INCR: what it is now. TTL: in milliseconds; below 0: it has none. */
int64_t coat_cache_op_number(const struct coat_cache_op *x);

/* ---- All keys ------------------------------------------------------------------------------- */

/*
 * Looks at all keys of a store, on every node, some hundreds at a time: each of its operations is
 * one SCAN of one node. What is there from the beginning to the end comes at least once; what
 * comes or goes meanwhile, or moves to another node, may be missed or come twice.
 */
struct coat_cache_scan;
enum coat_cache_scan_do {
    COAT_CACHE_SCAN_KEYS, /* those that a pattern fits: * any text, ? a byte, [a-c], \ for itself */
    COAT_CACHE_SCAN_CLEAR /* deletes all that caches have written under the prefix; no pattern */
};

/* 0 and *out, to be freed; COAT_EUSAGE: no key can fit the pattern; COAT_ENOMEM. */
int coat_cache_scan_new(struct coat_cache_scan **out, struct coat_store *store,
                        enum coat_cache_scan_do what, const char *pattern, size_t len,
                        struct coat_error *err);

/* Keys of this view only; borrowed, and NULL: of the whole cache. CLEAR: of the latter only. */
int coat_cache_scan_new_in(struct coat_cache_scan **out, struct coat_store *store,
                           const struct coat_view *view, enum coat_cache_scan_do what,
                           const char *pattern, size_t len, struct coat_error *err);
void coat_cache_scan_free(struct coat_cache_scan *scan); /* NULL allowed */

/*
 * The operation that goes on. rc: 1: there may be more, run it again; 0: this was the end. After a
 * failure it goes on from where it was.
 */
struct coat_op *coat_cache_scan_op(struct coat_cache_scan *scan);

/* How many keys the last operation brought, or has deleted. */
size_t coat_cache_scan_count(const struct coat_cache_scan *scan);

/* One of them, as it was given to a cache; until the next operation. SCAN_KEYS only. */
const char *coat_cache_scan_key(const struct coat_cache_scan *scan, size_t index, size_t *len);

/* ---- The store ------------------------------------------------------------------------------ */

/* A store that serves a cache: replies may have as many bytes as many values have. */
void coat_store_serves_cache(struct coat_store *store);

/* What was found under a key is not ours, or is damaged. Counted; the first is told in a notice. */
void coat_store_note_corrupt_entry(struct coat_store *store);

/* The limits of its values. */
const struct coat_limits *coat_store_limits(const struct coat_store *store);

#endif
