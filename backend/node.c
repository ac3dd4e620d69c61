#include "node.h"

#include <string.h>

#include "net.h"
#include "redis.h"

const char *coat_node_name(const struct coat_node *node, char *to, size_t size)
{
    return coat_net_name(&node->peer.address, to, size);
}

int coat_node_checkout(struct coat_node *node, const struct coat_terms *terms,
                       struct coat_conn **out, struct coat_error *err)
{
    return coat_pool_checkout(node->pool, terms, out, err);
}

int coat_node_take_idle(struct coat_node *node, struct coat_conn **out)
{
    return coat_pool_take_idle(node->pool, out);
}

void coat_node_checkin(struct coat_node *node, struct coat_conn *conn, int reusable)
{
    coat_pool_checkin(node->pool, conn, reusable);
}

void coat_node_drop(struct coat_node *node)
{
    coat_pool_drop(node->pool);
}

int coat_node_may_connect(struct coat_node *node, coat_trial *trial, struct coat_error *err)
{
    return coat_pool_may_connect(node->pool, trial, err);
}

void coat_node_connected(struct coat_node *node, coat_trial trial, int rc,
                         const struct coat_error *why)
{
    coat_pool_connected(node->pool, trial, rc, why);
}

unsigned coat_node_generation(struct coat_node *node)
{
    return coat_pool_generation(node->pool);
}

/* A session is a key with a TTL, so the volatile- policies drop them as well. */
void coat_node_greeted(struct coat_node *node, const struct coat_greeting *greeting)
{
    int evicts = greeting->eviction[0] && strcmp(greeting->eviction, "noeviction") != 0;
    if (atomic_exchange(&node->evicts, evicts) == evicts || !evicts)
        return;
    char name[160];
    coat_redis_notice(node->redis,
                      "%s has the maxmemory-policy %s, so sessions vanish when its memory is full; "
                      "set it to noeviction",
                      coat_node_name(node, name, sizeof name), greeting->eviction);
}
