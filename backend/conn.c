#include "conn.h"

#include <assert.h>
#include <inttypes.h>

#include "api/error.h"
#include "api/fault.h"
#include "clock.h"

#define READ_BYTES     ((size_t)16 << 10)
#define GREETING_BYTES ((size_t)1 << 20) /* of replies: more is no greeting */

enum { CONNECTING, SENDING_GREETING, READING_GREETING };

void coat_conn_init(struct coat_conn *conn, const struct coat_peer *peer)
{
    *conn = (struct coat_conn){.state = COAT_CONN_CLOSED, .peer = peer};
    coat_net_init(&conn->net);
    coat_resp_init(&conn->resp, 0);
}

void coat_conn_close(struct coat_conn *conn)
{
    if (conn->state == COAT_CONN_OPENING)
        coat_greeting_release(&conn->greeting);
    coat_net_close(&conn->net);
    coat_resp_release(&conn->resp);
    coat_bytes_wipe(&conn->out);
    conn->state = COAT_CONN_CLOSED;
}

void coat_conn_release(struct coat_conn *conn)
{
    coat_net_release(&conn->net);
    coat_conn_close(conn);
}

void coat_conn_abandon(struct coat_conn *conn)
{
    int fd = conn->net.fd;
    coat_conn_init(conn, conn->peer);
    conn->net.fd = fd;
    coat_net_close(&conn->net);
}

/* A wait that was interrupted goes on later; after anything else there is nothing to go on with. */
static int failed(struct coat_conn *conn, int rc)
{
    if (rc != COAT_EINTR)
        coat_conn_close(conn);
    return rc;
}

/* ---- A pipeline and its replies ------------------------------------------------------------- */

static int prepare(struct coat_conn *conn, const struct coat_command *commands, size_t count,
                   size_t reply_bytes_max, struct coat_error *err)
{
    conn->sent = 0;
    int rc = coat_resp_format(&conn->out, commands, count, err);
    conn->resp.max_bytes = reply_bytes_max;
    return rc < 0 ? rc : coat_resp_begin(&conn->resp, count, err);
}

static int transmit(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    return coat_net_write(&conn->net, conn->out.at, conn->out.len, &conn->sent, deadline_ms, err);
}

/* 1: all replies are there. 0: some bytes more have come. */
static int receive_some(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    char bytes[READ_BYTES];
    size_t got;
    int rc = coat_net_read(&conn->net, bytes, sizeof bytes, &got, deadline_ms, err);
    return rc < 0 ? rc : coat_resp_feed(&conn->resp, bytes, got, err);
}

