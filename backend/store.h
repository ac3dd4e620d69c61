/* store.h: a store from inside backend. */
#ifndef COAT_BACKEND_STORE_H
#define COAT_BACKEND_STORE_H

#include <stdatomic.h>

#include "coat_store.h"
#include "options.h"

struct coat_pool;

struct coat_store {
    struct coat_options *options; /* its own copy, complete */
    struct coat_pool *pool;
    _Atomic uint64_t counts[COAT_COUNTS];
};

static inline void coat_store_note(struct coat_store *store, enum coat_count what)
{
    atomic_fetch_add_explicit(&store->counts[what], 1, memory_order_relaxed);
}

#endif
