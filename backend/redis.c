#include "redis.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "topology.h"

static void free_node(struct coat_node *node)
{
    coat_pool_free(node->pool);
    coat_address_release(&node->peer.address);
    free(node);
}

int coat_redis_new(struct coat_redis **out, const struct coat_connect *connect,
                   struct coat_error *err)
{
    struct coat_redis *redis = calloc(1, sizeof *redis);
    *out = NULL;
    if (!redis)
        return coat_error_nomem(err);
    if (coat_connect_copy(&redis->connect, connect, err) < 0) {
        free(redis);
        return COAT_ENOMEM;
    }
    coat_lock_init(&redis->lock);
    redis->users = 1;
    int rc = coat_topology_new(&redis->topology, redis, err);
    if (rc < 0)
        coat_redis_release(redis);
    else
        *out = redis;
    return rc;
}

void coat_redis_retain(struct coat_redis *redis)
{
    atomic_fetch_add(&redis->users, 1);
}

void coat_redis_release(struct coat_redis *redis)
{
    if (!redis || atomic_fetch_sub(&redis->users, 1) > 1)
        return;
    coat_topology_free(redis->topology);
    while (redis->nodes) { /* a call that was abandoned has left them */
        struct coat_node *node = redis->nodes;
        redis->nodes = node->next;
        free_node(node);
    }
    coat_lock_destroy(&redis->lock);
    coat_connect_release(&redis->connect);
    free(redis);
}

/* In a child: the list of nodes is whole at any moment, and notices are about the parent. */
static void lock(struct coat_redis *redis)
{
    if (coat_lock_take(&redis->lock) != COAT_LOCK_OURS)
        atomic_store(&redis->noticed, 0);
}

static void unlock(struct coat_redis *redis)
{
    coat_lock_leave(&redis->lock);
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

/* One that has lost its last reference is about to go, and is not taken up again. */
static int retain_living(struct coat_node *node)
{
    long references = atomic_load(&node->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&node->references, &references, references + 1))
            return 1;
    return 0;
}

/* With a reference, or NULL. */
static struct coat_node *find(const struct coat_redis *redis, const struct coat_address *address,
                              enum coat_node_role role)
{
    for (struct coat_node *node = redis->nodes; node; node = node->next)
        if (node->peer.is_sentinel == (role == COAT_NODE_SENTINEL) &&
            coat_address_equal(&node->peer.address, address) && retain_living(node))
            return node;
    return NULL;
}

static int make(struct coat_redis *redis, const struct coat_address *address,
                enum coat_node_role role, struct coat_node **out, struct coat_error *err)
{
    struct coat_node *node = calloc(1, sizeof *node);
    if (!node)
        return coat_error_nomem(err);
    atomic_init(&node->references, 1);
    node->redis = redis;
    node->peer.connect = &redis->connect;
    node->peer.is_sentinel = role == COAT_NODE_SENTINEL;
    node->peer.must_be_master = redis->connect.kind == COAT_SENTINEL && role == COAT_NODE_DATA;
    int rc = coat_address_copy(&node->peer.address, address, err);
    if (rc == 0)
        rc = coat_pool_new(&node->pool, node, err);
    if (rc < 0) {
        free_node(node);
        return rc;
    }
    *out = node;
    return 0;
}

int coat_redis_node(struct coat_redis *redis, const struct coat_address *address,
                    enum coat_node_role role, struct coat_node **out, struct coat_error *err)
{
    int rc = 0;
    lock(redis);
    *out = find(redis, address, role);
    if (!*out) {
        rc = make(redis, address, role, out, err);
        if (rc == 0) {
            (*out)->next = redis->nodes;
            redis->nodes = *out;
        }
    }
    unlock(redis);
    return rc;
}

void coat_node_retain(struct coat_node *node)
{
    atomic_fetch_add(&node->references, 1);
}

void coat_node_release(struct coat_node *node)
{
    if (!node || atomic_fetch_sub(&node->references, 1) != 1)
        return;
    struct coat_redis *redis = node->redis;
    lock(redis);
    struct coat_node **link = &redis->nodes;
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    unlock(redis);
    free_node(node);
}

void coat_redis_add_use(struct coat_redis *redis, struct coat_pool_use *use)
{
    lock(redis);
    for (struct coat_node *node = redis->nodes; node; node = node->next)
        coat_pool_add_use(node->pool, use);
    unlock(redis);
}

/* ---- Notices -------------------------------------------------------------------------------- */

void coat_redis_notice(struct coat_redis *redis, const char *format, ...)
{
    va_list args;
    lock(redis);
    size_t waiting = (size_t)atomic_load(&redis->noticed);
    if (waiting == COAT_NOTICES_MAX) {
        redis->first_notice = (redis->first_notice + 1) % COAT_NOTICES_MAX;
        waiting--;
    }
    va_start(args, format);
    vsnprintf(redis->notices[(redis->first_notice + waiting) % COAT_NOTICES_MAX], COAT_NOTICE_SIZE,
              format, args);
    va_end(args);
    atomic_store(&redis->noticed, (int)waiting + 1);
    unlock(redis);
}

int coat_redis_read_notice(struct coat_redis *redis, char text[COAT_NOTICE_SIZE])
{
    if (atomic_load_explicit(&redis->noticed, memory_order_relaxed) == 0)
        return 0;
    lock(redis);
    int waiting = atomic_load(&redis->noticed);
    if (waiting > 0) {
        memcpy(text, redis->notices[redis->first_notice], COAT_NOTICE_SIZE);
        redis->first_notice = (redis->first_notice + 1) % COAT_NOTICES_MAX;
        atomic_store(&redis->noticed, waiting - 1);
    }
    unlock(redis);
    return waiting > 0;
}
