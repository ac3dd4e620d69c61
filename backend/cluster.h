/*
 * cluster.h: what the nodes of a Redis Cluster say about each other: who serves which slots, and
 * where a command has to go instead. Reads replies only; topology.c keeps what they say.
 */
#ifndef COAT_BACKEND_CLUSTER_H
#define COAT_BACKEND_CLUSTER_H

#include <stddef.h>

#include "api/reply.h"
#include "coat_error.h"

#define COAT_HOST_MAX 255u /* bytes of a host name */

/* An address as a node announced it; node_map.h may know another way to it. */
struct coat_place {
    char host[COAT_HOST_MAX + 1]; /* "": that of the node which said so */
    int port;
};

/* 1 and *place, or 0 if that is no host and port. */
int coat_place_set(struct coat_place *place, const char *host, size_t len, long long port);

/* The master of some slots. */
struct coat_serving {
    unsigned first, last;
    struct coat_place place;
};

/* Is called for each range of slots; what is not 0 ends the reading and is returned. */
typedef int coat_serving_fn(void *user, const struct coat_serving *serving);

/*
 * The reply to CLUSTER SLOTS, or to CLUSTER SHARDS (`tls`: the ports for TLS are wanted; SLOTS
 * names those by itself). 0; COAT_EUNAVAILABLE ("protocol"): it is none; or what `see` returned.
 */
int coat_cluster_slots(const struct coat_reply *reply, coat_serving_fn *see, void *user,
                       struct coat_error *err);
int coat_cluster_shards(const struct coat_reply *reply, int tls, coat_serving_fn *see, void *user,
                        struct coat_error *err);

/* "MOVED 3999 10.0.0.1:6381", "ASK 3999 [host]:port". */
struct coat_redirect {
    enum { COAT_REDIRECT_NONE, COAT_REDIRECT_MOVED, COAT_REDIRECT_ASK } kind;
    unsigned slot;
    struct coat_place place;
};

/* What an error reply says about the way; NONE if it is no redirect that can be followed. */
struct coat_redirect coat_cluster_redirect(const struct coat_reply *reply);

#endif
