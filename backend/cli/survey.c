#include "cli/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "api/nonce.h"
#include "api/terms.h"
#include "attempt.h"
#include "clock.h"
#include "redis.h"
#include "refusal.h"
#include "store.h"
#include "topology.h"

enum { KEYS_AT_ONCE = 500 };

/* ---- Nodes ---------------------------------------------------------------------------------- */

int survey_begin(struct survey *survey, struct coat_store *store, struct coat_error *err)
{
    *survey = (struct survey){.store = store};
    int rc = coat_store_ping(store, err); /* now the topology is known */
    if (rc < 0)
        return rc;
    survey->nodes = calloc(COAT_NODES_MAX, sizeof(struct coat_node *));
    if (!survey->nodes)
        return coat_error_nomem(err);
    survey->count = coat_topology_nodes(store->redis->topology, survey->nodes, COAT_NODES_MAX);
    if (survey->count == 0) {
        survey_end(survey);
        return coat_error_because(err, COAT_EDENIED, "cluster",
                                  "the cluster does not say which nodes it has; the user needs "
                                  "+cluster|slots for this");
    }
    return 0;
}

void survey_end(struct survey *survey)
{
    for (size_t i = 0; i < survey->count; i++)
        coat_node_release(survey->nodes[i]);
    free(survey->nodes);
    survey->nodes = NULL;
    survey->count = 0;
}

/* ---- One node ------------------------------------------------------------------------------- */

static int exchange(struct coat_conn *conn, const struct coat_command *commands, size_t count,
                    const struct coat_terms *terms, const struct coat_reply **replies,
                    struct coat_error *err)
{
    size_t answered;
    int rc;
    do
        rc = coat_conn_send(conn, commands, count, terms, err);
    while (rc == COAT_EINTR);
    if (rc < 0)
        return rc;
    do
        rc = coat_conn_read(conn, terms, replies, &answered, err);
    while (rc == COAT_EINTR);
    return rc;
}

static int exchange_verified(struct coat_conn *conn, const struct coat_command *commands,
                             size_t count, const struct coat_terms *terms,
                             const struct coat_reply **replies, struct coat_error *err)
{
    struct coat_nonce nonce;
    struct coat_command *all = calloc(count + 1, sizeof *all);
    if (!all)
        return coat_error_nomem(err);
    memcpy(all, commands, count * sizeof *all);
    int rc = coat_nonce_draw(&nonce, &all[count], err);
    if (rc == 0)
        rc = exchange(conn, all, count + 1, terms, replies, err);
    free(all);
    if (rc < 0)
        return rc;
    return coat_nonce_answers(&nonce, &(*replies)[count]) ? 0 : coat_attempt_foreign(err);
}

int survey_ask_node(const struct survey *survey, struct coat_node *node,
                    const struct coat_command *commands, size_t count, survey_replies_fn *fn,
                    void *context, struct coat_error *err)
{
    const struct coat_options *options = survey->store->options;
    struct coat_terms terms = {
        .deadline_ms = coat_monotonic_ms() + options->timeout_ms,
        .connect_timeout_ms = options->connect_timeout_ms,
        .reply_bytes_max = coat_store_reply_bytes(survey->store),
    };
    struct coat_conn *conn = NULL;
    const struct coat_reply *replies;
    int rc;
    do
        rc = coat_node_checkout(node, &terms, &conn, err);
    while (rc == COAT_EINTR);
    if (rc < 0)
        return rc;
    rc = options->verify ? exchange_verified(conn, commands, count, &terms, &replies, err)
                         : exchange(conn, commands, count, &terms, &replies, err);
    int in_step = rc == 0;
    if (rc == 0)
        rc = fn(context, replies, err);
    coat_node_checkin(node, conn, in_step);
    return rc;
}

/* ---- One key -------------------------------------------------------------------------------- */

struct ask {
    struct coat_op op; /* first, so that the one leads to the other */
    const struct coat_command *command;
    survey_replies_fn *fn;
    void *context;
    int sends;
};

