/* A call to a server that is given by name, whatever the resolver does. */
#include "unit/resolver.h"

#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/server.h"

#define MARGIN_MS 2000 /* for a busy machine, on top of a deadline */

/* A store at the test's server, whose host is called cache. */
static struct coat_store *store_by_name(const char *timeout, const char *connect_timeout,
                                        const char *max_connections)
{
    char url[64];
    snprintf(url, sizeof url, "redis://cache:%d", server.port);
    return live_store_new(url, "timeout", timeout, "connect_timeout", connect_timeout,
                          "max_connections", max_connections, NULL);
}

static void a_name_leads_to_the_server(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("10", "9", "8");
    struct simple_op s;
    for (int i = 0; i < 3; i++)
        assert_int_equal(live_ask(store, "PING", &s), 0);
    assert_int_equal(resolver_asked, 1); /* once for each connection */
    live_store_free(store);
}

static void every_address_of_a_name_is_tried(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("10", "9", "8");
    struct simple_op s;
    resolver_addresses = 3;
    resolver_backwards = 1; /* nobody listens at the first two */
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_store_free(store);
}

static void a_name_without_an_address_is_unavailable_and_final(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("10", "9", "8");
    struct simple_op s;
    resolver_failure = EAI_NONAME;
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    assert_string_equal(s.loss.reason, "resolve");
    assert_non_null(strstr(s.loss.text, "cache"));
    assert_int_equal(s.final, 1);
    assert_int_equal(s.maybe_sent, 0);
    live_store_free(store);
}

static void req_71_a_resolver_that_hangs_is_no_trap(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("5", "0.2", "8");
    struct simple_op s;
    resolver_hangs = 1;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - start, 200, 200 + MARGIN_MS);
    assert_string_equal(s.loss.reason, "resolve");
    assert_int_equal(s.final, 1);
    assert_int_equal(s.maybe_sent, 0);
    live_store_free(store); /* does not wait for it either */
    assert_int_equal(resolver_busy, 1);
}

static void a_resolver_that_takes_its_time_is_waited_for(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("30", "20", "8");
    struct simple_op s;
    resolver_delay_ms = 250; /* more than a slice */
    assert_int_equal(live_ask(store, "PING", &s), 0);
    assert_int_equal(resolver_asked, 1);
    live_store_free(store);
}

static void calls_in_a_row_share_the_one_look_up_that_is_stuck(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("5", "0.02", "8");
    struct simple_op s;
    resolver_hangs = 1;
    for (int i = 0; i < 20; i++)
        assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    resolver_wait_until(&resolver_busy, 1);
    assert_int_equal(resolver_asked, 1);
    assert_int_equal(resolver_threads, 1);
    live_store_free(store);
}

static void a_store_recovers_with_its_resolver(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("5", "0.5", "8");
    struct simple_op s;
    resolver_hangs = 1;
    resolver_failure = EAI_AGAIN;
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0); /* this answer comes too late for anybody */
    resolver_failure = 0;
    int rc = COAT_ETIMEOUT;
    for (int i = 0; i < 100 && rc == COAT_ETIMEOUT; i++) {
        rc = live_ask(store, "PING", &s);
        poll(NULL, 0, 20); /* for a moment, calls fail at once */
    }
    assert_int_equal(rc, 0);
    live_store_free(store);
}

struct caller {
    pthread_t thread;
    struct coat_store *store;
};

static void *call_in_vain(void *arg)
{
    struct caller *c = arg;
    struct simple_op s;
    for (int i = 0; i < 10; i++)
        live_ask(c->store, "PING", &s);
    return NULL;
}

