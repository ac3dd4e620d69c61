#include "topology.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "connect.h"
#include "lock.h"
#include "node.h"
#include "node_map.h"
#include "redis.h"
#include "refusal.h"
#include "sentinel.h"
#include "slot.h"

#define NOBODY        UINT16_MAX
#define ASKING_MS     100   /* for so long, one who asks is expected to come back */
#define LOOK_MS       5     /* who waits for what another asks looks as often */
#define GAP_MS        20    /* between two askings because of failures */
#define MOVED_GAP_MS  1000  /* because of redirects, which are followed anyhow */
#define DENIED_GAP_MS 10000 /* where we may not ask: that can change */

/* Who serves which slot of a cluster. */
struct map {
    size_t count;
    struct coat_node *nodes[COAT_NODES_MAX]; /* with a reference each */
    uint16_t owner[COAT_SLOTS];              /* an index of nodes, or NOBODY */
};

struct coat_topology {
    struct coat_redis *redis;
    const struct coat_connect *connect;
    struct coat_lock lock; /* of all below */
    int64_t ask_at_ms;     /* INT64_MAX: all is well */
    int64_t asked_at_ms;
    int64_t doubted_ms; /* when to ask because of what was noticed since; INT64_MAX: nothing */
    struct coat_node *master; /* SINGLE: always; SENTINEL: once known */
    struct map *map;          /* CLUSTER: once known */
    int unlisted;             /* CLUSTER: we may not ask, and redirects must do */
    int by_shards;            /* CLUSTER: the question is CLUSTER SHARDS */
    size_t first;             /* the contact to be asked first: who answered last */
    size_t seed_count;
    struct coat_node *seeds[]; /* what the URL names */
};

/* ---- Maps ----------------------------------------------------------------------------------- */

static struct map *new_map(void)
{
    struct map *map = malloc(sizeof *map);
    if (!map)
        return NULL;
    map->count = 0;
    for (size_t i = 0; i < COAT_SLOTS; i++)
        map->owner[i] = NOBODY;
    return map;
}

static void free_map(struct map *map)
{
    for (size_t i = 0; map && i < map->count; i++)
        coat_node_release(map->nodes[i]);
    free(map);
}

/* The index of a node, which is taken in where it is new; NOBODY where there is no room. */
static uint16_t index_of(struct map *map, struct coat_node *node)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->nodes[i] == node)
            return (uint16_t)i;
    if (map->count == COAT_NODES_MAX)
        return NOBODY;
    coat_node_retain(node);
    map->nodes[map->count] = node;
    return (uint16_t)map->count++;
}

/* ---- Making it ------------------------------------------------------------------------------ */

static int make_seeds(struct coat_topology *t, struct coat_error *err)
{
    const struct coat_connect *connect = t->connect;
    enum coat_node_role role = connect->kind == COAT_SENTINEL ? COAT_NODE_SENTINEL : COAT_NODE_DATA;
    if (connect->kind == COAT_SINGLE)
        return coat_redis_node(t->redis, &t->connect->address, role, &t->master, err);
    for (size_t i = 0; i < connect->host_count; i++) {
        int rc = coat_redis_node(t->redis, &connect->hosts[i], role, &t->seeds[i], err);
        if (rc < 0)
            return rc;
        t->seed_count++;
    }
    return 0;
}

int coat_topology_new(struct coat_topology **out, struct coat_redis *redis, struct coat_error *err)
{
    const struct coat_connect *connect = &redis->connect;
    struct coat_topology *t =
        calloc(1, sizeof *t + connect->host_count * sizeof(struct coat_node *));
    *out = NULL;
    if (!t)
        return coat_error_nomem(err);
    t->redis = redis;
    t->connect = connect;
    t->doubted_ms = INT64_MAX;
    coat_lock_init(&t->lock);
    int rc = make_seeds(t, err);
    if (rc < 0)
        coat_topology_free(t);
    else
        *out = t;
    return rc;
}

