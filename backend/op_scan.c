/*
 * Looking at all keys of a cache: SCAN with a pattern, on one node after the other. The operation
 * for a piece of that has a deadline of its own, so that millions of keys are no single call.
 */
#include <stdlib.h>
#include <string.h>

#include "api/cache.h"
#include "api/error.h"
#include "attempt.h"
#include "entry.h"
#include "generation.h"
#include "node.h"
#include "redis.h"
#include "store.h"
#include "topology.h"

enum { ASKING, SCANNING, UNLINKING };

enum { PATTERN_MAX = 1024, CURSOR_MAX = 20 };

#define ALL_OF_IT "c:"
#define AT_ONCE   "500"

struct coat_cache_scan {
    struct coat_op op;
    struct coat_store *store;
    enum coat_cache_scan_do what;
    int phase;
    struct coat_attempt attempt;
    struct coat_node **nodes; /* held; NULL: not known yet, or there is only one */
    size_t node_count, node;
    int finished;
    char cursor[CURSOR_MAX + 1]; /* on this node, from where the next piece begins */
    char next[CURSOR_MAX + 1];
    struct coat_reply *keys; /* of the last piece, or NULL */
    size_t count;
    size_t before;            /* bytes of a key that are not the user's */
    struct coat_guard *guard; /* in a view */
    char *digits;             /* of its generations, in the pattern */
    size_t pattern_len;
    char pattern[];
};

/* ---- Making it ------------------------------------------------------------------------------ */

static void scan_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err);

static void forget_keys(struct coat_cache_scan *scan)
{
    free(scan->keys);
    scan->keys = NULL;
    scan->count = 0;
}

/* The prefix, which is no pattern. */
static char *put_escaped(char *to, const char *prefix)
{
    for (; *prefix; prefix++) {
        if (strchr("*?[]\\^", *prefix))
            *to++ = '\\';
        *to++ = *prefix;
    }
    return to;
}

/* Where there are no generations, there are no keys. */
static void rekey(struct coat_op *op, const char *digits, size_t len)
{
    struct coat_cache_scan *scan = (struct coat_cache_scan *)op;
    if (digits)
        memcpy(scan->digits, digits, len);
    else
        forget_keys(scan);
}

/* What stands before a key of the user. */
static const char *area(const struct coat_view *view, enum coat_cache_scan_do what)
{
    return view ? COAT_IN_VIEW : what == COAT_CACHE_SCAN_CLEAR ? ALL_OF_IT : COAT_ENTRIES;
}

static size_t width(const struct coat_view *view)
{
    return view ? view->count * COAT_GENERATION_LEN + 1 : 0; /* with the colon */
}

/* The room for digits stays as it is. */
static void put_pattern(struct coat_cache_scan *scan, const char *under, size_t digits,
                        const char *pattern, size_t len)
{
    char *end = put_escaped(scan->pattern, scan->store->options->prefix);
    memcpy(end, under, strlen(under));
    end += strlen(under);
    scan->digits = end;
    if (digits)
        end[digits - 1] = ':';
    memcpy(end + digits, pattern, len);
    scan->pattern_len = (size_t)(end - scan->pattern) + digits + len;
}

int coat_cache_scan_new_in(struct coat_cache_scan **out, struct coat_store *store,
                           const struct coat_view *view, enum coat_cache_scan_do what,
                           const char *pattern, size_t len, struct coat_error *err)
{
    *out = NULL;
    if (len == 0 || len > PATTERN_MAX)
        return coat_error_set(err, COAT_EUSAGE,
                              "a pattern for keys of a cache has from 1 to %d bytes, not %zu",
                              PATTERN_MAX, len);
    const char *prefix = store->options->prefix;
    const char *under = area(view, what);
    struct coat_cache_scan *scan =
        calloc(1, sizeof *scan + 2 * strlen(prefix) + strlen(under) + width(view) + len);
    if (!scan)
        return coat_error_nomem(err);
    scan->op =
        (struct coat_op){.step = scan_step,
                         .kind = what == COAT_CACHE_SCAN_CLEAR ? COAT_KIND_CLEAR : COAT_KIND_KEYS};
    scan->store = store;
    scan->what = what;
    scan->before = strlen(prefix) + strlen(under) + width(view);
    strcpy(scan->cursor, "0");
    put_pattern(scan, under, width(view), pattern, len);
    if (view && !(scan->guard = coat_guard_new(store, view, &scan->op, rekey))) {
        free(scan);
        return coat_error_nomem(err);
    }
    *out = scan;
    return 0;
}

