/*
 * coat_cache.h: a cache, plain values in Redis for as long as each may be used.
 *
 *     rc = coat_cache_open(&cache, options, &err);
 *     coat_pack_str(&packer, "42 rows");
 *     rc = coat_cache_set(cache, "report", &packer, 60000, COAT_CACHE_ALWAYS, &err);
 *     if (coat_cache_get(cache, "report", &values, &err) == 1)
 *         coat_cache_cursor(values, 0, &cursor);
 *
 * It has the options, URLs and limits of a store (coat_options.h), but for those about sessions,
 * and the environment of its own, by coat_options_env_cache. It needs a Redis that may evict
 * (`maxmemory-policy allkeys-lru`), so not that of the sessions. Its keys lie under `<prefix>c:`.
 * Any number of threads, and after fork() parent and child, may use one; every call ends within the
 * option `timeout`.
 *
 * A key is 1 to 512 bytes of UTF-8, NUL-terminated, without control characters; any other is
 * COAT_EUSAGE. A TTL is in milliseconds, from 1 to COAT_CACHE_TTL_MAX, or COAT_CACHE_NO_TTL, which
 * is said where it is meant: such an entry goes only when it is deleted or evicted.
 *
 * Calls on many keys are one round trip to each node that holds some of them. Failures are those of
 * coat_store.h. What is done once, such as adding, is never repeated on its own: where its reply is
 * lost, and it may have been done, that is COAT_EUNCERTAIN.
 */
#ifndef COAT_CACHE_H
#define COAT_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "coat_options.h"
#include "coat_value.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_cache;
struct coat_store;

#define COAT_CACHE_TTL_MAX INT64_C(315360000000) /* ten years */
#define COAT_CACHE_NO_TTL  INT64_C(-1)

/*
 * Open a cache. Does not connect. The options are copied and may be freed. 0 and *out, to be
 * closed; failures as coat_store_open; COAT_ECONFIG also for an option that is for sessions only,
 * by name or in the URL.
 */
COAT_API int coat_cache_open(struct coat_cache **out, const struct coat_options *o,
                             struct coat_error *err);

/* Close its connections and free it; of a view, only that. NULL allowed. */
COAT_API void coat_cache_close(struct coat_cache *cache);

/*
 * What is below it, for coat_store_ping, _describe, _notice, _count and _stats only: no session
 * lives there. It is closed with the cache.
 */
COAT_API struct coat_store *coat_cache_store(struct coat_cache *cache);

/* ---- Values that were read ------------------------------------------------------------------ */

/* One for each key that was asked for, in that order. Made by a call, to be freed. */
struct coat_cache_values;
COAT_API void coat_cache_values_free(struct coat_cache_values *values); /* NULL allowed */

/* The bytes of a value, checked, until it is freed: 1. 0: there is no entry. */
COAT_API int coat_cache_value_of(const struct coat_cache_values *values, size_t index,
                                 const void **value, size_t *len);

/* The same for a cursor; 0, and a cursor at its end, where there is no entry. */
COAT_API int coat_cache_cursor(const struct coat_cache_values *values, size_t index,
                               struct coat_cursor *cursor);

/* ---- One entry ------------------------------------------------------------------------------ */

/*
 * Read an entry: 1 and *out; 0: there is none, *out is NULL. COAT_ECORRUPT, COAT_ELIMIT: what is
 * there was not written by a cache, or is damaged, or is larger than the limits (counted).
 */
COAT_API int coat_cache_get(struct coat_cache *cache, const char *key,
                            struct coat_cache_values **out, struct coat_error *err);

enum coat_cache_when {
    COAT_CACHE_ALWAYS,
    COAT_CACHE_IF_NEW,    /* where there is no entry; or COAT_EUNCERTAIN */
    COAT_CACHE_IF_PRESENT /* where there is one */
};

/*
 * Write the value that the packer holds, and reset the packer. 1; 0: nothing was written, because
 * of `when`. Also the packer's own failure.
 */
COAT_API int coat_cache_set(struct coat_cache *cache, const char *key, struct coat_packer *p,
                            int64_t ttl_ms, enum coat_cache_when when, struct coat_error *err);

/* Delete it: 1; 0: there was none. */
COAT_API int coat_cache_delete(struct coat_cache *cache, const char *key, struct coat_error *err);

