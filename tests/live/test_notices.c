/* What a program's log is told: each change once, in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "live/bare_store.h"
#include "live/server.h"

static const char *next_notice(struct coat_store *store)
{
    static char text[COAT_NOTICE_SIZE];
    return coat_store_notice(store, text, sizeof text) ? text : NULL;
}

/* The next one begins with the name of the server, and goes on so. */
static void assert_notice(struct coat_store *store, const char *rest)
{
    char want[COAT_NOTICE_SIZE];
    const char *text = next_notice(store);
    snprintf(want, sizeof want, "%s %s", server.url, rest);
    assert_non_null(text);
    if (strncmp(text, want, strlen(want)) != 0)
        fail_msg("%s", text);
}

static void a_server_that_goes_and_comes_is_told_once_each(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(live_ask_until(store, "PING", &s), 0);
        assert_null(next_notice(store));
        live_server_kill(&server, 1);
        for (int calls = 0; calls < 50; calls++) {
            assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
            poll(NULL, 0, 5); /* so that several of them try to connect */
        }
        assert_notice(store, "cannot be reached: ");
        assert_null(next_notice(store));
        live_server_again(&server, NULL);
        assert_int_equal(live_ask_until(store, "PING", &s), 0);
        assert_notice(store, "can be reached again");
    }
    live_store_free(store);
}

/* ---- Servers that may throw sessions away --------------------------------------------------- */

static struct coat_store *admin;

static void set_policy(const char *policy)
{
    char words[128];
    struct simple_op s;
    snprintf(words, sizeof words, "CONFIG SET maxmemory-policy %s", policy);
    assert_int_equal(live_ask_until(admin, words, &s), 0);
}

/* Asks it by a new connection. */
static void look_again(struct coat_store *store)
{
    struct simple_op s;
    coat_node_drop(live_node(store));
    assert_int_equal(live_ask(store, "PING", &s), 0);
}

static int start(void **state)
{
    start_server(state);
    admin = live_store_new(server.url, NULL);
    return 0;
}

static int stop(void **state)
{
    live_store_free(admin);
    return stop_server(state);
}

static int keep_all(void **state)
{
    (void)state;
    set_policy("noeviction");
    return 0;
}

#define VANISH "so sessions vanish when its memory is full; set it to noeviction"

static void a_server_that_may_evict_sessions_is_told_at_the_first_connect(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    set_policy("allkeys-lru");
    assert_null(next_notice(store));
    look_again(store);
    assert_notice(store, "has the maxmemory-policy allkeys-lru, " VANISH);
    assert_null(next_notice(store));
    live_store_free(store);
}

static void a_policy_for_keys_with_a_ttl_takes_sessions_too(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    set_policy("volatile-ttl");
    look_again(store);
    assert_notice(store, "has the maxmemory-policy volatile-ttl, " VANISH);
    live_store_free(store);
}

static void a_server_that_evicts_nothing_is_not_worth_a_line(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    look_again(store);
    assert_null(next_notice(store));
    live_store_free(store);
}

static void a_policy_is_told_again_only_after_it_was_mended(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    for (int i = 0; i < 2; i++) {
        set_policy("allkeys-lru");
        look_again(store);
        assert_notice(store, "has the maxmemory-policy");
        look_again(store);
        set_policy("noeviction");
        look_again(store);
        assert_null(next_notice(store));
    }
    live_store_free(store);
}

/* ---- Reading them --------------------------------------------------------------------------- */

static void where_nobody_reads_the_oldest_are_dropped(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    for (int i = 1; i <= COAT_NOTICES_MAX + 3; i++)
        coat_redis_notice(store->redis, "line %d", i);
    for (int i = 4; i <= COAT_NOTICES_MAX + 3; i++) {
        char want[32];
        const char *text = next_notice(store);
        snprintf(want, sizeof want, "line %d", i);
        assert_non_null(text);
        assert_string_equal(text, want);
    }
    assert_null(next_notice(store));
    live_store_free(store);
}

static void a_line_is_cut_off_at_the_size_given(void **state)
{
    (void)state;
    char text[5];
    struct coat_store *store = live_store_new(server.url, NULL);
    coat_redis_notice(store->redis, "a longer line");
    assert_int_equal(coat_store_notice(store, text, sizeof text), 1);
    assert_string_equal(text, "a lo");
    assert_int_equal(coat_store_notice(store, text, sizeof text), 0);
    live_store_free(store);
}

#define POLICY(f) cmocka_unit_test_teardown(f, keep_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_goes_and_comes_is_told_once_each),
        POLICY(a_server_that_may_evict_sessions_is_told_at_the_first_connect),
        POLICY(a_policy_for_keys_with_a_ttl_takes_sessions_too),
        POLICY(a_server_that_evicts_nothing_is_not_worth_a_line),
        POLICY(a_policy_is_told_again_only_after_it_was_mended),
        cmocka_unit_test(where_nobody_reads_the_oldest_are_dropped),
        cmocka_unit_test(a_line_is_cut_off_at_the_size_given),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
