#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cache.h"
#include "api/call.h"
#include "api/error.h"
#include "coat_session.h"
#include "embedded.h"
#include "redis.h"
#include "brief.h"
#include "api/registry.h"

/* ---- Opening and closing ------------------------------------------------------------------- */

static void free_store(struct coat_store *store)
{
    if (store->registry)
        coat_registry_give_back(store->registry, store->redis);
    else
        coat_redis_release(store->redis);
    coat_options_free(store->options);
    free(store);
}

static int get_redis(struct coat_store *store, struct coat_error *err)
{
    const struct coat_connect *connect = &store->options->connect;
    return store->registry ? coat_registry_get(store->registry, connect, &store->redis, err)
                           : coat_redis_new(&store->redis, connect, err);
}

int coat_store_open_in(struct coat_registry *registry, struct coat_store **out,
                       const struct coat_options *o, struct coat_error *err)
{
    *out = NULL;
    int rc = coat_options_complete(o, err);
    if (rc < 0)
        return rc;
    struct coat_store *store = calloc(1, sizeof *store);
    if (!store)
        return coat_error_nomem(err);
    /* Its server may come back at any moment, on a socket that was known to be dead. */
    store->registry = o->connect.address.scheme == COAT_SCHEME_EMBEDDED ? NULL : registry;
    store->options = coat_options_copy(o);
    rc = store->options ? 0 : coat_error_nomem(err);
    if (rc == 0)
        rc = coat_embedded_start(store->options, err);
    if (rc == 0)
        rc = get_redis(store, err);
    if (rc < 0) {
        free_store(store);
        return rc;
    }
    store->brief = coat_brief_is_sensible();
    *out = store;
    return 0;
}

int coat_store_open(struct coat_store **out, const struct coat_options *o, struct coat_error *err)
{
    return coat_store_open_in(NULL, out, o, err);
}

void coat_store_close(struct coat_store *store)
{
    if (store)
        free_store(store);
}

int coat_store_notice(struct coat_store *store, char *text, size_t size)
{
    char notice[COAT_NOTICE_SIZE];
    if (!coat_redis_read_notice(store->redis, notice))
        return 0;
    snprintf(text, size, "%s", notice);
    return 1;
}