/* 1 if there is an entry, 0 if not. */
COAT_API int coat_cache_has(struct coat_cache *cache, const char *key, struct coat_error *err);

/* Give it another TTL: 1; 0: there is none. */
COAT_API int coat_cache_touch(struct coat_cache *cache, const char *key, int64_t ttl_ms,
                              struct coat_error *err);

/* How long it will be there: 1 and *ttl_ms, which may be COAT_CACHE_NO_TTL; 0: there is none. */
COAT_API int coat_cache_ttl(struct coat_cache *cache, const char *key, int64_t *ttl_ms,
                            struct coat_error *err);

/* Read and delete it, so that only one of many gets it: as coat_cache_get; or COAT_EUNCERTAIN. */
COAT_API int coat_cache_pop(struct coat_cache *cache, const char *key,
                            struct coat_cache_values **out, struct coat_error *err);

/*
 * Add to an int of 64 bits; the TTL stays as it is. Where there is no entry it is made as *initial
 * plus `by`, with this TTL; initial NULL: it is not made. 1 and *sum (NULL allowed); 0: there is
 * none. COAT_EUSAGE: the value is no int, or the sum does not fit. COAT_EUNCERTAIN.
 */
COAT_API int coat_cache_incr(struct coat_cache *cache, const char *key, int64_t by,
                             const int64_t *initial, int64_t ttl_ms, int64_t *sum,
                             struct coat_error *err);

/* What an entry is, as text; the same value has the same version. */
#define COAT_CACHE_VERSION_SIZE 41

/* As coat_cache_get; with 1 also the version of what was read. */
COAT_API int coat_cache_get_versioned(struct coat_cache *cache, const char *key,
                                      struct coat_cache_values **out,
                                      char version[COAT_CACHE_VERSION_SIZE],
                                      struct coat_error *err);

/*
 * Write the value that the packer holds if the entry is still of this version, and reset the
 * packer. 1; 0: it is another one by now, or there is none. COAT_EUSAGE: that is no version. Where
 * a reply is lost it is asked again; COAT_EUNCERTAIN: the entry has changed since, so whether this
 * was stored in between cannot be told.
 */
COAT_API int coat_cache_compare_and_set(struct coat_cache *cache, const char *key,
                                        const char *version, struct coat_packer *p, int64_t ttl_ms,
                                        struct coat_error *err);

/* ---- Many entries --------------------------------------------------------------------------- */

/* Read them: how many there are, and *out with as many values as keys. Failures as coat_cache_get.
 */
COAT_API int coat_cache_get_many(struct coat_cache *cache, const char *const *keys, size_t count,
                                 struct coat_cache_values **out, struct coat_error *err);

struct coat_cache_item {
    const char *key;
    const void *value; /* the bytes of one value, which are checked */
    size_t len;
};

/*
 * Write them all with one TTL: 0. Not as one: after a failure some may have been written. Or
 * COAT_ECORRUPT, COAT_ELIMIT for bytes that are no value, and nothing is written.
 */
COAT_API int coat_cache_set_many(struct coat_cache *cache, const struct coat_cache_item *items,
                                 size_t count, int64_t ttl_ms, struct coat_error *err);

/* Delete them: how many there were. */
COAT_API int coat_cache_delete_many(struct coat_cache *cache, const char *const *keys, size_t count,
                                    struct coat_error *err);

/* ---- Making a value once --------------------------------------------------------------------- */

/*
 * What is expensive to make is made by one of all who want it, on all hosts:
 *
 *     switch (coat_cache_fetch(cache, "report", 30000, &values, &work, &err)) {
 *     case COAT_CACHE_HAS_VALUE: use *values
 *     case COAT_CACHE_BUSY:      pause, and ask again
 *     case COAT_CACHE_MAKE:      make it, coat_cache_fill(work, ...)
 *     }
 *     coat_cache_work_close(work);
 */
enum coat_cache_fetched {
    COAT_CACHE_BUSY,      /* there is none, and another one makes it */
    COAT_CACHE_HAS_VALUE, /* there is one */
    COAT_CACHE_MAKE       /* *work is to be done; *values are those to serve if it fails, or NULL */
};
struct coat_cache_work;

