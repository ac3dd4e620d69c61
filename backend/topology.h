/*
 * topology.h: which node serves a key. One server; the master that sentinels name; or the nodes of
 * a Redis Cluster. It does no I/O: it says whom to ask what, and is given the answers. Any number
 * of threads; safe across fork().
 */
#ifndef COAT_BACKEND_TOPOLOGY_H
#define COAT_BACKEND_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include "api/op.h"
#include "cluster.h"

struct coat_node;
struct coat_redis;
struct coat_topology;

/* redis: borrowed, outlives it; its `connect` says what kind it is. 0, COAT_ENOMEM. */
int coat_topology_new(struct coat_topology **out, struct coat_redis *redis, struct coat_error *err);
void coat_topology_free(struct coat_topology *topology); /* NULL allowed */

/* 1 if nothing can be asked and nobody else serves: one server. */
int coat_topology_single(const struct coat_topology *topology);

/* 1 if those to be asked are sentinels. */
int coat_topology_asks_sentinels(const struct coat_topology *topology);

/* ---- Where a key lives ---------------------------------------------------------------------- */

/*
 * The node of a key (bytes NULL: any that serves), with a reference for the caller. NULL: it is
 * not known yet whom there is.
 */
struct coat_node *coat_topology_route(struct coat_topology *topology, struct coat_arg key);

/*
 * The node at an address that another node announced, with a reference: through node_map, and at
 * the host of `by` where none was announced. 0, COAT_ENOMEM.
 */
int coat_topology_node_at(struct coat_topology *topology, const struct coat_place *place,
                          const struct coat_node *by, struct coat_node **out,
                          struct coat_error *err);

/* Masters of a cluster; the protocol's own limit is near that. */
enum { COAT_NODES_MAX = 1024 };

/*
 * Every node that serves, with a reference each, `room` at most; how many. 0: not known yet, or
 * not said (redirects must do).
 */
size_t coat_topology_nodes(struct coat_topology *topology, struct coat_node **nodes, size_t room);

/* ---- What its users noticed ----------------------------------------------------------------- */

/* A node did not do what a serving one does: it is to be asked anew, soon. */
void coat_topology_doubt(struct coat_topology *topology, struct coat_node *node, int64_t now_ms);

/* A slot has moved to that node. What else has moved is asked within a second. */
void coat_topology_moved(struct coat_topology *topology, unsigned slot, struct coat_node *to);

/* ---- Asking --------------------------------------------------------------------------------- */

/*
 * 1 if it is to be asked now, by the caller: others are not told so for a moment. Otherwise 0, and
 * *again_ms is when to come back where no route is known.
 */
int coat_topology_due(struct coat_topology *topology, int64_t now_ms, int64_t *again_ms);

/* The caller gives up: whoever waits for the answer may ask at once. */
void coat_topology_unanswered(struct coat_topology *topology);

/* Whom to ask, from the 0th to the last one, with a reference; NULL: there are no more. */
struct coat_node *coat_topology_contact(struct coat_topology *topology, size_t nth);

/* What to ask, as one command; borrows from the topology. */
struct coat_command coat_topology_question(struct coat_topology *topology, struct coat_arg args[3]);

/*
 * The answer of a contact. 0: learnt. COAT_EINTR: ask the same one again, the question
 * is another now. Otherwise what is wrong with it: COAT_ECONFIG (it knows no such service, it is no
 * cluster), COAT_EDENIED, COAT_EUNAVAILABLE, COAT_ENOMEM.
 */
int coat_topology_learn(struct coat_topology *topology, const struct coat_node *by,
                        const struct coat_reply *reply, struct coat_error *err);

#endif
