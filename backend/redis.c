#include "redis.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "owner.h"
#include "pool.h"
#include "topology.h"

struct coat_redis {
    const struct coat_options *options;
    struct coat_topology *topology;
    coat_owner process;
    pthread_mutex_t mutex;   /* of the list */
    struct coat_node *nodes; /* all that have references */
};

struct coat_node {
    struct coat_redis *redis;
    struct coat_node *next;
    atomic_long references;
    enum coat_node_role role;
    atomic_uint generation;      /* of connections that may be used */
    struct coat_options options; /* the store's, for this address; borrows but for the address */
    struct coat_pool *pool;
};

/* In a child after fork() a thread that does not exist there may have held the mutex. */
static void lock(struct coat_redis *redis)
{
    if (coat_owner_begin(&redis->process)) {
        if (pthread_mutex_trylock(&redis->mutex) == 0)
            pthread_mutex_unlock(&redis->mutex);
        else
            pthread_mutex_init(&redis->mutex, NULL);
        coat_owner_end(&redis->process);
    }
    pthread_mutex_lock(&redis->mutex);
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

static void free_node(struct coat_node *node)
{
    coat_pool_free(node->pool);
    free(node->options.address.host);
    free(node->options.address.path);
    free(node);
}

static int new_node(struct coat_redis *redis, const struct coat_address *address,
                    enum coat_node_role role, struct coat_node **out, struct coat_error *err)
{
    const struct coat_options *options = redis->options;
    struct coat_node *node = calloc(1, sizeof *node);
    *out = NULL;
    if (!node)
        return coat_error_nomem(err);
    node->redis = redis;
    node->role = role;
    node->options = *options;
    node->options.address = *address;
    node->options.address.host = address->host ? strdup(address->host) : NULL;
    node->options.address.path = address->path ? strdup(address->path) : NULL;
    node->options.address.db = role == COAT_NODE_DATA ? options->address.db : 0;
    if (role == COAT_NODE_SENTINEL) {
        node->options.username = options->connect.sentinel_username;
        node->options.password = options->connect.sentinel_password;
        node->options.connect.kind = COAT_SINGLE;
    }
    atomic_init(&node->references, 1);
    atomic_init(&node->generation, 1);
    int rc = (address->host && !node->options.address.host) ||
                     (address->path && !node->options.address.path)
                 ? coat_error_nomem(err)
                 : coat_pool_new(&node->pool, &node->options, err);
    if (rc < 0)
        free_node(node);
    else
        *out = node;
    return rc;
}

static int is_at(const struct coat_node *node, const struct coat_address *address,
                 enum coat_node_role role)
{
    const struct coat_address *own = &node->options.address;
    if (node->role != role || own->scheme != address->scheme)
        return 0;
    if (address->scheme == COAT_SCHEME_TCP)
        return own->port == address->port && strcmp(own->host, address->host) == 0;
    return !own->path == !address->path && (!own->path || strcmp(own->path, address->path) == 0);
}

/* One that has lost its last reference is about to go, and is not taken up again. */
static int retain_living(struct coat_node *node)
{
    long references = atomic_load(&node->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&node->references, &references, references + 1))
            return 1;
    return 0;
}

int coat_redis_node(struct coat_redis *redis, const struct coat_address *address,
                    enum coat_node_role role, struct coat_node **out, struct coat_error *err)
{
    int rc = 0;
    lock(redis);
    struct coat_node *node = redis->nodes;
    while (node && !(is_at(node, address, role) && retain_living(node)))
        node = node->next;
    if (!node) {
        rc = new_node(redis, address, role, &node, err);
        if (rc == 0) {
            node->next = redis->nodes;
            redis->nodes = node;
        }
    }
    pthread_mutex_unlock(&redis->mutex);
    *out = node;
    return rc;
}

void coat_node_retain(struct coat_node *node)
{
    atomic_fetch_add(&node->references, 1);
}

void coat_node_release(struct coat_node *node)
{
    if (atomic_fetch_sub(&node->references, 1) != 1)
        return;
    struct coat_redis *redis = node->redis;
    lock(redis);
    struct coat_node **at = &redis->nodes;
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    pthread_mutex_unlock(&redis->mutex);
    free_node(node);
}

const struct coat_address *coat_node_address(const struct coat_node *node)
{
    return &node->options.address;
}

void coat_node_drop(struct coat_node *node)
{
    atomic_fetch_add(&node->generation, 1);
}

int coat_node_checkout(struct coat_node *node, int64_t deadline_ms, struct coat_conn **out,
                       struct coat_error *err)
{
    for (;;) {
        int rc = coat_pool_checkout(node->pool, deadline_ms, out, err);
        if (rc < 0)
            return rc;
        unsigned generation = atomic_load(&node->generation);
        if ((*out)->generation == 0)
            (*out)->generation = generation;
        if ((*out)->generation == generation)
            return 0;
        coat_pool_checkin(node->pool, *out, 0);
        *out = NULL;
    }
}

void coat_node_checkin(struct coat_node *node, struct coat_conn *conn, int reusable)
{
    coat_pool_checkin(node->pool, conn,
                      reusable && conn->generation == atomic_load(&node->generation));
}

/* ---- The whole ------------------------------------------------------------------------------ */

int coat_redis_new(struct coat_redis **out, const struct coat_options *options,
                   struct coat_error *err)
{
    struct coat_redis *redis = calloc(1, sizeof *redis);
    *out = NULL;
    if (!redis)
        return coat_error_nomem(err);
    redis->options = options;
    coat_owner_init(&redis->process);
    pthread_mutex_init(&redis->mutex, NULL); /* cannot fail with glibc and musl */
    int rc = coat_topology_new(&redis->topology, redis, err);
    if (rc < 0)
        coat_redis_free(redis);
    else
        *out = redis;
    return rc;
}

void coat_redis_free(struct coat_redis *redis)
{
    if (!redis)
        return;
    coat_topology_free(redis->topology);
    pthread_mutex_destroy(&redis->mutex);
    free(redis);
}

const struct coat_options *coat_redis_options(const struct coat_redis *redis)
{
    return redis->options;
}

struct coat_topology *coat_redis_topology(const struct coat_redis *redis)
{
    return redis->topology;
}
