#include "api/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "api/error.h"
#include "api/registry.h"
#include "clock.h"
#include "greeting.h"
#include "node.h"
#include "redis.h"
#include "resp.h"
#include "sid.h"
#include "store.h"
#include "system_error.h"

#define INPUT_SLACK ((size_t)256 << 10) /* an event loop reads so much, beyond one reply */

struct coat_channel_place {
    struct coat_channel_place *next;
    void *owner; /* NULL: it has left */
    const struct coat_command *commands;
    size_t count;
    int64_t deadline_ms;
    int sent;
};

/* First in, first out. */
struct queue {
    struct coat_channel_place *first, **end;
};

struct coat_channel {
    enum coat_channel_state state;
    struct coat_registry *registry; /* where redis comes from; NULL: from the store */
    struct coat_redis *redis;       /* which this is a user of: the store may go before it */
    struct coat_node *node;
    unsigned generation; /* of the node, when it was opened */
    int64_t connect_timeout_ms;
    int64_t open_until_ms;         /* OPENING */
    int64_t ends_ms;               /* it is old then; 0: it never was READY */
    int64_t idle_since_ms;         /* the queue is empty */
    coat_trial trial;              /* OPENING: for the node's health */
    int reported;                  /* the node knows how connecting went */
    int drains;                    /* no more hops are to come */
    int greeting_due;              /* OPENING: it is to be sent */
    struct coat_greeting greeting; /* OPENING */
    int heard;                     /* the peer has said something */
    struct coat_resp resp;
    int begun; /* resp waits for the first of the queue */
    struct coat_bytes out;
    struct queue queue;
    struct queue lost;
    struct coat_channel_place *unsent; /* the first that was not sent */
    struct coat_error why;             /* of what is lost */
};

/* ---- New and free --------------------------------------------------------------------------- */

