#include "conn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "api/error.h"
#include "clock.h"
#include "refusal.h"

/*
 * Replies may have more bytes than a record, for what stands around it, and as many as a record
 * of the default limits has, so that one that was written before the limit was lowered is seen
 * for what it is.
 */
#define REPLY_SLACK    ((size_t)64 << 10)
#define REPLY_MIN      ((size_t)1 << 20)
#define REPLY_MAX      ((size_t)512 << 20) /* no value in Redis has more */
#define KEEP_OUT_BYTES ((size_t)64 << 10)
#define READ_BYTES     ((size_t)16 << 10)

enum { CONNECTING, SENDING_GREETING, READING_GREETING };

static size_t reply_bytes_max(const struct coat_options *options)
{
    size_t n = options->limits.max_bytes;
    return (n < REPLY_MIN ? REPLY_MIN : n > REPLY_MAX ? REPLY_MAX : n) + REPLY_SLACK;
}

void coat_conn_init(struct coat_conn *conn, const struct coat_options *options)
{
    *conn = (struct coat_conn){.state = COAT_CONN_CLOSED, .options = options};
    coat_net_init(&conn->net);
    coat_resp_init(&conn->resp, reply_bytes_max(options));
}

void coat_conn_close(struct coat_conn *conn)
{
    coat_net_close(&conn->net);
    coat_resp_release(&conn->resp);
    coat_bytes_wipe(&conn->out);
    conn->generation = 0;
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
    coat_conn_init(conn, conn->options);
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
                   struct coat_error *err)
{
    conn->sent = 0;
    int rc = coat_resp_format(&conn->out, commands, count, err);
    return rc < 0 ? rc : coat_resp_begin(&conn->resp, count, err);
}

static int transmit(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    return coat_net_write(&conn->net, conn->out.at, conn->out.len, &conn->sent, deadline_ms, err);
}

static int receive(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    char bytes[READ_BYTES];
    int rc;
    do {
        size_t got;
        rc = coat_net_read(&conn->net, bytes, sizeof bytes, &got, deadline_ms, err);
        if (rc == 0)
            rc = coat_resp_feed(&conn->resp, bytes, got, err);
    } while (rc == 0);
    return rc < 0 ? rc : 0;
}

/* ---- The handshake -------------------------------------------------------------------------- */

static struct coat_arg text_arg(const char *text)
{
    return (struct coat_arg){text, strlen(text)};
}

/* What sentinels call the master may be so no more, or not yet. */
static int wants_master(const struct coat_conn *conn)
{
    return conn->options->connect.kind == COAT_SENTINEL;
}

/* AUTH, SELECT and ROLE, as far as they are needed, in one pipeline. Returns how many commands. */
static int prepare_greeting(struct coat_conn *conn, struct coat_error *err)
{
    const struct coat_options *o = conn->options;
    struct coat_arg auth[3], select[2], role = text_arg("ROLE");
    struct coat_command commands[3];
    size_t count = 0;
    char db[16];

    if (o->username || o->password) {
        size_t n = 0;
        auth[n++] = text_arg("AUTH");
        if (o->username)
            auth[n++] = text_arg(o->username);
        auth[n++] = text_arg(o->password ? o->password : "");
        commands[count++] = (struct coat_command){.args = auth, .count = n};
    }
    if (o->address.db > 0) {
        snprintf(db, sizeof db, "%d", o->address.db);
        select[0] = text_arg("SELECT");
        select[1] = text_arg(db);
        commands[count++] = (struct coat_command){.args = select, .count = 2};
    }
    if (wants_master(conn))
        commands[count++] = (struct coat_command){.args = &role, .count = 1};
    int rc = count ? prepare(conn, commands, count, err) : 0;
    return rc < 0 ? rc : (int)count;
}

static int is_full(const struct coat_reply *reply)
{
    static const char sign[] = "ERR max number of clients";
    return reply->len >= sizeof sign - 1 && memcmp(reply->bytes, sign, sizeof sign - 1) == 0;
}

