/*
 * topologies.h: a Redis Cluster, and a master with replicas and sentinels, for a test: of private
 * servers on ports of 127.0.0.1, quick to notice that one is gone. Ended by stop, or with the test.
 */
#ifndef LIVE_TOPOLOGIES_H
#define LIVE_TOPOLOGIES_H

#include <stddef.h>

#include "server.h"

enum { LIVE_MASTERS = 3, LIVE_NODES = 6, LIVE_REPLICAS = 2, LIVE_SENTINELS = 3 };

/* ---- Talking to one ------------------------------------------------------------------------- */

/* A command in words separated by blanks, as printf makes it; the reply as text, items by lines. */
__attribute__((format(printf, 2, 3))) const char *live_tell(const struct live_server *s,
                                                            const char *format, ...);

/* The number behind "name:" or "name " in a text, or -1. */
long live_number(const char *text, const char *name);

/* Poll until look(user) is not 0; fails the test after 30 s, saying what was waited for. */
void live_wait(int (*look)(void *user), void *user, const char *what);

/* ---- Cluster -------------------------------------------------------------------------------- */

/* Node i is a master for i < LIVE_MASTERS, and node i + LIVE_MASTERS its replica. */
struct live_cluster {
    struct live_server nodes[LIVE_NODES];
    char ids[LIVE_NODES][41];
    char url[128]; /* redis+cluster:// with the masters */
};

/* Started, joined, replicas in step. */
void live_cluster_start(struct live_cluster *c);
void live_cluster_stop(struct live_cluster *c); /* legal twice */

/* The index of the master of a slot, as all living nodes agree; -1: they do not. */
int live_cluster_owner(struct live_cluster *c, unsigned slot);

/* Move a slot with its keys, a few at a time, between masters. */
void live_cluster_move(struct live_cluster *c, unsigned slot, int from, int to);

/* ---- Sentinel ------------------------------------------------------------------------------- */

struct live_sentinels {
    struct live_server data[1 + LIVE_REPLICAS]; /* the first one begins as the master */
    struct live_server sentinels[LIVE_SENTINELS];
    char configs[LIVE_SENTINELS][48]; /* their configurations, each in a directory of its own */
    char url[160];                    /* redis+sentinel:// with all sentinels and the service */
};

#define LIVE_SERVICE "coats"

void live_sentinels_start(struct live_sentinels *t);
void live_sentinels_stop(struct live_sentinels *t); /* legal twice */

/* The index of the master as the sentinels see it, -1: not one of ours. */
int live_sentinels_master(struct live_sentinels *t);

#endif
