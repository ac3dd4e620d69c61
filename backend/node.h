/*
 * node.h: one Redis process that a store talks to: its connections, and whether it can be reached.
 *
 * Nodes belong to a redis (redis.h) and are counted: who gets one gives it back.
 */
#ifndef COAT_BACKEND_NODE_H
#define COAT_BACKEND_NODE_H

#include <stdatomic.h>

#include "health.h"
#include "peer.h"
#include "pool.h"

struct coat_redis;

enum coat_node_role {
    COAT_NODE_DATA,
    COAT_NODE_SENTINEL /* has credentials of its own, and no databases */
};

struct coat_node {
    struct coat_peer peer;
    struct coat_redis *redis;
    struct coat_pool *pool;
    atomic_int evicts; /* it is known to drop sessions when its memory is full */
    /* Private to redis.c. */
    atomic_long references;
    struct coat_node *next;
};

/* One more reference; one less: with the last one it goes, with its connections. */
void coat_node_retain(struct coat_node *node);
void coat_node_release(struct coat_node *node); /* NULL allowed */

/* "host:port" or "unix:/path", for messages. Returns `to`. */
const char *coat_node_name(const struct coat_node *node, char *to, size_t size);

/* As in pool.h. */
int coat_node_checkout(struct coat_node *node, const struct coat_terms *terms,
                       struct coat_conn **out, struct coat_error *err);
int coat_node_take_idle(struct coat_node *node, struct coat_conn **out);
void coat_node_checkin(struct coat_node *node, struct coat_conn *conn, int reusable);

/* Every connection there is now is closed as soon as it is free: the node is not what it was. */
void coat_node_drop(struct coat_node *node);

/*
 * For a driver with connections of its own: may it connect (health.h)? After 0, tell how it went:
 * rc 0, or the failure in *why.
 */
int coat_node_may_connect(struct coat_node *node, coat_trial *trial, struct coat_error *err);
void coat_node_connected(struct coat_node *node, coat_trial trial, int rc,
                         const struct coat_error *why);

/* Grows with each coat_node_drop: a connection from before is not to be used any more. */
unsigned coat_node_generation(struct coat_node *node);

/* What a greeting that went well has learnt about it. */
void coat_node_greeted(struct coat_node *node, const struct coat_greeting *greeting);

#endif