int coat_cache_scan_new(struct coat_cache_scan **out, struct coat_store *store,
                        enum coat_cache_scan_do what, const char *pattern, size_t len,
                        struct coat_error *err)
{
    return coat_cache_scan_new_in(out, store, NULL, what, pattern, len, err);
}

void coat_cache_scan_free(struct coat_cache_scan *scan)
{
    if (!scan)
        return;
    for (size_t i = 0; i < scan->node_count; i++)
        coat_node_release(scan->nodes[i]);
    free(scan->nodes);
    coat_guard_free(scan->guard);
    forget_keys(scan);
    coat_attempt_release(&scan->attempt);
    free(scan);
}

struct coat_op *coat_cache_scan_op(struct coat_cache_scan *scan)
{
    return scan->guard ? coat_guard_op(scan->guard, 0) : &scan->op;
}

size_t coat_cache_scan_count(const struct coat_cache_scan *scan)
{
    return scan->count;
}

const char *coat_cache_scan_key(const struct coat_cache_scan *scan, size_t index, size_t *len)
{
    const struct coat_reply *key = &scan->keys->items[index];
    *len = key->len - scan->before;
    return key->bytes + scan->before;
}

/* ---- Which nodes there are ------------------------------------------------------------------ */

/* The courier asks for the nodes before anything is sent to one of them. */
static void ask_for_nodes(struct coat_cache_scan *scan, struct coat_step *step)
{
    scan->phase = ASKING;
    coat_attempt_begin(&scan->attempt, COAT_LOSS_FAILS, NULL, 0);
    coat_attempt_command(&scan->attempt, "PING");
    coat_attempt_send(&scan->attempt, step);
}

static int take_nodes(struct coat_cache_scan *scan, struct coat_error *err)
{
    struct coat_node **nodes = calloc(COAT_NODES_MAX, sizeof(struct coat_node *));
    if (!nodes)
        return coat_error_nomem(err);
    scan->nodes = nodes;
    scan->node_count = coat_topology_nodes(scan->store->redis->topology, nodes, COAT_NODES_MAX);
    if (scan->node_count > 0)
        return 0;
    free(nodes);
    scan->nodes = NULL;
    return coat_error_because(err, COAT_EDENIED, "cluster",
                              "the cluster does not say which nodes it has; the user needs "
                              "+cluster|slots for this");
}

/* The nodes of a cluster are named; a master behind sentinels may be another one each time. */
static int is_cluster(const struct coat_cache_scan *scan)
{
    return scan->store->options->connect.kind == COAT_CLUSTER;
}

/* ---- One piece ------------------------------------------------------------------------------ */

static void send_scan(struct coat_cache_scan *scan, struct coat_step *step)
{
    struct coat_attempt *a = &scan->attempt;
    scan->phase = SCANNING;
    coat_attempt_release(a); /* there was less room in it */
    coat_attempt_begin(a, COAT_LOSS_FAILS, NULL, 0);
    coat_attempt_command(a, "SCAN");
    if (scan->nodes)
        coat_attempt_node(a, scan->nodes[scan->node]);
    coat_attempt_word(a, scan->cursor);
    coat_attempt_word(a, "MATCH");
    coat_attempt_arg(a, scan->pattern, scan->pattern_len);
    coat_attempt_word(a, "COUNT");
    coat_attempt_word(a, AT_ONCE);
    coat_attempt_send(a, step);
}

static int is_cursor(const struct coat_reply *reply)
{
    if (reply->kind != COAT_REPLY_BULK || reply->len == 0 || reply->len > CURSOR_MAX)
        return 0;
    for (size_t i = 0; i < reply->len; i++)
        if (reply->bytes[i] < '0' || reply->bytes[i] > '9')
            return 0;
    return 1;
}