static void empty(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void append(struct queue *queue, struct coat_channel_place *place)
{
    place->next = NULL;
    *queue->end = place;
    queue->end = &place->next;
}

static struct coat_channel_place *pop(struct queue *queue)
{
    struct coat_channel_place *place = queue->first;
    queue->first = place->next;
    if (!queue->first)
        queue->end = &queue->first;
    return place;
}

int coat_channel_new(struct coat_channel **out, struct coat_store *store, struct coat_node *node,
                     struct coat_error *err)
{
    struct coat_channel *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return coat_error_nomem(err);
    int rc = coat_node_may_connect(node, &c->trial, err);
    if (rc < 0) {
        free(c);
        return rc;
    }
    if (store->registry)
        rc = coat_registry_get(store->registry, &store->redis->connect, &c->redis, err);
    else
        coat_redis_retain(c->redis = store->redis);
    if (rc < 0) {
        coat_node_connected(node, c->trial, rc, err);
        free(c);
        return rc;
    }
    c->registry = store->registry;
    coat_node_retain(node);
    c->node = node;
    c->generation = coat_node_generation(node);
    c->connect_timeout_ms = store->options->connect_timeout_ms;
    c->open_until_ms = coat_monotonic_ms() + c->connect_timeout_ms;
    coat_resp_init(&c->resp, coat_store_reply_bytes(store) + INPUT_SLACK);
    coat_greeting_init(&c->greeting, &node->peer);
    c->resp.overlaps = 1;
    empty(&c->queue);
    empty(&c->lost);
    *out = c;
    return 0;
}

/* How connecting went. */
static void report(struct coat_channel *c, int rc, const struct coat_error *why)
{
    if (!c->reported)
        coat_node_connected(c->node, c->trial, rc, why);
    c->reported = 1;
}

static void close_channel(struct coat_channel *c)
{
    c->state = COAT_CHANNEL_CLOSED;
    coat_greeting_release(&c->greeting);
    coat_resp_release(&c->resp);
    coat_bytes_wipe(&c->out);
}

void coat_channel_free(struct coat_channel *c)
{
    static const struct coat_error given_up = {.code = COAT_EINTR}; /* no word about the node */
    if (!c)
        return;
    while (c->queue.first)
        free(pop(&c->queue));
    while (c->lost.first)
        free(pop(&c->lost));
    report(c, COAT_EINTR, &given_up);
    close_channel(c);
    coat_node_release(c->node);
    if (c->registry)
        coat_registry_give_back(c->registry, c->redis);
    else
        coat_redis_release(c->redis);
    free(c);
}

/* ---- What it is ----------------------------------------------------------------------------- */

void coat_channel_target(const struct coat_channel *c, struct coat_target *target)
{
    const struct coat_peer *peer = &c->node->peer;
    const struct coat_tls_options *tls = &peer->connect->tls;
    int tcp = peer->address.scheme == COAT_SCHEME_TCP;
    *target =
        (struct coat_target){.host = tcp ? peer->address.host : NULL,
                             .port = peer->address.port,
                             .path = tcp ? NULL : peer->address.path,
                             .connect_timeout_ms = c->connect_timeout_ms,
                             .tls = tls->on,
                             .ca_file = tls->ca_file,
                             .ca_dir = tls->ca_dir,
                             .cert_file = tls->cert_file,
                             .key_file = tls->key_file,
                             .key_password = tls->key_password,
                             .server_name = tls->server_name,
                             .tls_1_3 = tls->min_version == COAT_TLS_1_3,
                             .has_callback = peer->connect->credentials && !peer->is_sentinel};
    coat_node_name(c->node, target->name, sizeof target->name);
}

const struct coat_node *coat_channel_node(const struct coat_channel *c)
{
    return c->node;
}

enum coat_channel_state coat_channel_state(const struct coat_channel *c)
{
    return c->state;
}

static void close_if_drained(struct coat_channel *c)
{
    if (c->state == COAT_CHANNEL_DRAINING && !c->queue.first)
        close_channel(c);
}

void coat_channel_drain(struct coat_channel *c)
{
    c->drains = 1;
    if (c->state == COAT_CHANNEL_READY || (c->state == COAT_CHANNEL_OPENING && !c->queue.first))
        c->state = COAT_CHANNEL_DRAINING;
    close_if_drained(c);
}

static int is_worn(const struct coat_channel *c)
{
    int64_t now_ms = coat_monotonic_ms(), most_ms = c->node->peer.connect->max_idle_ms;
    return c->generation != coat_node_generation(c->node) || now_ms >= c->ends_ms ||
           (!c->queue.first && most_ms && now_ms - c->idle_since_ms >= most_ms);
}

int coat_channel_accepts(struct coat_channel *c)
{
    if (c->state == COAT_CHANNEL_READY && is_worn(c))
        coat_channel_drain(c);
    return !c->drains && (c->state == COAT_CHANNEL_OPENING || c->state == COAT_CHANNEL_READY);
}

/* ---- The queue ------------------------------------------------------------------------------ */

int coat_channel_queue(struct coat_channel *c, const struct coat_hop *hop, int64_t deadline_ms,
                       void *owner, struct coat_channel_place **out, struct coat_error *err)
{
    struct coat_channel_place *place = malloc(sizeof *place);
    *out = NULL;
    if (!place)
        return coat_error_nomem(err);
    *place = (struct coat_channel_place){
        .owner = owner, .commands = hop->commands, .count = hop->count, .deadline_ms = deadline_ms};
    append(&c->queue, place);
    if (!c->unsent)
        c->unsent = place;
    *out = place;
    return 0;
}

/* Take one that was not sent out of the queue, and with it nobody's reply. */
static void take_out(struct coat_channel *c, struct coat_channel_place *place)
{
    struct coat_channel_place **at = &c->queue.first;
    while (*at != place)
        at = &(*at)->next;
    *at = place->next;
    if (!place->next)
        c->queue.end = at;
    if (c->unsent == place)
        c->unsent = place->next;
}

static int is_lost(const struct coat_channel *c, const struct coat_channel_place *place)
{
    const struct coat_channel_place *at = c->lost.first;
    while (at && at != place)
        at = at->next;
    return at != NULL;
}

void coat_channel_leave(struct coat_channel *c, struct coat_channel_place *place)
{
    place->owner = NULL;
    if (!place->sent && !is_lost(c, place)) {
        take_out(c, place);
        free(place);
        close_if_drained(c);
    }
}

/* ---- Sending -------------------------------------------------------------------------------- */

int coat_channel_greet(struct coat_channel *c, struct coat_error *err)
{
    assert(c->state == COAT_CHANNEL_OPENING);
    int rc = coat_greeting_prepare(&c->greeting, err);
    c->greeting_due = rc == 0;
    return rc;
}

static int format_greeting(struct coat_channel *c, struct coat_error *err)
{
    c->greeting_due = 0;
    int rc = coat_resp_append(&c->out, c->greeting.commands, c->greeting.count, err);
    return rc < 0 ? rc : coat_resp_begin(&c->resp, c->greeting.count, err);
}

static int format_queue(struct coat_channel *c, struct coat_error *err)
{
    for (; c->unsent; c->unsent = c->unsent->next) {
        int rc = coat_resp_append(&c->out, c->unsent->commands, c->unsent->count, err);
        if (rc < 0)
            return rc;
        c->unsent->sent = 1;
    }
    return 0;
}

int coat_channel_output(struct coat_channel *c, const char **bytes, size_t *len,
                        struct coat_error *err)
{
    int rc = 0;
    if (c->out.size > COAT_KEEP_BYTES || c->state == COAT_CHANNEL_OPENING)
        coat_bytes_wipe(&c->out);
    c->out.len = 0;
    if (c->state == COAT_CHANNEL_OPENING && c->greeting_due)
        rc = format_greeting(c, err);
    else if (c->state == COAT_CHANNEL_READY || c->state == COAT_CHANNEL_DRAINING)
        rc = format_queue(c, err);
    *bytes = c->out.at;
    *len = c->out.len;
    return rc < 0 ? rc : c->out.len > 0;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static int64_t age_max_ms(const struct coat_channel *c)
{
    int64_t most_ms = c->node->peer.connect->max_age_ms;
    uint32_t random = 0;
    if (most_ms == 0)
        return INT64_MAX / 2;
    coat_random(&random, sizeof random, NULL); /* without it all of one age end together */
    return most_ms - (int64_t)random % (most_ms / 10 + 1);
}

static void opened(struct coat_channel *c)
{
    report(c, 0, NULL);
    coat_node_greeted(c->node, &c->greeting);
    coat_greeting_release(&c->greeting);
    coat_bytes_wipe(&c->out);
    c->state = c->drains ? COAT_CHANNEL_DRAINING : COAT_CHANNEL_READY;
    c->idle_since_ms = coat_monotonic_ms();
    c->ends_ms = c->idle_since_ms + age_max_ms(c);
}

/* 1: other credentials are wanted. */
static int hear_greeting(struct coat_channel *c, const char *bytes, size_t len,
                         struct coat_error *err)
{
    int rc = coat_resp_feed(&c->resp, bytes, len, err);
    if (rc <= 0)
        return rc;
    rc = coat_greeting_judge(&c->greeting, c->resp.replies, c->greeting.count, err);
    if (rc == 0)
        opened(c);
    return rc;
}

int coat_channel_input(struct coat_channel *c, const char *bytes, size_t len,
                       struct coat_error *err)
{
    if (c->state == COAT_CHANNEL_CLOSED)
        return 0;
    c->heard |= len > 0;
    if (c->state == COAT_CHANNEL_OPENING && c->greeting.count > 0)
        return hear_greeting(c, bytes, len, err);
    if (!c->begun) {
        if (!c->queue.first || !c->queue.first->sent)
            return coat_error_because(err, COAT_EUNAVAILABLE, "protocol",
                                      "what answers does not speak the protocol of Redis as "
                                      "expected: a reply came that nobody asked for");
        int rc = coat_resp_begin(&c->resp, c->queue.first->count, err);
        if (rc < 0)
            return rc;
        c->begun = 1;
    }
    int rc = coat_resp_feed(&c->resp, bytes, len, err);
    c->begun = 1 + (rc > 0);
    return rc < 0 ? rc : 0;
}

int coat_channel_next(struct coat_channel *c, struct coat_event *event, void **owner,
                      struct coat_error *err)
{
    if (c->state == COAT_CHANNEL_OPENING || c->state == COAT_CHANNEL_CLOSED)
        return 0;
    if (c->begun == 0) { /* the replies of the one before were used */
        close_if_drained(c);
        int rc = coat_resp_rest(&c->resp) > 0 ? coat_channel_input(c, NULL, 0, err) : 0;
        if (rc < 0)
            return rc;
    }
    if (c->begun < 2)
        return 0;
    struct coat_channel_place *place = pop(&c->queue);
    *event = (struct coat_event){
        .kind = COAT_EVENT_REPLIES, .replies = c->resp.replies, .count = place->count};
    *owner = place->owner;
    free(place);
    c->begun = 0;
    if (!c->queue.first)
        c->idle_since_ms = coat_monotonic_ms();
    return 1;
}

/* ---- Deadlines and losses ------------------------------------------------------------------- */

int64_t coat_channel_due(const struct coat_channel *c)
{
    int64_t due_ms = c->state == COAT_CHANNEL_OPENING ? c->open_until_ms : INT64_MAX;
    for (const struct coat_channel_place *p = c->queue.first; p; p = p->next)
        if (p->deadline_ms < due_ms)
            due_ms = p->deadline_ms;
    return due_ms;
}

static int timed_out(const struct coat_channel *c, const char *what, struct coat_error *why)
{
    char name[160];
    coat_node_name(c->node, name, sizeof name);
    return coat_error_because(why, COAT_ETIMEOUT, "timeout", "%s did not %s in time", name, what);
}

/* All from this one on. */
static void lose_from(struct coat_channel *c, struct coat_channel_place **at)
{
    struct coat_channel_place *place = *at;
    *at = NULL;
    c->queue.end = at;
    while (place) {
        struct coat_channel_place *next = place->next;
        if (c->unsent == place)
            c->unsent = NULL;
        append(&c->lost, place);
        place = next;
    }
}

/* It is not connected yet, so nothing stands between the others and their replies. */
static void lose_unsent(struct coat_channel *c, int64_t now_ms)
{
    struct coat_channel_place *place = c->queue.first, *next;
    for (; place; place = next) {
        next = place->next;
        if (place->deadline_ms <= now_ms) {
            take_out(c, place);
            append(&c->lost, place);
        }
    }
    if (c->lost.first)
        timed_out(c, "let us connect", &c->why);
}

int coat_channel_expire(struct coat_channel *c, int64_t now_ms)
{
    if (c->state == COAT_CHANNEL_OPENING && now_ms >= c->open_until_ms) {
        struct coat_error why;
        timed_out(c, "let us connect", &why);
        coat_channel_fail(c, &why);
        return 1;
    }
    if (c->state == COAT_CHANNEL_OPENING) {
        lose_unsent(c, now_ms);
        return c->lost.first != NULL;
    }
    struct coat_channel_place **at = &c->queue.first;
    while (*at && (*at)->deadline_ms > now_ms)
        at = &(*at)->next;
    if (!*at)
        return 0;
    timed_out(c, "answer", &c->why);
    lose_from(c, at);
    coat_channel_drain(c);
    return 1;
}

void coat_channel_fail(struct coat_channel *c, const struct coat_error *why)
{
    if (c->state == COAT_CHANNEL_CLOSED)
        return;
    c->why = *why;
    if (c->state == COAT_CHANNEL_OPENING) {
        if (why->code == COAT_EUNAVAILABLE) /* its last words may tell more */
            coat_greeting_judge(&c->greeting, c->resp.replies, c->resp.got, &c->why);
        report(c, c->why.code, &c->why);
    }
    lose_from(c, &c->queue.first);
    close_channel(c);
}

/*
 * A server that wants TLS gives up on plain commands, mostly without a word; and what one says that
 * wants a certificate of ours may be overtaken by the end of the connection.
 */
static int is_mute(const struct coat_channel *c, int number)
{
    return c->greeting.count > 0 && !c->heard && (number == EPIPE || number == ECONNRESET) &&
           c->node->peer.address.scheme == COAT_SCHEME_TCP;
}

void coat_channel_broke(struct coat_channel *c, int number)
{
    struct coat_error why;
    char name[160];
    coat_node_name(c->node, name, sizeof name);
    if (is_mute(c, number))
        coat_error_because(&why, COAT_EUNAVAILABLE, number == EPIPE ? "closed" : "reset",
                           "%s: the server closed the connection before it said anything; if %s",
                           name,
                           c->node->peer.connect->tls.on
                               ? "it wants a certificate of its clients, set tls_cert_file"
                               : "this port wants TLS, write rediss:// in the URL");
    else
        coat_system_error(name, number, &why);
    coat_channel_fail(c, &why);
}

int coat_channel_lost(struct coat_channel *c, int64_t now_ms, struct coat_event *event,
                      void **owner)
{
    struct coat_channel_place *place;
    do {
        if (!c->lost.first)
            return 0;
        place = pop(&c->lost);
        *owner = place->owner;
        *event = (struct coat_event){
            .kind = COAT_EVENT_LOST,
            .maybe_sent = place->sent,
            .unreached = c->state == COAT_CHANNEL_OPENING || (!place->sent && !c->ends_ms),
            .final = now_ms >= place->deadline_ms || c->why.code == COAT_ENOMEM ||
                     c->why.code == COAT_ELIMIT,
            .why = &c->why};
        free(place);
    } while (!*owner);
    return 1;
}

static int visit_queue(const struct queue *queue, int (*visit)(void *owner, void *user), void *user)
{
    int rc = 0;
    for (const struct coat_channel_place *p = queue->first; p && rc == 0; p = p->next)
        if (p->owner)
            rc = visit(p->owner, user);
    return rc;
}

int coat_channel_visit(const struct coat_channel *c, int (*visit)(void *owner, void *user),
                       void *user)
{
    int rc = visit_queue(&c->queue, visit, user);
    return rc ? rc : visit_queue(&c->lost, visit, user);
}
