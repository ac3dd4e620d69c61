/* cache.h: _core.Cache, one application's cache: a store that holds no sessions. */
#ifndef COAT_CORE_CACHE_H
#define COAT_CORE_CACHE_H

#include <stdbool.h>

#include "store.h"

struct core_cache {
    struct core_store base;
    int64_t ttl_ms; /* where none is said; 0: none */
    double jitter;  /* the part of a TTL that is left to chance */
    uint64_t chance;
    bool raises_corrupt; /* else it is missing */
};

/* Make the types. 0, or -1 with an exception. */
int core_cache_init(PyObject *module, struct core_state *state);

/*
 * A TTL in milliseconds: None, seconds, or a timedelta; NULL or "default": the cache's. 0: none; -1
 * with an exception.
 */
int64_t core_cache_ttl(const struct core_cache *cache, PyObject *ttl);

/* A little less, so that what was stored together does not end together. */
int64_t core_cache_jitter(struct core_cache *cache, int64_t ttl_ms);

#endif
