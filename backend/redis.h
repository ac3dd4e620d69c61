/*
 * redis.h: a Redis deployment as stores see it: its nodes and its topology. Any number of threads;
 * safe across fork().
 */
#ifndef COAT_BACKEND_REDIS_H
#define COAT_BACKEND_REDIS_H

#include "node.h"
#include "options.h"

struct coat_redis;
struct coat_topology;

/* options: borrowed, outlive it. Does not connect. 0, COAT_ENOMEM. */
int coat_redis_new(struct coat_redis **out, const struct coat_options *options,
                   struct coat_error *err);
void coat_redis_free(struct coat_redis *redis); /* NULL allowed; no call may be under way */

const struct coat_options *coat_redis_options(const struct coat_redis *redis);
struct coat_topology *coat_redis_topology(const struct coat_redis *redis);

/* The node at an address (copied), found or made, with a reference. 0, COAT_ENOMEM. */
int coat_redis_node(struct coat_redis *redis, const struct coat_address *address,
                    enum coat_node_role role, struct coat_node **out, struct coat_error *err);

#endif