static void threads_start_no_more_look_ups_than_they_have_connections(void **state)
{
    (void)state;
    enum { CALLERS = 8 };
    struct coat_store *store = store_by_name("1", "0.02", "3");
    struct caller callers[CALLERS];
    resolver_hangs = 1;
    for (int i = 0; i < CALLERS; i++) {
        callers[i].store = store;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_in_vain, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    assert_in_range(resolver_asked, 1, 3);
    live_store_free(store);
}

/* Answers race with calls that give up, and with stores that close. */
static void answers_may_come_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        struct coat_store *store = store_by_name("5", "0.01", "2");
        struct simple_op s;
        resolver_delay_ms = 6 + i % 8;
        for (int j = 0; j < 3; j++) {
            int rc = live_ask(store, "PING", &s);
            assert_true(rc == 0 || rc == COAT_ETIMEOUT);
        }
        live_store_free(store);
    }
}

static void a_call_that_lets_signals_be_seen_goes_on_with_its_look_up(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("30", "20", "8");
    struct coat_call call;
    struct simple_op s;
    char words[] = "ECHO again";
    resolver_hangs = 1;
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(coat_call_run(&call, NULL), COAT_EINTR);
    resolver_hangs = 0;
    int rc;
    do
        rc = coat_call_run(&call, NULL);
    while (rc == COAT_EINTR);
    assert_int_equal(rc, 0);
    assert_string_equal(s.text, "again");
    assert_int_equal(resolver_asked, 1);
    coat_call_release(&call);
    live_store_free(store);
}

static void a_call_that_is_given_up_while_it_resolves_is_in_nobodys_way(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("30", "20", "1");
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING";
    resolver_hangs = 1;
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    assert_int_equal(coat_call_run(&call, NULL), COAT_EINTR);
    coat_call_release(&call);
    resolver_hangs = 0;
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_store_free(store);
}

static int asks_in_child(struct coat_store *store, struct coat_call *call)
{
    struct simple_op s;
    int rc;
    resolver_hangs = 0;
    do
        rc = coat_call_run(call, NULL);
    while (rc == COAT_EINTR);
    coat_call_release(call);
    if (rc == 0)
        rc = live_ask(store, "PING", &s);
    live_store_free(store);
    return rc;
}

/* One connection of the parent is in the middle of a call, another has left a look-up behind. */
static void req_63_a_child_resolves_for_itself(void **state)
{
    (void)state;
    struct coat_store *store = store_by_name("30", "20", "2");
    struct coat_call left, call;
    struct simple_op s, s2;
    char words[] = "PING", words2[] = "PING";
    int status;
    resolver_hangs = 1;
    simple_op_init(&s, words);
    simple_op_init(&s2, words2);
    coat_call_init(&left, store, &s.op, 0);
    coat_call_init(&call, store, &s2.op, 0);
    assert_int_equal(coat_call_run(&left, NULL), COAT_EINTR);
    assert_int_equal(coat_call_run(&call, NULL), COAT_EINTR);
    coat_call_release(&left);
    pid_t child = fork();
    if (child == 0)
        _exit(asks_in_child(store, &call) != 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    resolver_hangs = 0;
    assert_int_equal(asks_in_child(store, &call), 0); /* and so does the parent */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, resolver_reset, resolver_check)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_leads_to_the_server),
        TEST(every_address_of_a_name_is_tried),
        TEST(a_name_without_an_address_is_unavailable_and_final),
        TEST(req_71_a_resolver_that_hangs_is_no_trap),
        TEST(a_resolver_that_takes_its_time_is_waited_for),
        TEST(calls_in_a_row_share_the_one_look_up_that_is_stuck),
        TEST(a_store_recovers_with_its_resolver),
        TEST(threads_start_no_more_look_ups_than_they_have_connections),
        TEST(answers_may_come_at_any_moment),
        TEST(a_call_that_lets_signals_be_seen_goes_on_with_its_look_up),
        TEST(a_call_that_is_given_up_while_it_resolves_is_in_nobodys_way),
        TEST(req_63_a_child_resolves_for_itself),
    };
    return cmocka_run_group_tests(tests, start_server_with_port, stop_server);
}
