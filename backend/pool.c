#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "api/fault.h"
#include "lock.h"
#include "node.h"
#include "redis.h"
#include "sid.h"
#include "slice.h"

/* A connect that had less time says nothing about the node, only about the caller's haste. */
#define FAIR_CONNECT_MS 100

/* For so long a server that has no room for another client is not asked again. */
#define FULL_MS 100

/*
 * Every connection has its place for as long as the pool lives, so that a child can find them all
 * after fork(), whatever the parent's other threads were doing at that moment.
 */
struct slot {
    struct coat_conn conn; /* first, so that a connection leads to its slot */
    enum { UNUSED, IDLE, BUSY, CONNECTING } use;
    unsigned generation;   /* of the pool, when it was opened */
    int fair;              /* CONNECTING: it has enough time for that */
    coat_trial trial;      /* CONNECTING */
    int64_t idle_ms;       /* how long it may lie idle */
    int64_t idle_until_ms; /* IDLE: it is closed then */
    int64_t retire_ms;     /* it is closed then, as soon as it is free */
};

struct coat_pool {
    struct coat_node *node;
    struct coat_lock lock;  /* of all below */
    pthread_cond_t changed; /* a connection was given back, or a connect has ended */
    unsigned generation;
    struct coat_health health;
    int64_t full_until_ms; /* the server has no room for another one of ours; 0: it has */
    size_t size;
    size_t idle_count, unused_count, connecting;
    struct slot **idle; /* the last one given back is the first to be taken */
    struct slot **unused;
    struct slot slots[];
};

static void init_shared(struct coat_pool *pool)
{
    coat_slice_init(&pool->changed);
    pool->health = (struct coat_health){0};
    pool->idle_count = pool->connecting = 0;
    pool->full_until_ms = 0;
    pool->unused_count = pool->size;
    for (size_t i = 0; i < pool->size; i++)
        pool->unused[i] = &pool->slots[i];
}

int coat_pool_new(struct coat_pool **out, struct coat_node *node, struct coat_error *err)
{
    size_t size = (size_t)node->peer.connect->max_connections;
    struct coat_pool *pool = calloc(1, sizeof *pool + size * sizeof pool->slots[0]);
    struct slot **lists = calloc(size * 2, sizeof(struct slot *));
    *out = NULL;
    if (!pool || !lists) {
        free(pool);
        free(lists);
        return coat_error_nomem(err);
    }
    pool->node = node;
    pool->size = size;
    pool->idle = lists;
    pool->unused = lists + size;
    for (size_t i = 0; i < size; i++)
        coat_conn_init(&pool->slots[i].conn, &node->peer);
    init_shared(pool);
    coat_lock_init(&pool->lock);
    *out = pool;
    return 0;
}

/*
 * In a child a connection that was busy may have been half-way through anything: its memory is
 * given up, its socket closed. Closing sends nothing, for the parent has the socket still.
 */
static void take_over(struct coat_pool *pool)
{
    for (size_t i = 0; i < pool->size; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->use == BUSY || slot->use == CONNECTING)
            coat_conn_abandon(&slot->conn);
        else
            coat_conn_release(&slot->conn);
        slot->use = UNUSED;
    }
    init_shared(pool);
}

static void lock(struct coat_pool *pool)
{
    if (coat_lock_take(&pool->lock) != COAT_LOCK_OURS)
        take_over(pool);
}

static void unlock(struct coat_pool *pool)
{
    coat_lock_leave(&pool->lock);
}

void coat_pool_free(struct coat_pool *pool)
{
    if (!pool)
        return;
    lock(pool); /* in a child, it is taken over */
    unlock(pool);
    for (size_t i = 0; i < pool->size; i++)
        coat_conn_release(&pool->slots[i].conn);
    pthread_cond_destroy(&pool->changed);
    coat_lock_destroy(&pool->lock);
    free(pool->idle);
    free(pool);
}

/* ---- How long a connection lives ------------------------------------------------------------ */

