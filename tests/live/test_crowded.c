/* A server that has as many clients as it allows. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/server.h"
#include "topology.h"

enum { CLIENTS = 2, PATIENCE_MS = 20000 };

static struct live_server crowded;

/* The server's one node, whose connections the store takes. */
static struct coat_node *node_of(struct coat_store *store)
{
    struct coat_arg any = {NULL, 0};
    return coat_topology_route(store->redis->topology, any);
}

static int take(struct coat_node *node, int64_t within_ms, struct coat_conn **conn,
                struct coat_error *err)
{
    int64_t now = coat_monotonic_ms();
    struct coat_terms terms = {.deadline_ms = now + within_ms,
                               .connect_timeout_ms = within_ms,
                               .reply_bytes_max = 1 << 20};
    int rc;
    *conn = NULL;
    do
        rc = coat_node_checkout(node, &terms, conn, err);
    while (rc == COAT_EINTR);
    return rc;
}

struct holder {
    struct coat_store *store;
    struct coat_node *node;
    struct coat_conn *conns[CLIENTS];
};

/* A store that holds every connection that the server has. */
static struct holder fill(void)
{
    struct holder h = {.store = live_store_new(crowded.url, "max_connections", "8", NULL)};
    struct coat_error err;
    char notice[COAT_NOTICE_SIZE];
    h.node = node_of(h.store);
    int64_t until = coat_monotonic_ms() + PATIENCE_MS;
    for (int i = 0; i < CLIENTS; i++) {
        int rc = take(h.node, PATIENCE_MS, &h.conns[i], &err);
        for (; rc == COAT_EUNAVAILABLE && coat_monotonic_ms() < until; poll(NULL, 0, 10))
            rc = take(h.node, PATIENCE_MS, &h.conns[i], &err); /* former ones are there still */
        if (rc < 0)
            fail_msg("connection %d: %s", i, err.text);
    }
    while (coat_redis_read_notice(h.store->redis, notice))
        ;
    return h;
}

static void empty(struct holder *h)
{
    for (int i = 0; i < CLIENTS; i++)
        if (h->conns[i])
            coat_node_checkin(h->node, h->conns[i], 0);
    coat_node_release(h->node);
    live_store_free(h->store);
}

static void one_of_ours_that_will_be_free_is_waited_for_in_vain(void **state)
{
    (void)state;
    struct holder h = fill();
    struct coat_conn *conn;
    struct coat_error err;
    assert_int_equal(take(h.node, 2000, &conn, &err), COAT_ETIMEOUT);
    assert_string_equal(err.reason, "clients");
    assert_non_null(strstr(err.text, "maxclients"));
    empty(&h);
}

struct giver {
    struct holder *holder;
    pthread_t thread;
};

/* When the server has refused a third connection. */
static void *give_back(void *argument)
{
    struct giver *g = argument;
    struct coat_conn *conn = g->holder->conns[0];
    const struct coat_arg words[] = {{"INFO", 4}, {"stats", 5}};
    const struct coat_command info = {.args = words, .count = 2};
    struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + PATIENCE_MS,
                               .reply_bytes_max = 1 << 20};
    for (;;) {
        const struct coat_reply *reply;
        size_t count;
        if (coat_conn_send(conn, &info, 1, &terms, NULL) < 0 ||
            coat_conn_read(conn, &terms, &reply, &count, NULL) < 0)
            return NULL;
        if (!memmem(reply->bytes, reply->len, "rejected_connections:0", 22))
            break;
    }
    g->holder->conns[0] = NULL;
    coat_node_checkin(g->holder->node, conn, 1);
    return g;
}

static void one_of_ours_that_is_given_back_is_used(void **state)
{
    (void)state;
    struct coat_conn *conn;
    struct coat_error err;
    char notice[COAT_NOTICE_SIZE];
    live_server_kill(&crowded, 0); /* its count of refusals begins anew */
    live_server_again(&crowded, *state);
    struct holder h = fill();
    struct giver g = {.holder = &h};
    assert_int_equal(pthread_create(&g.thread, NULL, give_back, &g), 0);
    int rc = take(h.node, PATIENCE_MS, &conn, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    void *given;
    pthread_join(g.thread, &given);
    assert_non_null(given);
    assert_int_equal(coat_redis_read_notice(h.store->redis, notice), 0);
    coat_node_checkin(h.node, conn, 1);
    empty(&h);
}

static void where_none_is_ours_the_call_fails_at_once(void **state)
{
    (void)state;
    struct holder others = fill();
    struct coat_store *store = live_store_new(crowded.url, NULL);
    struct coat_node *node = node_of(store);
    struct coat_conn *conn;
    struct coat_error err;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(take(node, PATIENCE_MS, &conn, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "clients");
    assert_true(coat_monotonic_ms() - start < PATIENCE_MS / 2);
    coat_node_release(node);
    live_store_free(store);
    empty(&others);
}

static const char *const few[] = {"--maxclients", "2", NULL};

static int start(void **state)
{
    *state = (void *)few;
    live_server_start(&crowded, 1, few);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    live_server_stop(&crowded);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_ours_that_will_be_free_is_waited_for_in_vain),
        cmocka_unit_test(one_of_ours_that_is_given_back_is_used),
        cmocka_unit_test(where_none_is_ours_the_call_fails_at_once),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