void coat_topology_free(struct coat_topology *t)
{
    if (!t)
        return;
    free_map(t->map);
    if (t->master)
        coat_node_release(t->master);
    for (size_t i = 0; i < t->seed_count; i++)
        coat_node_release(t->seeds[i]);
    coat_lock_destroy(&t->lock);
    free(t);
}

int coat_topology_single(const struct coat_topology *t)
{
    return t->connect->kind == COAT_SINGLE;
}

int coat_topology_asks_sentinels(const struct coat_topology *t)
{
    return t->connect->kind == COAT_SENTINEL;
}

/*
 * In a child: a map that was just being changed is asked for anew, and its memory given up.
 */
static void lock(struct coat_topology *t)
{
    if (coat_lock_take(&t->lock) == COAT_LOCK_INTERRUPTED) {
        t->map = NULL;
        t->ask_at_ms = t->asked_at_ms = 0;
    }
}

static void unlock(struct coat_topology *t)
{
    coat_lock_leave(&t->lock);
}

/* ---- Where a key lives ---------------------------------------------------------------------- */

static size_t contact_count(const struct coat_topology *t)
{
    return t->seed_count + (t->map ? t->map->count : 0);
}

/* The masters of the map, then what the URL names, from the one that answered last. */
static struct coat_node *contact(const struct coat_topology *t, size_t nth)
{
    size_t i = (t->first + nth) % contact_count(t);
    size_t masters = t->map ? t->map->count : 0;
    return i < masters ? t->map->nodes[i] : t->seeds[i - masters];
}

/* A slot that nobody serves: any node knows why, or who serves it now. */
static struct coat_node *find(const struct coat_topology *t, struct coat_arg key)
{
    if (t->connect->kind != COAT_CLUSTER)
        return t->master;
    if (!t->map)
        return NULL;
    uint16_t owner = key.bytes ? t->map->owner[coat_slot(key.bytes, key.len)] : NOBODY;
    return owner != NOBODY ? t->map->nodes[owner] : contact(t, 0);
}

struct coat_node *coat_topology_route(struct coat_topology *t, struct coat_arg key)
{
    if (coat_topology_single(t)) { /* it is the same one for good */
        coat_node_retain(t->master);
        return t->master;
    }
    lock(t);
    struct coat_node *node = find(t, key);
    if (node)
        coat_node_retain(node);
    unlock(t);
    return node;
}

int coat_topology_node_at(struct coat_topology *t, const struct coat_place *place,
                          const struct coat_node *by, struct coat_node **out,
                          struct coat_error *err)
{
    struct coat_place way = *place;
    const struct coat_address *from = &by->peer.address;
    coat_node_map_apply(t->connect->node_map, &way);
    struct coat_address address = {
        .scheme = COAT_SCHEME_TCP, .host = way.host[0] ? way.host : from->host, .port = way.port};
    return coat_redis_node(t->redis, &address, COAT_NODE_DATA, out, err);
}

/* A node that has been in the map stays there while another serves what it did. */
static int serves(const struct map *map, size_t node)
{
    for (size_t i = 0; i < COAT_SLOTS; i++)
        if (map->owner[i] == node)
            return 1;
    return 0;
}

size_t coat_topology_nodes(struct coat_topology *t, struct coat_node **nodes, size_t room)
{
    size_t count = 0;
    lock(t);
    if (t->master && room > 0)
        nodes[count++] = t->master;
    for (size_t i = 0; t->map && !t->unlisted && i < t->map->count && count < room; i++)
        if (serves(t->map, i))
            nodes[count++] = t->map->nodes[i];
    for (size_t i = 0; i < count; i++)
        coat_node_retain(nodes[i]);
    unlock(t);
    return count;
}

/* ---- What its users noticed ----------------------------------------------------------------- */

static void ask_by(struct coat_topology *t, int64_t when_ms)
{
    if (when_ms < t->doubted_ms)
        t->doubted_ms = when_ms;
    if (when_ms < t->ask_at_ms && !t->unlisted)
        t->ask_at_ms = when_ms;
}