static int receive(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    int rc = receive_some(conn, deadline_ms, err);
    while (rc == 0 && (rc = coat_net_in_time(&conn->net, deadline_ms, err)) == 0)
        rc = receive_some(conn, deadline_ms, err);
    return rc < 0 ? rc : 0;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* It knows of no deadline, and the server has no part in that. */
static int credentials_were_slow(int64_t took_ms, struct coat_error *err)
{
    int rc = coat_error_because(err, COAT_ETIMEOUT, "timeout",
                                "the function of the option credentials took %" PRId64
                                " ms, and the time to connect is over; make it faster, or raise "
                                "timeout and connect_timeout",
                                took_ms);
    return coat_fault_note(err, COAT_FAULT_HERE, rc);
}

static int prepare_greeting(struct coat_conn *conn, struct coat_error *err)
{
    struct coat_greeting *g = &conn->greeting;
    int64_t began_ms = coat_monotonic_ms();
    int rc = coat_greeting_prepare(g, err);
    int64_t now_ms = coat_monotonic_ms();
    if (rc == 0 && coat_greeting_asks(g) && now_ms >= conn->open_deadline_ms)
        return credentials_were_slow(now_ms - began_ms, err);
    if (rc == 0)
        rc = prepare(conn, g->commands, g->count, GREETING_BYTES, err);
    conn->phase = SENDING_GREETING;
    return rc;
}

/* A server that refuses us may say so once, and then no more: so each reply is heard at once. */
static int hear_greeting(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    for (;;) {
        int rc = receive_some(conn, deadline_ms, err);
        if (rc < 0)
            return rc;
        int verdict = coat_greeting_judge(&conn->greeting, conn->resp.replies, conn->resp.got, err);
        if (verdict < 0 || rc == 1)
            return verdict;
    }
}

/* A server that closed at once may have said why before. rc: what came of writing to it. */
static int last_words(struct coat_conn *conn, int rc, struct coat_error *err)
{
    struct coat_error said;
    if (receive_some(conn, coat_monotonic_ms(), &said) < 0)
        return rc;
    int verdict = coat_greeting_judge(&conn->greeting, conn->resp.replies, conn->resp.got, &said);
    if (verdict < 0 && err)
        *err = said;
    return verdict < 0 ? verdict : rc;
}

/* One phase further, with *done at the end of the last one. */
static int advance(struct coat_conn *conn, int *done, struct coat_error *err)
{
    int64_t deadline_ms = conn->open_deadline_ms;
    int rc = 0;
    switch (conn->phase) {
    case CONNECTING:
        rc = coat_net_open(&conn->net, &conn->peer->address, &conn->peer->connect->tls, deadline_ms,
                           err);
        return rc < 0 ? rc : prepare_greeting(conn, err);
    case SENDING_GREETING:
        rc = transmit(conn, deadline_ms, err);
        if (rc < 0)
            return rc == COAT_EUNAVAILABLE ? last_words(conn, rc, err) : rc;
        coat_bytes_wipe(&conn->out); /* it holds the password */
        conn->phase = READING_GREETING;
        return 0;
    default:
        rc = hear_greeting(conn, deadline_ms, err);
        if (rc == 1)
            return prepare_greeting(conn, err);
        *done = rc == 0;
        return rc;
    }
}

int coat_conn_open(struct coat_conn *conn, const struct coat_terms *terms, struct coat_error *err)
{
    if (conn->state == COAT_CONN_CLOSED) {
        int64_t until = coat_monotonic_ms() + terms->connect_timeout_ms;
        conn->open_deadline_ms = until < terms->deadline_ms ? until : terms->deadline_ms;
        coat_greeting_init(&conn->greeting, conn->peer);
        conn->phase = CONNECTING;
        conn->state = COAT_CONN_OPENING;
    }
    assert(conn->state == COAT_CONN_OPENING);
    int done = 0;
    while (!done) {
        int rc = advance(conn, &done, err);
        if (rc < 0)
            return failed(conn, rc);
    }
    coat_greeting_release(&conn->greeting);
    conn->state = COAT_CONN_READY;
    return 0;
}

/* ---- The interface -------------------------------------------------------------------------- */

int coat_conn_send(struct coat_conn *conn, const struct coat_command *commands, size_t count,
                   const struct coat_terms *terms, struct coat_error *err)
{
    if (conn->state == COAT_CONN_READY) {
        assert(count > 0);
        int rc = prepare(conn, commands, count, terms->reply_bytes_max, err);
        if (rc < 0)
            return failed(conn, rc);
        conn->state = COAT_CONN_SENDING;
    }
    assert(conn->state == COAT_CONN_SENDING);
    int rc = transmit(conn, terms->deadline_ms, err);
    if (rc < 0)
        return failed(conn, rc);
    if (conn->out.size > COAT_KEEP_BYTES)
        coat_bytes_wipe(&conn->out);
    conn->state = COAT_CONN_READING;
    return 0;
}

int coat_conn_read(struct coat_conn *conn, const struct coat_terms *terms,
                   const struct coat_reply **replies, size_t *count, struct coat_error *err)
{
    assert(conn->state == COAT_CONN_READING);
    int rc = receive(conn, terms->deadline_ms, err);
    if (rc < 0)
        return failed(conn, rc);
    conn->state = COAT_CONN_READY;
    *replies = conn->resp.replies;
    *count = conn->resp.wanted;
    return 0;
}

int coat_conn_usable(const struct coat_conn *conn)
{
    return conn->state == COAT_CONN_READY && coat_net_quiet(&conn->net);
}
