#include "pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/error.h"
#include "slice.h"

/*
 * Every connection has its place for as long as the pool lives, so that a child can find them all
 * after fork(), whatever the parent's other threads were doing at that moment.
 */
struct slot {
    struct coat_conn conn; /* first, so that a connection leads to its slot */
    enum { UNUSED, IDLE, BUSY } use;
};

struct coat_pool {
    const struct coat_options *options;
    atomic_long owner; /* the process that it belongs to; -pid while that one takes it over */
    pthread_mutex_t mutex;
    pthread_cond_t given_back;
    size_t size;
    size_t idle_count, unused_count;
    struct slot **idle; /* the last one given back is the first to be taken */
    struct slot **unused;
    struct slot slots[];
};

static void init_shared(struct coat_pool *pool)
{
    pthread_mutex_init(&pool->mutex, NULL); /* cannot fail with glibc and musl */
    coat_slice_init(&pool->given_back);
    pool->idle_count = 0;
    pool->unused_count = pool->size;
    for (size_t i = 0; i < pool->size; i++)
        pool->unused[i] = &pool->slots[i];
}

int coat_pool_new(struct coat_pool **out, const struct coat_options *options,
                  struct coat_error *err)
{
    size_t size = (size_t)options->max_connections;
    struct coat_pool *pool = calloc(1, sizeof *pool + size * sizeof pool->slots[0]);
    struct slot **lists = calloc(size * 2, sizeof(struct slot *));
    *out = NULL;
    if (!pool || !lists) {
        free(pool);
        free(lists);
        return coat_error_nomem(err);
    }
    pool->options = options;
    pool->size = size;
    pool->idle = lists;
    pool->unused = lists + size;
    for (size_t i = 0; i < size; i++)
        coat_conn_init(&pool->slots[i].conn, options);
    init_shared(pool);
    atomic_init(&pool->owner, (long)getpid());
    *out = pool;
    return 0;
}

/*
 * In a child after fork(). The mutex may be locked by a thread that does not exist here, and a
 * connection that was busy may have been half-way through anything: its memory is given up, its
 * socket closed. Closing sends nothing, for the parent has the socket still.
 */
static void take_over(struct coat_pool *pool)
{
    for (size_t i = 0; i < pool->size; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->use == BUSY)
            coat_conn_abandon(&slot->conn);
        else
            coat_conn_release(&slot->conn);
        slot->use = UNUSED;
    }
    init_shared(pool);
}

/* Makes the pool this process's own. Threads that a child starts may arrive here together. */
static void own(struct coat_pool *pool)
{
    long me = (long)getpid();
    long owner = atomic_load_explicit(&pool->owner, memory_order_acquire);
    while (owner != me) {
        if (owner == -me) {
            sched_yield();
            owner = atomic_load_explicit(&pool->owner, memory_order_acquire);
        } else if (atomic_compare_exchange_weak(&pool->owner, &owner, -me)) {
            take_over(pool);
            atomic_store_explicit(&pool->owner, me, memory_order_release);
            return;
        }
    }
}

void coat_pool_free(struct coat_pool *pool)
{
    if (!pool)
        return;
    own(pool);
    for (size_t i = 0; i < pool->size; i++)
        coat_conn_release(&pool->slots[i].conn);
    pthread_cond_destroy(&pool->given_back);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->idle);
    free(pool);
}

/* ---- Taking and giving ---------------------------------------------------------------------- */

static int none_is_free(const struct coat_pool *pool)
{
    return pool->idle_count + pool->unused_count == 0;
}

static int gave_up(const struct coat_pool *pool, int rc, struct coat_error *err)
{
    if (rc == COAT_EINTR)
        return coat_error_set(err, rc, "a look at signals while waiting for a connection");
    return coat_error_because(err, rc, "pool",
                              "all %zu connections of the store stayed in use; raise "
                              "max_connections",
                              pool->size);
}

/* A slot that nobody uses, the last idle one if there are any. */
static int take(struct coat_pool *pool, int64_t deadline_ms, struct slot **out,
                struct coat_error *err)
{
    int rc = 0;
    *out = NULL;
    pthread_mutex_lock(&pool->mutex);
    while (rc == 0 && none_is_free(pool))
        rc = coat_slice_wait(&pool->given_back, &pool->mutex, deadline_ms);
    if (!none_is_free(pool)) {
        *out =
            pool->idle_count ? pool->idle[--pool->idle_count] : pool->unused[--pool->unused_count];
        (*out)->use = BUSY;
    }
    pthread_mutex_unlock(&pool->mutex);
    return *out ? 0 : gave_up(pool, rc, err);
}

int coat_pool_checkout(struct coat_pool *pool, int64_t deadline_ms, struct coat_conn **out,
                       struct coat_error *err)
{
    own(pool);
    while (!*out) {
        struct slot *slot;
        int rc = take(pool, deadline_ms, &slot, err);
        if (rc < 0)
            return rc;
        if (coat_conn_usable(&slot->conn)) {
            *out = &slot->conn;
            return 0;
        }
        if (slot->conn.state == COAT_CONN_CLOSED)
            *out = &slot->conn;
        else
            coat_pool_checkin(pool, &slot->conn, 0);
    }
    int rc = coat_conn_open(*out, deadline_ms, err);
    if (rc < 0 && rc != COAT_EINTR) {
        coat_pool_checkin(pool, *out, 0);
        *out = NULL;
    }
    return rc;
}

void coat_pool_checkin(struct coat_pool *pool, struct coat_conn *conn, int reusable)
{
    struct slot *slot = (struct slot *)conn;
    if (!reusable || conn->state != COAT_CONN_READY)
        coat_conn_close(conn);
    pthread_mutex_lock(&pool->mutex);
    if (conn->state == COAT_CONN_READY) {
        slot->use = IDLE;
        pool->idle[pool->idle_count++] = slot;
    } else {
        slot->use = UNUSED;
        pool->unused[pool->unused_count++] = slot;
    }
    pthread_cond_signal(&pool->given_back);
    pthread_mutex_unlock(&pool->mutex);
}