/* Only the first word of the server's answer is used: more could repeat the password. */
static int judge(const struct coat_conn *conn, const struct coat_reply *reply, int is_select,
                 struct coat_error *err)
{
    if (reply->kind != COAT_REPLY_ERROR)
        return 0;
    char name[160];
    coat_net_name(&conn->options->address, name, sizeof name);
    if (is_full(reply))
        return coat_error_because(err, COAT_EUNAVAILABLE, "clients",
                                  "%s has as many clients as it allows; raise its maxclients, or "
                                  "lower max_connections",
                                  name);
    if (is_select && coat_refusal_is(reply, "ERR"))
        return coat_error_because(err, COAT_ECONFIG, "db",
                                  "%s has no database %d; write another number in the URL, or "
                                  "raise the server's setting databases",
                                  name, conn->options->address.db);
    if (!is_select && (coat_refusal_is(reply, "WRONGPASS") || coat_refusal_is(reply, "ERR")))
        return coat_error_because(err, COAT_EDENIED, "WRONGPASS",
                                  "%s refuses the username or the password, or has none; check "
                                  "both options (a URL with a password alone is "
                                  "redis://:password@host)",
                                  name);
    struct coat_reply word = *reply;
    const char *blank = memchr(reply->bytes, ' ', reply->len);
    if (blank)
        word.len = (size_t)(blank - reply->bytes);
    return coat_refusal(&word, err);
}

/* A user without the permission for ROLE goes without this check; a replica refuses writes. */
static int judge_role(const struct coat_conn *conn, const struct coat_reply *reply,
                      struct coat_error *err)
{
    if (reply->kind != COAT_REPLY_ARRAY || reply->count == 0 || reply->items[0].len == 0 ||
        *reply->items[0].bytes == 'm')
        return 0;
    char name[160];
    coat_net_name(&conn->options->address, name, sizeof name);
    return coat_error_because(err, COAT_EUNAVAILABLE, "role",
                              "%s is no master, though sentinels say so; a failover is under way",
                              name);
}

static int judge_greeting(const struct coat_conn *conn, struct coat_error *err)
{
    const struct coat_resp *resp = &conn->resp;
    int rc = 0;
    size_t count = resp->wanted - (size_t)wants_master(conn);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = judge(conn, &resp->replies[i], i + 1 == count && conn->options->address.db > 0, err);
    if (rc == 0 && count < resp->wanted)
        rc = judge_role(conn, &resp->replies[count], err);
    return rc;
}

int coat_conn_open(struct coat_conn *conn, int64_t deadline_ms, struct coat_error *err)
{
    int rc = 0;
    if (conn->state == COAT_CONN_CLOSED) {
        int64_t until = coat_monotonic_ms() + conn->options->connect_timeout_ms;
        conn->open_deadline_ms = until < deadline_ms ? until : deadline_ms;
        conn->greeting = CONNECTING;
        conn->state = COAT_CONN_OPENING;
    }
    assert(conn->state == COAT_CONN_OPENING);
    if (conn->greeting == CONNECTING) {
        rc = coat_net_open(&conn->net, &conn->options->address, &conn->options->tls,
                           conn->open_deadline_ms, err);
        if (rc == 0)
            rc = prepare_greeting(conn, err);
        if (rc < 0)
            return failed(conn, rc);
        if (rc == 0) {
            conn->state = COAT_CONN_READY;
            return 0;
        }
        conn->greeting = SENDING_GREETING;
    }
    if (conn->greeting == SENDING_GREETING) {
        rc = transmit(conn, conn->open_deadline_ms, err);
        if (rc < 0)
            return failed(conn, rc);
        coat_bytes_wipe(&conn->out); /* it holds the password */
        conn->greeting = READING_GREETING;
    }
    rc = receive(conn, conn->open_deadline_ms, err);
    if (rc == 0)
        rc = judge_greeting(conn, err);
    if (rc < 0)
        return failed(conn, rc);
    conn->state = COAT_CONN_READY;
    return 0;
}

/* ---- The interface -------------------------------------------------------------------------- */

int coat_conn_send(struct coat_conn *conn, const struct coat_command *commands, size_t count,
                   int64_t deadline_ms, struct coat_error *err)
{
    if (conn->state == COAT_CONN_READY) {
        assert(count > 0);
        int rc = prepare(conn, commands, count, err);
        if (rc < 0)
            return failed(conn, rc);
        conn->state = COAT_CONN_SENDING;
    }
    assert(conn->state == COAT_CONN_SENDING);
    int rc = transmit(conn, deadline_ms, err);
    if (rc < 0)
        return failed(conn, rc);
    if (conn->out.size > KEEP_OUT_BYTES)
        coat_bytes_wipe(&conn->out);
    conn->state = COAT_CONN_READING;
    return 0;
}

int coat_conn_read(struct coat_conn *conn, int64_t deadline_ms, const struct coat_reply **replies,
                   size_t *count, struct coat_error *err)
{
    assert(conn->state == COAT_CONN_READING);
    int rc = receive(conn, deadline_ms, err);
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