static int are_keys(const struct coat_cache_scan *scan, const struct coat_reply *keys)
{
    if (keys->kind != COAT_REPLY_ARRAY)
        return 0;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->items[i].kind != COAT_REPLY_BULK || keys->items[i].len < scan->before)
            return 0;
    return 1;
}

static int keep(struct coat_cache_scan *scan, const struct coat_reply *reply,
                struct coat_error *err)
{
    if (reply->kind != COAT_REPLY_ARRAY || reply->count != 2 || !is_cursor(&reply->items[0]) ||
        !are_keys(scan, &reply->items[1]))
        return coat_attempt_foreign(err);
    scan->keys = coat_reply_copy(&reply->items[1]);
    if (!scan->keys)
        return coat_error_nomem(err);
    memcpy(scan->next, reply->items[0].bytes, reply->items[0].len);
    scan->next[reply->items[0].len] = '\0';
    return 0;
}

/* The piece is over: 1 if there may be more. */
static int go_on(struct coat_cache_scan *scan, size_t count)
{
    scan->count = count;
    strcpy(scan->cursor, scan->next);
    if (strcmp(scan->cursor, "0") != 0)
        return 1;
    scan->node++;
    scan->finished = scan->node >= scan->node_count;
    return !scan->finished;
}

static int send_unlinks(struct coat_cache_scan *scan, struct coat_step *step,
                        struct coat_error *err)
{
    struct coat_attempt *a = &scan->attempt;
    const struct coat_reply *keys = scan->keys;
    int rc = coat_attempt_reserve(a, keys->count, 2 * keys->count, err);
    if (rc < 0)
        return rc;
    scan->phase = UNLINKING;
    coat_attempt_begin(a, COAT_LOSS_FAILS, NULL, 0);
    for (size_t i = 0; i < keys->count; i++) {
        coat_attempt_key(a, keys->items[i].bytes, keys->items[i].len);
        coat_attempt_command(a, "UNLINK");
        coat_attempt_arg(a, keys->items[i].bytes, keys->items[i].len);
    }
    coat_attempt_send(a, step);
    return 0;
}

static int count_unlinked(const struct coat_event *event, size_t *sum, struct coat_error *err)
{
    *sum = 0;
    for (size_t i = 0; i < event->count; i++) {
        const struct coat_reply *reply = &event->replies[i];
        if (reply->kind != COAT_REPLY_INTEGER || reply->integer < 0 || reply->integer > 1)
            return coat_attempt_foreign(err);
        *sum += (size_t)reply->integer;
    }
    return 0;
}

/* ---- The machine ---------------------------------------------------------------------------- */

static void done(struct coat_step *step, int rc)
{
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
}

/* 0: the step is filled in. */
static int answered(struct coat_cache_scan *scan, const struct coat_event *event,
                    struct coat_step *step, struct coat_error *err)
{
    size_t count = 0;
    int rc = scan->phase == ASKING     ? take_nodes(scan, err)
             : scan->phase == SCANNING ? keep(scan, event->replies, err)
                                       : count_unlinked(event, &count, err);
    if (rc < 0)
        return rc;
    if (scan->phase == ASKING)
        send_scan(scan, step);
    else if (scan->phase == SCANNING && scan->what == COAT_CACHE_SCAN_CLEAR && scan->keys->count)
        return send_unlinks(scan, step, err);
    else
        done(step, go_on(scan, scan->phase == SCANNING ? scan->keys->count : count));
    return 0;
}

static void scan_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err)
{
    struct coat_cache_scan *scan = (struct coat_cache_scan *)op;
    if (event->kind == COAT_EVENT_START) {
        forget_keys(scan);
        if (scan->finished)
            done(step, 0);
        else if (is_cluster(scan) && !scan->nodes)
            ask_for_nodes(scan, step);
        else
            send_scan(scan, step);
        return;
    }
    int rc = coat_attempt_take(&scan->attempt, event, step, err);
    if (rc > 0)
        rc = answered(scan, event, step, err);
    if (rc < 0)
        done(step, rc);
}