/* Where nothing can be asked, another node may redirect us. */
static void forget(struct coat_topology *t, const struct coat_node *node)
{
    for (size_t i = 0; t->map && i < COAT_SLOTS; i++)
        if (t->map->owner[i] != NOBODY && t->map->nodes[t->map->owner[i]] == node)
            t->map->owner[i] = NOBODY;
}

void coat_topology_doubt(struct coat_topology *t, struct coat_node *node, int64_t now_ms)
{
    if (coat_topology_single(t))
        return;
    lock(t);
    int64_t earliest = t->asked_at_ms + GAP_MS;
    ask_by(t, now_ms > earliest ? now_ms : earliest);
    if (t->unlisted)
        forget(t, node);
    t->first++; /* who has told us of that node may know no better the next time */
    unlock(t);
}

void coat_topology_moved(struct coat_topology *t, unsigned slot, struct coat_node *to)
{
    lock(t);
    if (t->map)
        t->map->owner[slot] = index_of(t->map, to);
    ask_by(t, t->asked_at_ms + MOVED_GAP_MS);
    unlock(t);
}

/* ---- Asking --------------------------------------------------------------------------------- */

int coat_topology_due(struct coat_topology *t, int64_t now_ms, int64_t *again_ms)
{
    *again_ms = now_ms + LOOK_MS;
    if (coat_topology_single(t))
        return 0;
    lock(t);
    int due = now_ms >= t->ask_at_ms;
    if (due) {
        t->asked_at_ms = now_ms;
        t->ask_at_ms = now_ms + ASKING_MS;
        t->doubted_ms = INT64_MAX;
    }
    unlock(t);
    return due;
}

void coat_topology_unanswered(struct coat_topology *t)
{
    lock(t);
    ask_by(t, t->asked_at_ms);
    unlock(t);
}

struct coat_node *coat_topology_contact(struct coat_topology *t, size_t nth)
{
    lock(t);
    struct coat_node *node = nth < contact_count(t) ? contact(t, nth) : NULL;
    if (node)
        coat_node_retain(node);
    unlock(t);
    return node;
}

static struct coat_arg word(const char *text)
{
    return (struct coat_arg){text, strlen(text)};
}

struct coat_command coat_topology_question(struct coat_topology *t, struct coat_arg args[3])
{
    size_t count = 2;
    if (t->connect->kind == COAT_SENTINEL) {
        args[0] = word("SENTINEL");
        args[1] = word("GET-MASTER-ADDR-BY-NAME");
        args[count++] = word(t->connect->service);
    } else {
        lock(t);
        args[0] = word("CLUSTER");
        args[1] = word(t->by_shards ? "SHARDS" : "SLOTS");
        unlock(t);
    }
    return (struct coat_command){.args = args, .count = count};
}

/* The next asking begins with that node, or `behind` it so many. */
static void begin_with(struct coat_topology *t, const struct coat_node *node, size_t behind)
{
    size_t count = contact_count(t);
    for (t->first = 0; t->first < count; t->first++)
        if (contact(t, 0) == node)
            break;
    t->first = (t->first + behind) % count;
}

/*
 * It has been learnt from that node. What was noticed after the question went out, the answer may
 * not know.
 */
static void learnt(struct coat_topology *t, const struct coat_node *by)
{
    begin_with(t, by, t->doubted_ms != INT64_MAX);
    t->ask_at_ms = t->doubted_ms;
}

/* What connections to the former master would say is worth nothing: they go. */
static void set_master(struct coat_topology *t, const struct coat_node *by,
                       struct coat_node *master)
{
    lock(t);
    struct coat_node *former = t->master;
    t->master = master;
    learnt(t, by);
    unlock(t);
    if (former && former != master)
        coat_node_drop(former);
    if (former)
        coat_node_release(former);
}

static int learn_master(struct coat_topology *t, const struct coat_node *by,
                        const struct coat_reply *reply, struct coat_error *err)
{
    struct coat_place place;
    struct coat_node *master;
    char name[160];
    int rc = coat_sentinel_master(reply, coat_node_name(by, name, sizeof name), t->connect->service,
                                  &place, err);
    if (rc == 0)
        rc = coat_topology_node_at(t, &place, by, &master, err);
    if (rc == 0)
        set_master(t, by, master);
    return rc;
}

