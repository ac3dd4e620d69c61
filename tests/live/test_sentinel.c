/* A master with two replicas and three sentinels: finding it, losing it, and losing sentinels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/bare_store.h"
#include "live/load.h"
#include "live/topologies.h"

static struct live_sentinels servers;

static int start(void **state)
{
    (void)state;
    live_sentinels_start(&servers);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    live_sentinels_stop(&servers);
    return 0;
}

static void the_master_is_found(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(servers.url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET found 1", &s), 0);
    assert_int_equal(atoi(live_tell(&servers.data[0], "EXISTS found")), 1);
    live_store_free(store);
}

static void dead_sentinels_are_passed_over(void **state)
{
    (void)state;
    char url[160];
    int port, other;
    int refusing = live_refuse(&port), refusing_too = live_refuse(&other);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/%s", port,
             other, servers.sentinels[1].port, LIVE_SERVICE);
    struct coat_store *store = live_store_new(url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET a 1", &s), 0);
    live_store_free(store);
    close(refusing);
    close(refusing_too);
}

/* It fails with these words; or in the middle of a try, where the deadline happens to find it. */
static void fails_with(struct coat_store *store, const char *words)
{
    struct simple_op s;
    int rc = COAT_ETIMEOUT;
    for (int i = 0; i < 10 && rc == COAT_ETIMEOUT; i++)
        rc = live_ask(store, "GET a", &s);
    assert_int_equal(rc, COAT_EUNAVAILABLE);
    assert_int_equal(s.maybe_sent, 0);
    assert_non_null(strstr(s.loss.text, words));
}

static void without_any_sentinel_it_is_unavailable_in_time(void **state)
{
    (void)state;
    char url[160];
    int port, refusing = live_refuse(&port);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/%s", port, LIVE_SERVICE);
    struct coat_store *store = live_store_new(url, NULL);
    fails_with(store, "refused");
    live_store_free(store);
    close(refusing);
}

static void a_service_that_no_sentinel_watches_is_told(void **state)
{
    (void)state;
    char url[160];
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/other", servers.sentinels[0].port);
    struct coat_store *store = live_store_new(url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET a 1", &s), COAT_ECONFIG);
    assert_non_null(strstr(s.loss.text, "watches no service other"));
    live_store_free(store);
}

static void a_server_that_is_no_sentinel_is_told(void **state)
{
    (void)state;
    char url[160];
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/%s", servers.data[0].port,
             LIVE_SERVICE);
    struct coat_store *store = live_store_new(url, "timeout", "0.3", NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET a 1", &s), COAT_EUNAVAILABLE);
    assert_non_null(strstr(s.loss.text, "does not answer like a sentinel"));
    live_store_free(store);
}

static void an_address_behind_nat_is_mapped(void **state)
{
    (void)state;
    char map[128];
    int port;
    int listener = live_listen(&port);
    snprintf(map, sizeof map, "127.0.0.1:%d=127.0.0.1:%d", servers.data[0].port, port);
    close(listener);
    struct coat_store *store = live_store_new(servers.url, "node_map", map, "timeout", "0.3", NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET a 1", &s), COAT_EUNAVAILABLE);
    char way[32];
    snprintf(way, sizeof way, "127.0.0.1:%d", port);
    assert_non_null(strstr(s.loss.text, way));
    live_store_free(store);
}

static void sentinels_have_credentials_of_their_own(void **state)
{
    (void)state;
    const struct live_server *sentinel = &servers.sentinels[2];
    char url[160];
    live_tell(sentinel, "ACL SETUSER watcher on >seen ~* &* +@all");
    live_tell(sentinel, "ACL SETUSER default -@all +acl");
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/%s", sentinel->port, LIVE_SERVICE);
    struct simple_op s;
    struct coat_store *store = live_store_new(url, "timeout", "0.3", NULL);
    assert_int_equal(live_ask(store, "SET a 1", &s), COAT_EDENIED);
    live_store_free(store);
    store = live_store_new(url, "sentinel_username", "watcher", "sentinel_password", "seen", NULL);
    assert_int_equal(live_ask(store, "SET a 1", &s), 0);
    live_store_free(store);
    live_tell(sentinel, "ACL SETUSER default +@all");
}

/* By a map that leads to a replica, as sentinels do that know no better yet. */
static void what_is_no_master_is_not_used(void **state)
{
    (void)state;
    char map[128];
    snprintf(map, sizeof map, "127.0.0.1:%d=127.0.0.1:%d", servers.data[0].port,
             servers.data[1].port);
    struct coat_store *store = live_store_new(servers.url, "node_map", map, "timeout", "2", NULL);
    fails_with(store, "is no master, though");
    live_store_free(store);
}

static int has_failed_over(void *user)
{
    (void)user;
    return live_sentinels_master(&servers) > 0;
}

static void a_master_killed_under_load_loses_only_what_was_not_replicated(void **state)
{
    (void)state;
    struct load load;
    load_open(&load, servers.url);
    load_start(&load);
    load_await_saves(&load, 400);
    live_server_kill(&servers.data[0], 1);
    live_wait(has_failed_over, NULL, "no replica is promoted");
    load_await_saves(&load, 400);
    load_stop(&load);
    load_assert_only_saves_are_lost(&load, "master killed");
    load_close(&load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_master_is_found),
        cmocka_unit_test(dead_sentinels_are_passed_over),
        cmocka_unit_test(without_any_sentinel_it_is_unavailable_in_time),
        cmocka_unit_test(a_service_that_no_sentinel_watches_is_told),
        cmocka_unit_test(a_server_that_is_no_sentinel_is_told),
        cmocka_unit_test(an_address_behind_nat_is_mapped),
        cmocka_unit_test(what_is_no_master_is_not_used),
        cmocka_unit_test(a_master_killed_under_load_loses_only_what_was_not_replicated),
        cmocka_unit_test(sentinels_have_credentials_of_their_own),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
