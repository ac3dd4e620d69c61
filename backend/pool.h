/*
 * pool.h: the connections to one node, shared by threads. Safe across fork(): the child finds
 * the pool empty and opens connections of its own.
 */
#ifndef COAT_BACKEND_POOL_H
#define COAT_BACKEND_POOL_H

#include "conn.h"
#include "health.h"

struct coat_node;
struct coat_pool;

/* Two at once are enough to recover, and a server that comes back is not run over. */
#define COAT_CONNECTS_MAX 2

/* node: borrowed, outlives the pool. Does not connect. 0, COAT_ENOMEM. */
int coat_pool_new(struct coat_pool **out, struct coat_node *node, struct coat_error *err);
void coat_pool_free(struct coat_pool *pool); /* NULL allowed */

/*
 * A connection that is ready for a command: an idle one that is still in order and neither too
 * old nor too long unused, else a new one; where max_connections are in use, or two others are
 * connecting, waits; so it does where the server has no room for another client, but some
 * are ours. While the node is down (health.h) fails at once. *out must be NULL at first.
 * 0 and *out, to be given back; COAT_EINTR: call again with *out as it is (it may hold a
 * connection that is being opened) or give that back; comes also without a signal, from time to
 * time, while waiting for others. COAT_EUNAVAILABLE, COAT_ETIMEOUT, COAT_EDENIED, COAT_ECONFIG,
 * COAT_ENOMEM: *out is NULL.
 */
int coat_pool_checkout(struct coat_pool *pool, const struct coat_terms *terms,
                       struct coat_conn **out, struct coat_error *err);

/* The same without waiting for anything: 1 and *out, an idle one; or 0. */
int coat_pool_take_idle(struct coat_pool *pool, struct coat_conn **out);

/* Give it back. reusable 0, or not READY: it is closed. */
void coat_pool_checkin(struct coat_pool *pool, struct coat_conn *conn, int reusable);

/* Those there are now are closed as soon as they are free. */
void coat_pool_drop(struct coat_pool *pool);

/* coat_node_may_connect and coat_node_connected. */
int coat_pool_may_connect(struct coat_pool *pool, coat_trial *trial, struct coat_error *err);
void coat_pool_connected(struct coat_pool *pool, coat_trial trial, int rc,
                         const struct coat_error *why);

/* How many connections are used how; coat_pool_add_use adds to it. */
struct coat_pool_use {
    size_t idle, busy, connecting;
};
void coat_pool_add_use(struct coat_pool *pool, struct coat_pool_use *use);

/* Grows with each coat_pool_drop. */
unsigned coat_pool_generation(struct coat_pool *pool);

#endif