static void set_map(struct coat_topology *t, const struct coat_node *by, struct map *map)
{
    lock(t);
    struct map *former = t->map;
    t->map = map;
    t->unlisted = 0;
    learnt(t, by);
    unlock(t);
    free_map(former);
}

/*
 * A user who may not ask is led by redirects, from a map in which nobody is known to serve
 * anything. Some time later another node is asked, for permissions change.
 */
static int do_without(struct coat_topology *t, const struct coat_node *by, struct coat_error *err)
{
    struct map *map = new_map();
    if (!map)
        return coat_error_nomem(err);
    lock(t);
    struct map *useless = t->unlisted ? map : t->map; /* one that was made of redirects is good */
    if (!t->unlisted)
        t->map = map;
    t->unlisted = 1;
    begin_with(t, by, 1);
    t->ask_at_ms = t->asked_at_ms + DENIED_GAP_MS;
    unlock(t);
    free_map(useless);
    return 0;
}

/* 1 the first time. */
static int ask_by_shards(struct coat_topology *t)
{
    lock(t);
    int first = !t->by_shards;
    t->by_shards = 1;
    unlock(t);
    return first;
}

/* A map under construction. */
struct drawing {
    struct coat_topology *topology;
    const struct coat_node *by;
    struct map *map;
    struct coat_error *err;
};

static int enter(void *user, const struct coat_serving *serving)
{
    struct drawing *d = user;
    struct coat_node *node;
    int rc = coat_topology_node_at(d->topology, &serving->place, d->by, &node, d->err);
    if (rc < 0)
        return rc;
    uint16_t index = index_of(d->map, node);
    coat_node_release(node);
    for (unsigned slot = serving->first; slot <= serving->last; slot++)
        d->map->owner[slot] = index;
    return 0;
}

/* Some servers have no CLUSTER SLOTS (any more). */
static int refused(struct coat_topology *t, const struct coat_node *by,
                   const struct coat_reply *reply, struct coat_error *err)
{
    char name[160];
    int unknown = coat_refusal_is(reply, "ERR") && memmem(reply->bytes, reply->len, "nknown", 6);
    if (unknown && ask_by_shards(t))
        return coat_error_set(err, COAT_EINTR, "the question is CLUSTER SHARDS now");
    if (coat_refusal_is(reply, "ERR"))
        return coat_error_because(err, COAT_ECONFIG, "cluster",
                                  "%s belongs to no cluster; write redis:// or rediss:// for one "
                                  "server",
                                  coat_node_name(by, name, sizeof name));
    if (coat_refusal_is(reply, "NOPERM"))
        return do_without(t, by, err);
    return coat_refusal(reply, err);
}

/* Told by the reply itself, for the question may have changed since. */
static int is_shards(const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_ARRAY && reply->count > 0 &&
           reply->items[0].kind == COAT_REPLY_ARRAY && reply->items[0].count > 0 &&
           reply->items[0].items[0].kind != COAT_REPLY_INTEGER;
}

static int learn_map(struct coat_topology *t, const struct coat_node *by,
                     const struct coat_reply *reply, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_ERROR)
        return refused(t, by, reply, err);
    struct drawing drawing = {.topology = t, .by = by, .map = new_map(), .err = err};
    if (!drawing.map)
        return coat_error_nomem(err);
    int rc = is_shards(reply) ? coat_cluster_shards(reply, t->connect->tls.on, enter, &drawing, err)
                              : coat_cluster_slots(reply, enter, &drawing, err);
    if (rc < 0)
        free_map(drawing.map);
    else
        set_map(t, by, drawing.map);
    return rc;
}

int coat_topology_learn(struct coat_topology *t, const struct coat_node *by,
                        const struct coat_reply *reply, struct coat_error *err)
{
    return t->connect->kind == COAT_SENTINEL ? learn_master(t, by, reply, err)
                                             : learn_map(t, by, reply, err);
}