static void ask_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                     struct coat_error *err)
{
    struct ask *ask = (struct ask *)op;
    int again = event->kind == COAT_EVENT_LOST && !event->final && ask->sends < COAT_ATTEMPT_SENDS;
    *step = (struct coat_step){.kind = COAT_STEP_DONE};
    if (event->kind == COAT_EVENT_START || again) {
        ask->sends++;
        *step = (struct coat_step){.kind = COAT_STEP_SEND, .commands = ask->command, .count = 1};
    } else if (event->kind == COAT_EVENT_LOST) {
        if (err)
            *err = *event->why;
        step->rc = event->why->code;
    } else if (event->replies->kind == COAT_REPLY_ERROR) {
        step->rc = coat_refusal(event->replies, err);
    } else {
        step->rc = ask->fn(ask->context, event->replies, err);
    }
}

int survey_ask(const struct survey *survey, const struct coat_command *command,
               survey_replies_fn *fn, void *context, struct coat_error *err)
{
    struct ask ask = {{.step = ask_step, .kind = COAT_KIND_PING}, command, fn, context, 0};
    return coat_store_run(survey->store, &ask.op, err);
}

/* ---- All keys ------------------------------------------------------------------------------- */

struct scan {
    const struct survey *survey;
    struct coat_node *node;
    size_t before; /* characters of a key before the braces' content; 0: every key will do */
    survey_keys_fn *fn;
    void *context;
    char cursor[24];
};

static int is_scan_reply(const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_ARRAY && reply->count == 2 &&
           reply->items[0].kind == COAT_REPLY_BULK && reply->items[0].len < 24 &&
           reply->items[1].kind == COAT_REPLY_ARRAY;
}

/* A pattern cannot say how long what stands between the braces is. */
static size_t pick_keys(const struct scan *scan, const struct coat_reply *from,
                        struct survey_key *to)
{
    size_t count = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct coat_reply *key = &from->items[i];
        if (key->kind == COAT_REPLY_BULK && !scan->before)
            to[count++] = (struct survey_key){{key->bytes, key->len}, NULL};
        else if (key->kind == COAT_REPLY_BULK && key->len == scan->before + COAT_H_LEN + 1)
            to[count++] = (struct survey_key){{key->bytes, key->len}, key->bytes + scan->before};
    }
    return count;
}

static int keys_came(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    struct scan *scan = context;
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal(reply, err);
    if (!is_scan_reply(reply))
        return coat_attempt_foreign(err);
    memcpy(scan->cursor, reply->items[0].bytes, reply->items[0].len);
    scan->cursor[reply->items[0].len] = 0;
    if (reply->items[1].count == 0)
        return 0;
    struct survey_key *keys = calloc(reply->items[1].count, sizeof *keys);
    if (!keys)
        return coat_error_nomem(err);
    size_t count = pick_keys(scan, &reply->items[1], keys);
    int rc = count ? scan->fn(scan->context, scan->node, keys, count, err) : 0;
    free(keys);
    return rc;
}

char *survey_escape(char *to, const char *prefix)
{
    for (; *prefix; prefix++) {
        if (strchr("*?[]\\^", *prefix))
            *to++ = '\\';
        *to++ = *prefix;
    }
    return to;
}

static int scan_node(struct scan *scan, const char *pattern, struct coat_error *err)
{
    char count[16];
    int rc;
    snprintf(count, sizeof count, "%d", KEYS_AT_ONCE);
    strcpy(scan->cursor, "0");
    do {
        char cursor[24];
        strcpy(cursor, scan->cursor);
        struct coat_arg args[] = {
            {"SCAN", 4},  {cursor, strlen(cursor)}, {"MATCH", 5}, {pattern, strlen(pattern)},
            {"COUNT", 5}, {count, strlen(count)},
        };
        struct coat_command command = {.args = args, .count = sizeof args / sizeof args[0]};
        rc = survey_ask_node(scan->survey, scan->node, &command, 1, keys_came, scan, err);
    } while (rc == 0 && strcmp(scan->cursor, "0") != 0);
    return rc;
}

static int scan_all(struct scan *scan, const char *rest, struct coat_error *err)
{
    char pattern[2 * COAT_PREFIX_MAX + 8];
    int rc = 0;
    snprintf(survey_escape(pattern, scan->survey->store->options->prefix), 8, "%s", rest);
    for (size_t i = 0; rc == 0 && i < scan->survey->count; i++) {
        scan->node = scan->survey->nodes[i];
        rc = scan_node(scan, pattern, err);
    }
    return rc;
}