void coat_store_tell(struct coat_store *store, const char *format, ...)
{
    char text[COAT_NOTICE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (store->redis) /* operations alone, as tests run them, have none */
        coat_redis_notice(store->redis, "%s", text);
}

int coat_store_stop_embedded(struct coat_store *store, struct coat_error *err)
{
    return coat_embedded_stop(store->options, err);
}

uint64_t coat_store_count(const struct coat_store *store, enum coat_count what)
{
    if ((unsigned)what >= COAT_COUNTS)
        return 0;
    return atomic_load_explicit(&store->counts[what], memory_order_relaxed);
}

/*
 * Replies may have more bytes than a record, for what stands around it, and as many as a record
 * of the default limits has, so that one that was written before the limit was lowered is seen
 * for what it is.
 */
#define REPLY_SLACK     ((size_t)64 << 10)
#define REPLY_MIN       ((size_t)1 << 20)
#define CACHE_REPLY_MIN ((size_t)64 << 20)  /* many values come at once */
#define REPLY_MAX       ((size_t)512 << 20) /* no value in Redis has more */

size_t coat_store_reply_bytes(const struct coat_store *store)
{
    size_t n = store->options->limits.max_bytes;
    if (store->serves_cache && n < CACHE_REPLY_MIN)
        n = CACHE_REPLY_MIN;
    return (n < REPLY_MIN ? REPLY_MIN : n > REPLY_MAX ? REPLY_MAX : n) + REPLY_SLACK;
}

/* ---- For a cache ---------------------------------------------------------------------------- */

void coat_store_serves_cache(struct coat_store *store)
{
    store->serves_cache = 1;
}

void coat_store_note_corrupt_entry(struct coat_store *store)
{
    int first = coat_store_count(store, COAT_COUNT_CORRUPT) == 0;
    coat_store_note(store, COAT_COUNT_CORRUPT);
    if (!first)
        return;
    coat_store_tell(store, "a cache found what is not an entry of its own, or is damaged, and took "
                           "it for missing; see whether others write under its prefix");
}

const struct coat_limits *coat_store_limits(const struct coat_store *store)
{
    return &store->options->limits;
}

/* ---- Calls --------------------------------------------------------------------------------- */

int coat_store_run(struct coat_store *store, struct coat_op *op, struct coat_error *err)
{
    struct coat_call call;
    struct coat_error why; /* that it takes longer than a moment is no failure of the caller's */
    coat_call_init(&call, store, op, 0);
    int rc = coat_call_run_briefly(&call, &why);
    while (rc == COAT_EINTR) /* a signal: a C program's handlers have run by now */
        rc = coat_call_run(&call, &why);
    coat_call_release(&call);
    coat_life_tell(op, store);
    if (rc < 0 && err)
        *err = why;
    return rc;
}

int coat_store_ping(struct coat_store *store, struct coat_error *err)
{
    struct coat_ping ping;
    return coat_store_run(store, coat_ping_op(&ping), err);
}

static int load_by(enum coat_session_op which, struct coat_store *store, const char *id,
                   struct coat_session **out, struct coat_error *err)
{
    int rc = coat_session_for_id(store, id, strlen(id), out, err);
    if (rc <= 0)
        return rc;
    rc = coat_store_run(store, coat_session_op(*out, which), err);
    if (rc <= 0) {
        coat_session_close(*out);
        *out = NULL;
    }
    return rc;
}

int coat_store_load(struct coat_store *store, const char *id, struct coat_session **out,
                    struct coat_error *err)
{
    return load_by(COAT_OP_LOAD, store, id, out, err);
}

int coat_store_lock(struct coat_store *store, const char *id, struct coat_session **out,
                    struct coat_error *err)
{
    return load_by(COAT_OP_LOCK, store, id, out, err);
}

/* Until it has landed, or something is wrong. */
static int update(struct coat_store *store, struct coat_session *s, coat_update_fn *fn,
                  void *context, struct coat_error *err)
{
    for (;;) {
        int rc = fn(context, s, err);
        if (rc != 0)
            return rc < 0 ? rc
                          : coat_error_set(err, COAT_EUSAGE,
                                           "the function for an update answered %d, not 0 or a "
                                           "failure",
                                           rc);
        rc = coat_store_run(store, coat_session_op(s, COAT_OP_UPDATE), err);
        if (rc != COAT_ECONFLICT)
            return rc < 0 ? rc : 1;
    }
}

int coat_store_update(struct coat_store *store, const char *id, coat_update_fn *fn, void *context,
                      struct coat_session **out, struct coat_error *err)
{
    struct coat_session *s;
    int rc = coat_store_load(store, id, &s, err);
    if (rc == 1)
        rc = update(store, s, fn, context, err);
    else if (rc == 2) /* its id was replaced: there is nothing to change */
        rc = 0;
    if (out)
        *out = rc == 1 ? s : NULL;
    if (!out || rc != 1)
        coat_session_close(s);
    return rc;
}

int coat_store_destroy(struct coat_store *store, const char *id, struct coat_error *err)
{
    struct coat_session *s;
    int rc = coat_session_for_id(store, id, strlen(id), &s, err);
    if (rc <= 0)
        return rc;
    rc = coat_session_destroy(s, err);
    coat_session_close(s);
    return rc;
}

/* An operation on the sessions of a principal, of which something may still be asked. */
static int run_on_index(struct coat_store *store, enum coat_index_do what, const char *principal,
                        const char *public_id, struct coat_index_op **x, struct coat_error *err)
{
    int rc = coat_index_op_new(x, store, what, principal, public_id, err);
    return rc < 0 ? rc : coat_store_run(store, coat_index_op(*x), err);
}

int coat_store_sessions(struct coat_store *store, const char *principal,
                        struct coat_session_list **out, struct coat_error *err)
{
    struct coat_index_op *x;
    int rc = run_on_index(store, COAT_INDEX_LIST, principal, NULL, &x, err);
    *out = rc < 0 ? NULL : coat_index_op_list(x);
    coat_index_op_free(x);
    return rc;
}

int coat_store_destroy_one(struct coat_store *store, const char *principal, const char *public_id,
                           struct coat_error *err)
{
    struct coat_index_op *x;
    int rc = run_on_index(store, COAT_INDEX_END_ONE, principal, public_id, &x, err);
    coat_index_op_free(x);
    return rc;
}

int coat_store_destroy_all(struct coat_store *store, const char *principal, const char *keep,
                           int *index_lost, struct coat_error *err)
{
    struct coat_index_op *x;
    int rc = run_on_index(store, COAT_INDEX_END_ALL, principal, keep, &x, err);
    if (index_lost)
        *index_lost = rc >= 0 && coat_index_op_lost(x);
    coat_index_op_free(x);
    return rc;
}
