#include "bare_store.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "topology.h"

static void set(struct coat_options *o, const char *name, const char *value)
{
    struct coat_error err;
    if (coat_options_set(o, name, value, &err) < 0) {
        fprintf(stderr, "bare store: %s\n", err.text);
        abort();
    }
}

struct coat_store *live_store_new(const char *url, ...)
{
    struct coat_store *store = calloc(1, sizeof *store);
    const char *name;
    va_list args;
    if (!store || coat_options_new(&store->options, NULL) < 0)
        abort();
    set(store->options, "url", url);
    set(store->options, "prefix", "test:");
    va_start(args, url);
    while ((name = va_arg(args, const char *)))
        set(store->options, name, va_arg(args, const char *));
    va_end(args);
    if (coat_redis_new(&store->redis, &store->options->connect, NULL) < 0)
        abort();
    store->brief = 1;
    return store;
}

void live_store_free(struct coat_store *store)
{
    coat_redis_release(store->redis);
    coat_options_free(store->options);
    free(store);
}

int live_ask_until(struct coat_store *store, const char *words, struct simple_op *s)
{
    int rc = live_ask(store, words, s);
    for (int i = 0; rc < 0 && i < 500; i++) {
        poll(NULL, 0, 10);
        rc = live_ask(store, words, s);
    }
    return rc;
}

struct coat_node *live_node(struct coat_store *store)
{
    struct coat_node *node =
        coat_topology_route(store->redis->topology, (struct coat_arg){NULL, 0});
    coat_node_release(node); /* the topology has it, too */
    return node;
}

int live_try_take(struct coat_store *store, int64_t within_ms, struct coat_conn **conn,
                  struct coat_error *err)
{
    const struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + within_ms,
                                     .connect_timeout_ms = within_ms,
                                     .reply_bytes_max = 1 << 20};
    int rc;
    *conn = NULL;
    do
        rc = coat_node_checkout(live_node(store), &terms, conn, err);
    while (rc == COAT_EINTR);
    return rc;
}

struct coat_conn *live_take(struct coat_store *store, int64_t within_ms)
{
    struct coat_conn *conn;
    if (live_try_take(store, within_ms, &conn, NULL) < 0)
        abort();
    return conn;
}

void live_give(struct coat_store *store, struct coat_conn *conn, int reusable)
{
    coat_node_checkin(live_node(store), conn, reusable);
}

int live_run(struct coat_store *store, struct simple_op *s, struct coat_error *err)
{
    struct coat_call call;
    int rc;
    coat_call_init(&call, store, &s->op, 0);
    rc = coat_call_run_briefly(&call, err);
    while (rc == COAT_EINTR)
        rc = coat_call_run(&call, err);
    coat_call_release(&call);
    return rc;
}

int live_ask(struct coat_store *store, const char *words, struct simple_op *s)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", words);
    simple_op_init(s, copy);
    return live_run(store, s, NULL);
}