/*
 * Read an entry, or be the one who makes it: where there is none, its TTL is over (and it may be
 * served stale), or will be so soon that it is time; sooner the more it cost, and by chance. That
 * is held by a lock for lock_ms at most, from 1 to 3600000. *values and *work, where not NULL, are
 * to be freed and closed. Failures as coat_cache_get.
 */
COAT_API int coat_cache_fetch(struct coat_cache *cache, const char *key, int64_t lock_ms,
                              struct coat_cache_values **values, struct coat_cache_work **work,
                              struct coat_error *err);

/*
 * Store the value that the packer holds, for ttl_ms and then for stale_ms more, in which it is
 * served while one makes it anew; cost_ms is how long it took (0: never anew before its TTL is
 * over). 1; 0: nothing was stored, since the lock has ended, or the entry was written or deleted
 * meanwhile: what is late takes the place of nothing that is newer. Resets the packer. To be called
 * once. With NO_TTL neither stale_ms nor cost_ms counts.
 */
COAT_API int coat_cache_fill(struct coat_cache_work *work, struct coat_packer *p, int64_t ttl_ms,
                             int64_t stale_ms, int64_t cost_ms, struct coat_error *err);

/* Give the lock back if nothing was stored, so that the next one makes it. NULL allowed. */
COAT_API void coat_cache_work_close(struct coat_cache_work *work);

/* ---- All entries ---------------------------------------------------------------------------- */

/* A key; 0: go on, anything else ends the walk. */
typedef int coat_cache_key_fn(void *context, const char *key, size_t len);

/*
 * Every key that a pattern fits (`*` any text, `?` one byte, `[a-c]` one of these bytes, `\`
 * takes the next byte for itself), on every node, in no order. What is there all the time comes at
 * least once; what comes or goes meanwhile may be missed. What fn has returned, or 0; COAT_EUSAGE:
 * the pattern is empty or has more than 1024 bytes. The option `timeout` is for each piece of some
 * hundred keys, not for all of it.
 */
COAT_API int coat_cache_keys(struct coat_cache *cache, const char *pattern, coat_cache_key_fn *fn,
                             void *context, struct coat_error *err);

/*
 * Delete all that caches have written under the prefix, and nothing else, on every node; piece by
 * piece, so what is written meanwhile may stay. 0, and *removed (NULL allowed) is how many keys
 * there were, also after a failure. Of a view: coat_cache_invalidate without names.
 */
COAT_API int coat_cache_clear(struct coat_cache *cache, int64_t *removed, struct coat_error *err);

/* ---- Namespaces and tags --------------------------------------------------------------------- */

/*
 * Entries that end together, whatever their number, by one short command. A view is a cache for
 * all calls here, on the same connections; making one is no call to Redis:
 *
 *     rc = coat_cache_namespace(&user, cache, "user:42", &err);
 *     coat_cache_set(user, "cart", &packer, 60000, COAT_CACHE_ALWAYS, &err);
 *     coat_cache_invalidate(user, NULL, 0, &err);
 *     coat_cache_close(user);
 *
 * Its keys are its own: "cart" elsewhere is another entry. A namespace may have others in it, and
 * ends with those that it is in. Tags are names that an entry hangs on, several of them: it is
 * found by who names the same tags, in any order, until one of them is invalidated. Whether
 * something is in a namespace or has one tag of that name is the same.
 *
 * A name is as a key; in a namespace it has, with that one's, 512 bytes at most. A view has at most
 * 8, with those of the views that it is in. It is closed before the cache, and after its works; it
 * does not need the view any more in which it was made. COAT_EUSAGE, COAT_ENOMEM.
 */
COAT_API int coat_cache_namespace(struct coat_cache **out, struct coat_cache *cache,
                                  const char *name, struct coat_error *err);
COAT_API int coat_cache_tagged(struct coat_cache **out, struct coat_cache *cache,
                               const char *const *tags, size_t count, struct coat_error *err);

/*
 * End all entries in these namespaces of `cache`, or with one of these tags. Without names: those
 * with which this view was made. What is stored by a call that had begun before is not found,
 * either. How many of the names may have had entries. Their memory is free when their TTL is over,
 * or they are evicted.
 */
COAT_API int coat_cache_invalidate(struct coat_cache *cache, const char *const *names, size_t count,
                                   struct coat_error *err);

#ifdef __cplusplus
}
#endif

#endif
