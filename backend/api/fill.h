/*
 * fill.h: making the value of an entry once, whoever wants it. Not installed.
 *
 *     rc = coat_cache_fill_new(&fill, store, key, len, 30000, err);
 *     run coat_cache_fetch_op(fill, found, context); by its result:
 *         COAT_FETCH_VALUE     use it
 *         COAT_FETCH_BUSY      pause, run it again
 *         COAT_FETCH_MAKE...   make the value, coat_cache_fill_value(fill, ...),
 *                              run coat_cache_fill_op(fill)
 *                              or, where that fails, coat_cache_release_op(fill)
 *     coat_cache_fill_free(fill);
 *
 * Who makes it holds a lock, which ends by itself after `fill_ttl_ms`, or with a delete of the
 * entry. Without it, or where the entry was written meanwhile, nothing is stored: what comes late
 * never takes the place of what is newer.
 */
#ifndef COAT_API_FILL_H
#define COAT_API_FILL_H

#include "api/cache.h"

struct coat_cache_fill;

/* 0 and *out, to be freed (also when abandoned); COAT_EUSAGE: no key can be so; COAT_ENOMEM. */
int coat_cache_fill_new(struct coat_cache_fill **out, struct coat_store *store, const char *key,
                        size_t len, int64_t fill_ttl_ms, struct coat_error *err);
/* The same for an entry of this view, which is borrowed. */
int coat_cache_fill_new_in(struct coat_cache_fill **out, struct coat_store *store,
                           const struct coat_view *view, const char *key, size_t len,
                           int64_t fill_ttl_ms, struct coat_error *err);
void coat_cache_fill_free(struct coat_cache_fill *fill); /* NULL allowed; gives no lock back */

/* The results of a fetch. */
enum coat_fetch {
    COAT_FETCH_BUSY,      /* there is none, and another one makes it */
    COAT_FETCH_VALUE,     /* there is one; perhaps a stale one that another makes anew */
    COAT_FETCH_MAKE,      /* there is none, and the lock is ours */
    COAT_FETCH_MAKE_AGAIN /* the lock is ours, and there is one for as long as it takes */
};

/*
 * Read the entry; where there is none, it is stale, or will end so soon that it is time to make it
 * anew (sooner where it was costly, and by chance, so that not all do), take the lock. `found` is
 * told of a value as by coat_cache_op_found; the last time counts.
 */
struct coat_op *coat_cache_fetch_op(struct coat_cache_fill *fill, coat_cache_found_fn *found,
                                    void *context);

/* After a fetch that has brought a value: 1 if that is beyond its TTL. */
int coat_cache_fill_is_stale(const struct coat_cache_fill *fill);

/* The generations of the view that the last fetch was in, as digits; none: it is in no view. */
const char *coat_cache_fill_generation(const struct coat_cache_fill *fill, size_t *len);

/*
 * What is to be stored, which is copied: for ttl_ms (0: without end), and then for stale_ms to be
 * served while it is made anew. cost_ms: how long it took to make; 0: it is never made anew before
 * its TTL is over. An int with either is no counter for INCR. 0, COAT_ENOMEM.
 */
int coat_cache_fill_value(struct coat_cache_fill *fill, const void *value, size_t len,
                          int64_t ttl_ms, int64_t stale_ms, int64_t cost_ms,
                          struct coat_error *err);

/* Store it and give the lock back. rc: 1; 0: it was not stored, see above. */
struct coat_op *coat_cache_fill_op(struct coat_cache_fill *fill);

/* Give the lock back. rc: 1; 0: it was not ours any more. */
struct coat_op *coat_cache_release_op(struct coat_cache_fill *fill);

#endif