static uint32_t random_number(void)
{
    uint32_t n = 0;
    return coat_random(&n, sizeof n, NULL) < 0 ? 0 : n;
}

/* A tenth earlier at most, so that connections of one age do not end together. */
static int64_t with_jitter(int64_t ms)
{
    return ms - (int64_t)(random_number() % (uint32_t)(ms / 10 + 1));
}

static void note_opened(struct coat_pool *pool, struct slot *slot)
{
    const struct coat_connect *connect = pool->node->peer.connect;
    int64_t idle = connect->max_idle_ms, age = connect->max_age_ms;
    int64_t never = INT64_MAX / 2;
    slot->idle_ms = idle ? with_jitter(idle) : never;
    slot->retire_ms = coat_monotonic_ms() + (age ? with_jitter(age) : never);
}

static int is_over(const struct coat_pool *pool, const struct slot *slot, int64_t now_ms)
{
    return slot->generation != pool->generation || now_ms >= slot->retire_ms ||
           (slot->use == IDLE && now_ms >= slot->idle_until_ms);
}

/* ---- Under the lock ------------------------------------------------------------------------- */

static void make_unused(struct coat_pool *pool, struct slot *slot)
{
    slot->use = UNUSED;
    pool->unused[pool->unused_count++] = slot;
}

/*
 * Closing a socket does not wait, so it may be done here. Meanwhile it counts as busy, so that the
 * child of a fork() in the midst of it gives its memory up instead of freeing it again.
 */
static void close_idle(struct coat_pool *pool, size_t at)
{
    struct slot *slot = pool->idle[at];
    slot->use = BUSY;
    for (size_t i = at + 1; i < pool->idle_count; i++)
        pool->idle[i - 1] = pool->idle[i];
    pool->idle_count--;
    coat_conn_close(&slot->conn);
    make_unused(pool, slot);
}

/* Those that nobody took for too long lie at the bottom. */
static void close_leftovers(struct coat_pool *pool, int64_t now_ms)
{
    while (pool->idle_count && is_over(pool, pool->idle[0], now_ms))
        close_idle(pool, 0);
}

/* The idle one that was used last, if it is still good. */
static struct slot *pop_idle(struct coat_pool *pool, int64_t now_ms)
{
    close_leftovers(pool, now_ms);
    while (pool->idle_count) {
        struct slot *slot = pool->idle[pool->idle_count - 1];
        int good = !is_over(pool, slot, now_ms);
        slot->use = BUSY; /* as in close_idle: the look may change what TLS holds */
        if (good && coat_conn_usable(&slot->conn)) {
            pool->idle_count--;
            return slot;
        }
        close_idle(pool, pool->idle_count - 1);
    }
    return NULL;
}

static size_t busy_count(const struct coat_pool *pool)
{
    return pool->size - pool->unused_count - pool->idle_count - pool->connecting;
}

/* Those that there are, or will be in a moment. */
static size_t ours_count(const struct coat_pool *pool)
{
    return pool->size - pool->unused_count;
}

/* The server is full, and some of its clients are we: it is as if the pool were no larger. */
static int is_full(const struct coat_pool *pool, int64_t now_ms)
{
    return now_ms < pool->full_until_ms && ours_count(pool) > 0;
}

static int may_connect(const struct coat_pool *pool, int64_t now_ms)
{
    return pool->unused_count > 0 && pool->connecting < COAT_CONNECTS_MAX && !is_full(pool, now_ms);
}

static int begin_connect(struct coat_pool *pool, const struct coat_terms *terms, int64_t now_ms,
                         struct slot **out, struct coat_error *err)
{
    coat_trial trial;
    int rc = coat_health_ask(&pool->health, now_ms, &trial, err);
    if (rc < 0)
        return rc;
    struct slot *slot = *out = pool->unused[--pool->unused_count];
    int64_t left = terms->deadline_ms - now_ms;
    slot->trial = trial;
    slot->use = CONNECTING;
    slot->generation = pool->generation;
    slot->fair = left >= FAIR_CONNECT_MS || left >= terms->connect_timeout_ms;
    pool->connecting++;
    return 0;
}

