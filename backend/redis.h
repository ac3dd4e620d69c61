/*
 * redis.h: one Redis as stores see it, be it one server, a master with its sentinels or a cluster:
 * which node serves a key (topology.h), and the connections to each (node.h).
 *
 * Any number of threads; safe across fork(): the child opens connections of its own.
 */
#ifndef COAT_BACKEND_REDIS_H
#define COAT_BACKEND_REDIS_H

#include "connect.h"
#include "lock.h"
#include "node.h"
#include "stats.h"

struct coat_topology;

#define COAT_NOTICES_MAX 8
#define COAT_NOTICE_SIZE 256

struct coat_redis {
    struct coat_connect connect; /* its own copy */
    struct coat_topology *topology;
    struct coat_histogram waits; /* of blocking calls, each for a connection */
    atomic_int users;            /* who hold it: a registry, or a store and its channels */

    /* Private to redis.c. */
    struct coat_lock lock; /* of all that follows */
    struct coat_node *nodes;
    atomic_int noticed; /* how many notices wait */
    size_t first_notice;
    char notices[COAT_NOTICES_MAX][COAT_NOTICE_SIZE];

    /* Private to registry.c. */
    size_t stores;
    int64_t unused_since_ms;
    struct coat_redis *next;
};

/* Does not connect. 0 and *out, to be released; or COAT_ENOMEM. */
int coat_redis_new(struct coat_redis **out, const struct coat_connect *connect,
                   struct coat_error *err);
void coat_redis_retain(struct coat_redis *redis);

/* With the last release it is freed, when nobody may use a node of it any more. NULL allowed. */
void coat_redis_release(struct coat_redis *redis);

/* The node at an address, found or made, with a reference for the caller. 0, or COAT_ENOMEM. */
int coat_redis_node(struct coat_redis *redis, const struct coat_address *address,
                    enum coat_node_role role, struct coat_node **out, struct coat_error *err);

/* How its connections are used, added to *use. */
void coat_redis_add_use(struct coat_redis *redis, struct coat_pool_use *use);

/*
 * Something changed that a person should read about, in one line without secrets. Where nobody
 * reads, the oldest are dropped.
 */
void coat_redis_notice(struct coat_redis *redis, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The oldest notice that was not read: 1 and *text, or 0. */
int coat_redis_read_notice(struct coat_redis *redis, char text[COAT_NOTICE_SIZE]);

#endif
