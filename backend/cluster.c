#include "cluster.h"

#include <string.h>

#include "api/error.h"
#include "refusal.h"
#include "slot.h"

static int malformed(struct coat_error *err)
{
    return coat_error_because(err, COAT_EUNAVAILABLE, "protocol",
                              "a node of the cluster described it in a form that is not known; is "
                              "this a Redis Cluster, and not a proxy?");
}

int coat_place_set(struct coat_place *place, const char *host, size_t len, long long port)
{
    if (len > COAT_HOST_MAX || port < 1 || port > 65535)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (host[i] <= ' ' || host[i] > '~')
            return 0;
    if (len)
        memcpy(place->host, host, len);
    place->host[len] = '\0';
    place->port = (int)port;
    return 1;
}

static int is_text(const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_BULK || reply->kind == COAT_REPLY_STATUS;
}

static int equals(const struct coat_reply *reply, const char *text)
{
    return is_text(reply) && reply->len == strlen(text) &&
           memcmp(reply->bytes, text, reply->len) == 0;
}

/* The value of a name in an array of names and values, or NULL. */
static const struct coat_reply *member(const struct coat_reply *array, const char *name)
{
    if (array->kind != COAT_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < array->count; i += 2)
        if (equals(&array->items[i], name))
            return &array->items[i + 1];
    return NULL;
}

static int set_slots(struct coat_serving *serving, const struct coat_reply *first,
                     const struct coat_reply *last)
{
    if (first->kind != COAT_REPLY_INTEGER || last->kind != COAT_REPLY_INTEGER ||
        first->integer < 0 || first->integer > last->integer || last->integer >= (int)COAT_SLOTS)
        return 0;
    serving->first = (unsigned)first->integer;
    serving->last = (unsigned)last->integer;
    return 1;
}

/*
 * The preferred endpoint is NULL (unknown: the host that answered), "" (a node that does not know
 * its own address yet: the same), or "?" (a host name is preferred, but none is set: its IP then).
 */
static int set_place(struct coat_place *place, const struct coat_reply *endpoint,
                     const struct coat_reply *ip, long long port)
{
    if (is_text(endpoint) && equals(endpoint, "?"))
        endpoint = ip;
    if (!endpoint || endpoint->kind == COAT_REPLY_NIL)
        return coat_place_set(place, "", 0, port);
    return is_text(endpoint) && coat_place_set(place, endpoint->bytes, endpoint->len, port);
}

/* [first, last, master, replicas...], where a node is [endpoint, port, id, [names and values]]. */
static int set_range(struct coat_serving *serving, const struct coat_reply *range)
{
    if (range->kind != COAT_REPLY_ARRAY || range->count < 3 ||
        !set_slots(serving, &range->items[0], &range->items[1]))
        return 0;
    const struct coat_reply *node = &range->items[2];
    if (node->kind != COAT_REPLY_ARRAY || node->count < 2 ||
        node->items[1].kind != COAT_REPLY_INTEGER)
        return 0;
    const struct coat_reply *ip = node->count > 3 ? member(&node->items[3], "ip") : NULL;
    return set_place(&serving->place, &node->items[0], ip, node->items[1].integer);
}

int coat_cluster_slots(const struct coat_reply *reply, coat_serving_fn *see, void *user,
                       struct coat_error *err)
{
    if (reply->kind != COAT_REPLY_ARRAY)
        return malformed(err);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < reply->count; i++) {
        struct coat_serving serving;
        if (!set_range(&serving, &reply->items[i]))
            return malformed(err);
        rc = see(user, &serving);
    }
    return rc;
}

/* The node of a shard that is its master, or NULL: while a failover is under way there is none. */
static const struct coat_reply *master_of(const struct coat_reply *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        const struct coat_reply *role = member(&nodes->items[i], "role");
        const struct coat_reply *health = member(&nodes->items[i], "health");
        if (role && equals(role, "master") && !(health && equals(health, "fail")))
            return &nodes->items[i];
    }
    return NULL;
}

static int set_master(struct coat_serving *serving, const struct coat_reply *master, int tls)
{
    const struct coat_reply *endpoint = member(master, "endpoint");
    const struct coat_reply *ip = member(master, "ip");
    const struct coat_reply *port = member(master, tls ? "tls-port" : "port");
    return port && port->kind == COAT_REPLY_INTEGER &&
           set_place(&serving->place, endpoint ? endpoint : ip, ip, port->integer);
}

int coat_cluster_shards(const struct coat_reply *reply, int tls, coat_serving_fn *see, void *user,
                        struct coat_error *err)
{
    if (reply->kind != COAT_REPLY_ARRAY)
        return malformed(err);
    for (size_t i = 0; i < reply->count; i++) {
        const struct coat_reply *slots = member(&reply->items[i], "slots");
        const struct coat_reply *nodes = member(&reply->items[i], "nodes");
        if (!slots || slots->kind != COAT_REPLY_ARRAY || slots->count % 2 || !nodes ||
            nodes->kind != COAT_REPLY_ARRAY)
            return malformed(err);
        const struct coat_reply *master = master_of(nodes);
        struct coat_serving serving;
        if (!master)
            continue;
        if (!set_master(&serving, master, tls))
            return malformed(err);
        for (size_t j = 0; j < slots->count; j += 2) {
            if (!set_slots(&serving, &slots->items[j], &slots->items[j + 1]))
                return malformed(err);
            int rc = see(user, &serving);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

/* ---- Redirects ------------------------------------------------------------------------------ */

/* A number at *at, which is moved behind it; -1 if there is none, or it is above max. */
static long number(const char **at, const char *end, long max)
{
    long n = -1;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        n = (n < 0 ? 0 : n) * 10 + (**at - '0');
        if (n > max)
            return -1;
    }
    return n;
}

/* "host:port"; an IPv6 address has colons of its own, and perhaps brackets. */
static int parse_place(struct coat_place *place, const char *at, const char *end)
{
    const char *colon = memrchr(at, ':', (size_t)(end - at));
    if (!colon)
        return 0;
    const char *digits = colon + 1;
    long port = number(&digits, end, 65535);
    const char *host_end = colon;
    if (digits != end)
        return 0;
    if (at < host_end && *at == '[' && host_end[-1] == ']')
        at++, host_end--;
    if (host_end - at == 1 && *at == '?')
        at = host_end;
    return coat_place_set(place, at, (size_t)(host_end - at), port);
}

struct coat_redirect coat_cluster_redirect(const struct coat_reply *reply)
{
    const struct coat_redirect none = {.kind = COAT_REDIRECT_NONE};
    struct coat_redirect redirect = none;
    size_t word;
    if (coat_refusal_is(reply, "MOVED"))
        redirect.kind = COAT_REDIRECT_MOVED, word = 5;
    else if (coat_refusal_is(reply, "ASK"))
        redirect.kind = COAT_REDIRECT_ASK, word = 3;
    else
        return none;
    const char *at = reply->bytes + word, *end = reply->bytes + reply->len;
    if (at == end || *at++ != ' ')
        return none;
    long slot = number(&at, end, COAT_SLOTS - 1);
    if (slot < 0 || at == end || *at++ != ' ' || !parse_place(&redirect.place, at, end))
        return none;
    redirect.slot = (unsigned)slot;
    return redirect;
}
