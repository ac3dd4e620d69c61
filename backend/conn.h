/*
 * conn.h: one connection to one server: connecting with its handshake, then pipelines, one after
 * the other.
 *
 *     CLOSED ---open---> OPENING ---> READY ---send---> SENDING ---> READING ---read---> READY
 *
 * A call that returns COAT_EINTR leaves the state as it is; the same call goes on from there. Any
 * other failure closes the connection: there is no way from a partial reply back to READY.
 *
 * One thread at a time.
 */
#ifndef COAT_BACKEND_CONN_H
#define COAT_BACKEND_CONN_H

#include "brief.h"
#include "greeting.h"
#include "net.h"
#include "resp.h"

struct coat_conn {
    enum {
        COAT_CONN_CLOSED,
        COAT_CONN_OPENING,
        COAT_CONN_READY,
        COAT_CONN_SENDING,
        COAT_CONN_READING
    } state;
    const struct coat_peer *peer; /* borrowed */
    struct coat_net net;
    struct coat_resp resp;
    struct coat_bytes out; /* the pipeline as it is sent */
    size_t sent;           /* bytes of it that were written */
    int phase;             /* OPENING: connecting, then saying hello and listening */
    struct coat_greeting greeting;
    int64_t open_deadline_ms; /* OPENING */
    struct coat_brief brief;  /* what was learnt of its round trips */
};

/* CLOSED. Allocates nothing. The peer must outlive it. */
void coat_conn_init(struct coat_conn *conn, const struct coat_peer *peer);

/*
 * CLOSED or OPENING to READY: connect, with the greeting, within the connect_timeout and deadline
 * of the terms. 0; COAT_EUNAVAILABLE, COAT_ETIMEOUT, COAT_ENOMEM, COAT_EINTR; and what
 * coat_greeting_prepare and coat_greeting_judge return.
 */
int coat_conn_open(struct coat_conn *conn, const struct coat_terms *terms, struct coat_error *err);

/*
 * READY or SENDING to READING: send a pipeline of at least one command. Called again after
 * COAT_EINTR, `commands` is not looked at. After a failure, conn->sent says how many bytes had
 * been written.
 */
int coat_conn_send(struct coat_conn *conn, const struct coat_command *commands, size_t count,
                   const struct coat_terms *terms, struct coat_error *err);

/* READING to READY: the replies, one for each command; valid until the next send or close. */
int coat_conn_read(struct coat_conn *conn, const struct coat_terms *terms,
                   const struct coat_reply **replies, size_t *count, struct coat_error *err);

/* 1 if it is READY, and the peer has neither closed nor said anything unasked. */
int coat_conn_usable(const struct coat_conn *conn);

/* To CLOSED, without sending anything. Always legal. It may be opened again. */
void coat_conn_close(struct coat_conn *conn);

/* The same for good: frees what it holds. Always legal, also in a child after fork(). */
void coat_conn_release(struct coat_conn *conn);

/* After fork(), for one that another thread of the parent may be in: closes the socket only. */
void coat_conn_abandon(struct coat_conn *conn);

#endif