/* ---- Taking --------------------------------------------------------------------------------- */

static int gave_up(const struct coat_pool *pool, int rc, struct coat_error *err)
{
    if (rc == COAT_EINTR)
        return coat_error_set(err, rc, "a look at signals while waiting for a connection");
    if (pool->full_until_ms && ours_count(pool) > 0)
        return coat_error_because(err, rc, "clients",
                                  "the server has as many clients as it allows, and all %zu "
                                  "connections of the store stayed in use; raise its maxclients",
                                  ours_count(pool));
    if (pool->unused_count > 0)
        return coat_error_because(err, rc, "pool",
                                  "the time for the call is over, while %d others were connecting; "
                                  "the server, or the way to it, is slow",
                                  COAT_CONNECTS_MAX);
    return coat_error_because(err, rc, "pool",
                              "all %zu connections of the store stayed in use; raise "
                              "max_connections",
                              pool->size);
}

/* A connection that is ready, or a slot in which to connect. */
static int take(struct coat_pool *pool, const struct coat_terms *terms, struct slot **out,
                struct coat_error *err)
{
    int rc = 0;
    lock(pool);
    for (;;) {
        int64_t now = coat_monotonic_ms();
        *out = pop_idle(pool, now);
        if (*out)
            break;
        if (may_connect(pool, now)) {
            rc = begin_connect(pool, terms, now, out, err);
            break;
        }
        rc = coat_slice_wait(&pool->changed, &pool->lock.mutex, terms->deadline_ms);
        if (rc < 0) {
            rc = gave_up(pool, rc, err);
            break;
        }
    }
    unlock(pool);
    return rc;
}

