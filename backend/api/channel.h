/*
 * channel.h: a connection that many calls share: their pipelines go out one behind the other, and
 * the replies come back in the same order. Without I/O: a driver with an event loop connects,
 * sends what is to be sent and brings what came. Not installed.
 *
 *     rc = coat_channel_new(&channel, store, node, err);    may fail at once, see health.h
 *     ... connect, with TLS if target.tls says so ...
 *     rc = coat_channel_greet(channel, err);
 *     while (coat_channel_output(channel, &bytes, &len, err) > 0)
 *         send these bytes
 *     when bytes came: coat_channel_input(channel, bytes, len, err); then
 *         while ((rc = coat_channel_next(channel, &event, &owner, err)) > 0)
 *             tell the courier of this owner
 *     on any failure, and when coat_channel_due has come: coat_channel_fail or _expire; then
 *         while (coat_channel_lost(channel, now, &event, &owner))
 *             tell the courier of this owner
 *
 * States: OPENING -> READY -> DRAINING -> CLOSED. Hops may be queued in the first two. A DRAINING
 * one still brings the replies of what stood in the queue before the fault, and is CLOSED after the
 * last of them: a connection in the middle of a reply has no other way.
 *
 * One thread at a time, and one process: after fork() a child may only free it.
 */
#ifndef COAT_API_CHANNEL_H
#define COAT_API_CHANNEL_H

#include "api/courier.h"

struct coat_channel;
struct coat_channel_place; /* of a hop in the queue */

enum coat_channel_state {
    COAT_CHANNEL_OPENING,
    COAT_CHANNEL_READY,
    COAT_CHANNEL_DRAINING,
    COAT_CHANNEL_CLOSED
};

/* Where to connect, and how; borrowed from the channel's node. Texts are NULL where not given. */
struct coat_target {
    const char *host; /* NULL: `path` */
    int port;
    const char *path;
    int64_t connect_timeout_ms;
    int tls;
    const char *ca_file, *ca_dir, *cert_file, *key_file, *key_password, *server_name;
    int tls_1_3;      /* nothing older */
    char name[160];   /* for messages */
    int has_callback; /* the option credentials is a function */
};

/*
 * A channel that is OPENING, to a node (retained), for the stores with the limits of this one. 0;
 * COAT_ENOMEM; or the node counts as down, and this is why.
 */
int coat_channel_new(struct coat_channel **out, struct coat_store *store, struct coat_node *node,
                     struct coat_error *err);
void coat_channel_free(struct coat_channel *channel); /* NULL allowed; owners are not told */

void coat_channel_target(const struct coat_channel *channel, struct coat_target *target);
const struct coat_node *coat_channel_node(const struct coat_channel *channel);
enum coat_channel_state coat_channel_state(const struct coat_channel *channel);

/* 1 if hops may be queued. One that was in use, or unused, for too long is DRAINING from now on. */
int coat_channel_accepts(struct coat_channel *channel);

/*
 * Queue a hop: its commands must stay where they are until they were sent, or the place was left.
 * 0 and *place, or COAT_ENOMEM.
 */
int coat_channel_queue(struct coat_channel *channel, const struct coat_hop *hop,
                       int64_t deadline_ms, void *owner, struct coat_channel_place **place,
                       struct coat_error *err);

/* The owner waits no longer. What was sent keeps its place: its replies are read and dropped. */
void coat_channel_leave(struct coat_channel *channel, struct coat_channel_place *place);

/*
 * It is connected: greet, with what the credentials callback says now. 0, or as
 * coat_greeting_prepare.
 */
int coat_channel_greet(struct coat_channel *channel, struct coat_error *err);

/*
 * What is to be sent now: 1 and bytes, valid until the next call for this channel; 0: nothing;
 * COAT_ENOMEM, COAT_ELIMIT.
 */
int coat_channel_output(struct coat_channel *channel, const char **bytes, size_t *len,
                        struct coat_error *err);

/*
 * Bytes came. 0; 1: the server refused credentials that may change, greet again; fails as a
 * greeting or a reader of replies does.
 */
int coat_channel_input(struct coat_channel *channel, const char *bytes, size_t len,
                       struct coat_error *err);

/*
 * The next replies that are complete. 1: `event` and whose they are (NULL: nobody's any more); 0:
 * more bytes are wanted. Valid until the next call for this channel.
 */
int coat_channel_next(struct coat_channel *channel, struct coat_event *event, void **owner,
                      struct coat_error *err);

/* When the first deadline in here passes; INT64_MAX: none. */
int64_t coat_channel_due(const struct coat_channel *channel);

/*
 * Look at the deadlines. Where one has passed that waits for a reply, the connection is at fault:
 * what stands behind it in the queue is lost. 1 if anything is lost or has changed.
 */
int coat_channel_expire(struct coat_channel *channel, int64_t now_ms);

/*
 * No more hops. It is CLOSED once it has no more replies to bring; one that is OPENING goes on with
 * that while it has hops.
 */
void coat_channel_drain(struct coat_channel *channel);

/* The connection broke, or could not be had: CLOSED, and what is in the queue is lost. */
void coat_channel_fail(struct coat_channel *channel, const struct coat_error *why);

/* The same, for a system's error number; EPIPE: the peer has closed it. */
void coat_channel_broke(struct coat_channel *channel, int number);

/* The next one that is lost: 1, `event` (valid until the next call) and its owner; or 0. */
int coat_channel_lost(struct coat_channel *channel, int64_t now_ms, struct coat_event *event,
                      void **owner);

/* Every owner that waits for something here; ends with the first that `visit` returns not 0 for. */
int coat_channel_visit(const struct coat_channel *channel, int (*visit)(void *owner, void *user),
                       void *user);

#endif