int survey_keys(const struct survey *survey, char kind, survey_keys_fn *fn, void *context,
                struct coat_error *err)
{
    const char rest[] = {kind, ':', '{', '*', '}', 0};
    size_t before = strlen(survey->store->options->prefix) + strlen("s:{");
    struct scan scan = {.survey = survey, .before = before, .fn = fn, .context = context};
    return scan_all(&scan, rest, err);
}

int survey_every_key(const struct survey *survey, survey_keys_fn *fn, void *context,
                     struct coat_error *err)
{
    struct scan scan = {.survey = survey, .fn = fn, .context = context};
    return scan_all(&scan, "*", err);
}

/* ---- All records ---------------------------------------------------------------------------- */

/* So many at once that they fit into the replies of one pipeline, whatever is in them. */
enum { RECORDS_AT_ONCE = 128, PARTS = 3 };

struct look {
    const struct survey *survey;
    survey_record_fn *fn;
    void *context;
    const struct survey_key *keys; /* of one pipeline */
    size_t count;
};

static int record_came(const struct look *look, const char *h, const struct coat_reply *replies,
                       struct coat_error *err)
{
    const struct coat_reply *head = &replies[0], *ttl = &replies[1], *len = &replies[2];
    enum { NO_KEY = -2 };
    struct coat_record record;
    struct survey_record seen = {.h = h};
    for (int i = 0; i < PARTS; i++)
        if (replies[i].kind == COAT_REPLY_ERROR && coat_refusal_means(&replies[i], "MOVED"))
            return 0; /* it has gone to another node meanwhile */
    for (int i = 0; i < PARTS; i++)
        if (replies[i].kind == COAT_REPLY_ERROR && !coat_refusal_means(&replies[i], "WRONGTYPE"))
            return coat_refusal(&replies[i], err);
    if (ttl->kind != COAT_REPLY_INTEGER)
        return coat_attempt_foreign(err);
    if (ttl->integer == NO_KEY)
        return 0;
    seen.ttl_ms = ttl->integer;
    seen.bytes = len->kind == COAT_REPLY_INTEGER ? len->integer : 0;
    if (head->kind == COAT_REPLY_BULK &&
        coat_record_parse(&record, head->bytes, head->len, NULL) == 0)
        seen.record = &record;
    return look->fn(look->context, &seen, err);
}

static int records_came(void *context, const struct coat_reply *replies, struct coat_error *err)
{
    const struct look *look = context;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < look->count; i++)
        rc = record_came(look, look->keys[i].h, &replies[PARTS * i], err);
    return rc;
}

static int look_at(struct look *look, struct coat_node *node, struct coat_error *err)
{
    static const struct coat_arg getrange = {"GETRANGE", 8}, pttl = {"PTTL", 4},
                                 strlen_ = {"STRLEN", 6}, zero = {"0", 1}, end = {"511", 3};
    struct coat_arg args[RECORDS_AT_ONCE][8];
    struct coat_command commands[RECORDS_AT_ONCE * PARTS];
    for (size_t i = 0; i < look->count; i++) {
        struct coat_arg key = look->keys[i].key, *a = args[i];
        struct coat_command *c = &commands[PARTS * i];
        a[0] = getrange, a[1] = key, a[2] = zero, a[3] = end;
        a[4] = pttl, a[5] = key;
        a[6] = strlen_, a[7] = key;
        c[0] = (struct coat_command){.args = a, .count = 4};
        c[1] = (struct coat_command){.args = a + 4, .count = 2};
        c[2] = (struct coat_command){.args = a + 6, .count = 2};
    }
    return survey_ask_node(look->survey, node, commands, PARTS * look->count, records_came, look,
                           err);
}

static int look_at_all(void *context, struct coat_node *node, const struct survey_key *keys,
                       size_t count, struct coat_error *err)
{
    struct look *look = context;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < count; at += look->count) {
        look->keys = keys + at;
        look->count = count - at < RECORDS_AT_ONCE ? count - at : RECORDS_AT_ONCE;
        rc = look_at(look, node, err);
    }
    return rc;
}

int survey_records(const struct survey *survey, survey_record_fn *fn, void *context,
                   struct coat_error *err)
{
    struct look look = {.survey = survey, .fn = fn, .context = context};
    return survey_keys(survey, 's', look_at_all, &look, err);
}
