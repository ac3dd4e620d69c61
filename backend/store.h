/* store.h: a store from inside backend. */
#ifndef COAT_BACKEND_STORE_H
#define COAT_BACKEND_STORE_H

#include <stdatomic.h>

#include "coat_life.h"
#include "coat_store.h"
#include "options.h"
#include "stats.h"

struct coat_redis;
struct coat_registry;

/* How many generations a store remembers. */
enum { COAT_GENERATIONS = 4096 };

struct coat_store {
    struct coat_options *options; /* its own copy, complete */
    struct coat_redis *redis;
    struct coat_registry *registry; /* where redis comes from; NULL: it is the store's alone */
    int brief;                      /* brief waits are sensible here: brief.h */
    int serves_cache;               /* api/cache.h */
    _Atomic uint64_t generations[COAT_GENERATIONS]; /* generation.h */
    _Atomic uint64_t counts[COAT_COUNTS];
    struct coat_stats stats;
    coat_life_fn *on_event; /* NULL: nobody is told */
    void *on_event_context;
};

static inline void coat_store_note(struct coat_store *store, enum coat_count what)
{
    atomic_fetch_add_explicit(&store->counts[what], 1, memory_order_relaxed);
}

/* A notice: coat_store_notice, coat_redis_notice. */
void coat_store_tell(struct coat_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How many bytes the replies of one pipeline may have together. */
size_t coat_store_reply_bytes(const struct coat_store *store);

/* Run an operation by the blocking driver, through all signals: its result. */
struct coat_op;
int coat_store_run(struct coat_store *store, struct coat_op *op, struct coat_error *err);

#endif