int coat_pool_take_idle(struct coat_pool *pool, struct coat_conn **out)
{
    lock(pool);
    struct slot *slot = pop_idle(pool, coat_monotonic_ms());
    unlock(pool);
    *out = slot ? &slot->conn : NULL;
    return slot != NULL;
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static void say(struct coat_pool *pool, int news, int rc, const struct coat_error *why)
{
    char name[160];
    if (!news)
        return;
    coat_node_name(pool->node, name, sizeof name);
    if (rc == 0)
        coat_redis_notice(pool->node->redis, "%s can be reached again", name);
    else
        coat_redis_notice(pool->node->redis, "%s cannot be reached: %s", name, why->text);
}

/*
 * A server that is full is still there for those of ours that are connected. One that was, and had
 * no time left to say so again, is taken to be full still.
 */
static int must_wait(const struct coat_pool *pool, int rc, const struct coat_error *why)
{
    int full = rc == COAT_EUNAVAILABLE ? why->fault == COAT_FAULT_FULL
                                       : rc == COAT_ETIMEOUT && pool->full_until_ms;
    return full && ours_count(pool) > 0;
}

/* What is short here says nothing about the node, and a replica may be the master next moment. */
static int is_unreachable(int rc, int fair, const struct coat_error *why)
{
    if (why->fault == COAT_FAULT_HERE || why->fault == COAT_FAULT_REPLICA)
        return 0;
    return rc == COAT_EUNAVAILABLE || (rc == COAT_ETIMEOUT && fair);
}

/* What a connect says about the node: 1 if that is news. With the lock held. */
static int judge(struct coat_pool *pool, coat_trial trial, int rc, int fair,
                 const struct coat_error *why)
{
    int64_t now = coat_monotonic_ms();
    if (rc == 0) {
        pool->full_until_ms = 0;
        return coat_health_good(&pool->health);
    }
    if (must_wait(pool, rc, why))
        pool->full_until_ms = now + FULL_MS;
    else if (is_unreachable(rc, fair, why))
        return coat_health_bad(&pool->health, trial, now, random_number(), why);
    coat_health_unknown(&pool->health, trial);
    return 0;
}

/* 1 if there is a connection of ours to wait for instead. */
static int end_connect(struct coat_pool *pool, struct slot *slot, int rc,
                       const struct coat_error *why)
{
    lock(pool);
    pool->connecting--;
    slot->use = BUSY;
    if (rc == 0)
        note_opened(pool, slot);
    else
        make_unused(pool, slot);
    int wait = must_wait(pool, rc, why);
    int news = judge(pool, slot->trial, rc, slot->fair, why);
    pthread_cond_broadcast(&pool->changed); /* who waits fails as well, or tries itself */
    unlock(pool);
    say(pool, news, rc, why);
    if (rc == 0)
        coat_node_greeted(pool->node, &slot->conn.greeting);
    return wait;
}

/* 1: the server has no room for it, so that one that is there has to be waited for. */
static int connect_slot(struct coat_pool *pool, struct slot *slot, const struct coat_terms *terms,
                        struct coat_conn **out, struct coat_error *err)
{
    struct coat_error why;
    int rc = coat_conn_open(&slot->conn, terms, &why);
    *out = rc == 0 || rc == COAT_EINTR ? &slot->conn : NULL;
    if (rc < 0 && err)
        *err = why;
    return rc != COAT_EINTR && end_connect(pool, slot, rc, &why) ? 1 : rc;
}

int coat_pool_checkout(struct coat_pool *pool, const struct coat_terms *terms,
                       struct coat_conn **out, struct coat_error *err)
{
    int rc = 1;
    while (rc > 0) {
        struct slot *slot = (struct slot *)*out;
        rc = slot ? 0 : take(pool, terms, &slot, err);
        if (rc < 0)
            return rc;
        *out = &slot->conn;
        rc = slot->use == BUSY ? 0 : connect_slot(pool, slot, terms, out, err);
    }
    return rc;
}

/* ---- Giving back ---------------------------------------------------------------------------- */

static void make_idle(struct coat_pool *pool, struct slot *slot, int64_t now_ms)
{
    slot->use = IDLE;
    slot->idle_until_ms = now_ms + slot->idle_ms;
    pool->idle[pool->idle_count++] = slot;
}

void coat_pool_checkin(struct coat_pool *pool, struct coat_conn *conn, int reusable)
{
    struct slot *slot = (struct slot *)conn;
    int64_t now = coat_monotonic_ms();
    coat_lock_retake(&pool->lock); /* it was taken out in this process */
    if (slot->use == CONNECTING) {
        coat_health_unknown(&pool->health, slot->trial);
        pool->connecting--;
        slot->use = BUSY;
        reusable = 0;
    }
    if (reusable && conn->state == COAT_CONN_READY && !is_over(pool, slot, now)) {
        make_idle(pool, slot, now);
    } else {
        coat_conn_close(conn);
        make_unused(pool, slot);
    }
    pthread_cond_signal(&pool->changed);
    unlock(pool);
}

void coat_pool_drop(struct coat_pool *pool)
{
    lock(pool);
    pool->generation++;
    while (pool->idle_count)
        close_idle(pool, pool->idle_count - 1);
    unlock(pool);
}

void coat_pool_add_use(struct coat_pool *pool, struct coat_pool_use *use)
{
    lock(pool);
    use->idle += pool->idle_count;
    use->connecting += pool->connecting;
    use->busy += busy_count(pool);
    unlock(pool);
}

/* ---- For drivers with connections of their own ---------------------------------------------- */

int coat_pool_may_connect(struct coat_pool *pool, coat_trial *trial, struct coat_error *err)
{
    lock(pool);
    int rc = coat_health_ask(&pool->health, coat_monotonic_ms(), trial, err);
    unlock(pool);
    return rc;
}

void coat_pool_connected(struct coat_pool *pool, coat_trial trial, int rc,
                         const struct coat_error *why)
{
    lock(pool);
    int news = judge(pool, trial, rc, 1, why);
    unlock(pool);
    say(pool, news, rc, why);
}

unsigned coat_pool_generation(struct coat_pool *pool)
{
    lock(pool);
    unsigned generation = pool->generation;
    unlock(pool);
    return generation;
}
