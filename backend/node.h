/*
 * node.h: one Redis process at an address, and the connections to it. Any number of threads; safe
 * across fork(). Nodes are made by coat_redis_node (redis.h).
 */
#ifndef COAT_BACKEND_NODE_H
#define COAT_BACKEND_NODE_H

#include <stdint.h>

#include "connect.h"
#include "coat_error.h"

enum coat_node_role {
    COAT_NODE_DATA,
    COAT_NODE_SENTINEL /* has credentials of its own, and no databases */
};

struct coat_conn;
struct coat_node;

/* References; with the last one it goes, with its connections. */
void coat_node_retain(struct coat_node *node);
void coat_node_release(struct coat_node *node);

const struct coat_address *coat_node_address(const struct coat_node *node);

/* Every connection that it has now is closed when it would be used the next time. */
void coat_node_drop(struct coat_node *node);

/* As coat_pool_checkout and coat_pool_checkin. */
int coat_node_checkout(struct coat_node *node, int64_t deadline_ms, struct coat_conn **out,
                       struct coat_error *err);
void coat_node_checkin(struct coat_node *node, struct coat_conn *conn, int reusable);

#endif
