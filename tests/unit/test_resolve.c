#include "unit/resolver.h"

#include <net/if.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "resolve.h"

#define MARGIN_MS 2000 /* for a busy machine, on top of a deadline */

static struct coat_lookup *lookup;
static struct coat_endpoints found;

static int ask(const char *host, int64_t timeout_ms, struct coat_error *err)
{
    struct coat_address address = {.scheme = COAT_SCHEME_TCP, .host = (char *)host, .port = 6380};
    return coat_resolve(&lookup, &address, coat_monotonic_ms() + timeout_ms, &found, err);
}

/* Through the slices. */
static int ask_on(const char *host, int64_t timeout_ms, struct coat_error *err)
{
    int64_t deadline = coat_monotonic_ms() + timeout_ms;
    int rc;
    do
        rc = ask(host, deadline - coat_monotonic_ms(), err);
    while (rc == COAT_EINTR);
    return rc;
}

static void assert_found(size_t count)
{
    assert_int_equal(found.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(found.at[i].v4.sin_family, AF_INET);
        assert_int_equal(ntohl(found.at[i].v4.sin_addr.s_addr), INADDR_LOOPBACK + i);
        assert_int_equal(ntohs(found.at[i].v4.sin_port), 6380);
    }
}

static int let_go(void **state)
{
    coat_lookup_drop(lookup);
    lookup = NULL;
    return resolver_check(state);
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void a_name_has_its_addresses_in_their_order(void **state)
{
    (void)state;
    resolver_addresses = 3;
    assert_int_equal(ask_on("cache", 5000, NULL), 0);
    assert_found(3);
    assert_null(lookup);
    assert_int_equal(resolver_asked, 1);
}

static void of_many_addresses_the_first_are_taken(void **state)
{
    (void)state;
    resolver_addresses = COAT_ENDPOINTS_MAX + 5;
    assert_int_equal(ask_on("cache", 5000, NULL), 0);
    assert_found(COAT_ENDPOINTS_MAX);
}

static void a_name_is_resolved_anew_each_time(void **state)
{
    (void)state;
    for (int i = 1; i < 4; i++) {
        assert_int_equal(ask_on("cache", 5000, NULL), 0);
        assert_int_equal(resolver_asked, i);
    }
}

static void a_literal_needs_neither_resolver_nor_thread(void **state)
{
    (void)state;
    char zoned[64], name[IF_NAMESIZE];
    assert_int_equal(ask("127.0.0.1", 0, NULL), 0);
    assert_found(1);
    assert_int_equal(ask("::1", 0, NULL), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.at[0].v6.sin6_family, AF_INET6);
    assert_memory_equal(&found.at[0].v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
    assert_int_equal(ntohs(found.at[0].v6.sin6_port), 6380);
    assert_int_equal(found.at[0].v6.sin6_scope_id, 0);
    struct if_nameindex *all = if_nameindex();
    unsigned scope = all[0].if_index;
    if_freenameindex(all);
    assert_non_null(if_indextoname(scope, name));
    snprintf(zoned, sizeof zoned, "fe80::1%%%s", name);
    assert_int_equal(ask(zoned, 0, NULL), 0);
    assert_int_equal(found.at[0].v6.sin6_scope_id, scope);
    assert_int_equal(resolver_asked, 0);
    assert_null(lookup);
}

static void what_only_looks_like_a_literal_is_a_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "127.0.0.1.example", "127.1", "::1x", "fe80::1%no-such-interface",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(ask_on(names[i], 5000, NULL), 0);
        assert_int_equal(resolver_asked, i + 1);
    }
}

/* ---- Failures ------------------------------------------------------------------------------- */

static void a_name_without_an_address_says_what_to_check(void **state)
{
    (void)state;
    static const int failures[] = {EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_SYSTEM};
    struct coat_error err;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        resolver_failure = failures[i];
        assert_int_equal(ask_on("no-such-host", 5000, &err), COAT_EUNAVAILABLE);
        assert_string_equal(err.reason, "resolve");
        assert_string_equal(err.text, "host no-such-host cannot be resolved to an address; check "
                                      "its name, and this machine's resolver");
        assert_null(lookup);
        assert_int_equal(found.count, 0);
    }
}

static void what_this_host_lacks_is_not_blamed_on_the_name(void **state)
{
    (void)state;
    struct coat_error err;
    resolver_failure = EAI_SYSTEM;
    resolver_number = EMFILE;
    assert_int_equal(ask_on("cache", 5000, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "descriptors");
    assert_string_equal(err.text, "cache: this process has too many open files");
}

static void a_resolver_without_memory_is_a_lack_of_memory(void **state)
{
    (void)state;
    resolver_failure = EAI_MEMORY;
    assert_int_equal(ask_on("cache", 5000, NULL), COAT_ENOMEM);
}

static void where_no_thread_can_be_started_it_says_what_to_do(void **state)
{
    (void)state;
    struct coat_error err;
    resolver_threads_fail = 1;
    assert_int_equal(ask_on("cache", 5000, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "threads");
    assert_non_null(strstr(err.text, "raise the limit of threads"));
    assert_null(lookup);
    resolver_threads_fail = 0;
    assert_int_equal(ask_on("cache", 5000, NULL), 0);
}

static void a_long_name_is_cut_in_the_message_only(void **state)
{
    (void)state;
    char name[1000];
    struct coat_error err;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(ask_on(name, 5000, NULL), 0);
    resolver_failure = EAI_NONAME;
    assert_int_equal(ask_on(name, 5000, &err), COAT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "check its name"));
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

static void a_resolver_that_hangs_does_not_move_the_deadline(void **state)
{
    (void)state;
    struct coat_error err;
    resolver_hangs = 1;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(ask_on("cache", 250, &err), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - start, 250, 250 + MARGIN_MS);
    assert_string_equal(err.reason, "resolve");
    assert_string_equal(err.text, "host cache was not resolved to an address in time; check this "
                                  "machine's resolver, or give an address in place of the name");
}

static void an_answer_that_takes_its_time_is_taken_when_it_comes(void **state)
{
    (void)state;
    resolver_delay_ms = 150;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(ask_on("cache", 20000, NULL), 0);
    assert_in_range(coat_monotonic_ms() - start, 145, 150 + MARGIN_MS);
    assert_found(1);
}

static void a_wait_lets_signals_be_seen_and_goes_on(void **state)
{
    (void)state;
    struct coat_error err;
    resolver_hangs = 1;
    for (int i = 0; i < 3; i++) {
        int64_t start = coat_monotonic_ms();
        assert_int_equal(ask("cache", 20000, &err), COAT_EINTR);
        assert_int_equal(err.code, COAT_EINTR);
        assert_true(coat_monotonic_ms() - start < 100 + MARGIN_MS);
    }
    resolver_hangs = 0;
    assert_int_equal(ask_on("cache", 20000, NULL), 0);
    assert_int_equal(resolver_asked, 1);
}

static void an_answer_between_two_waits_is_taken(void **state)
{
    (void)state;
    resolver_hangs = 1;
    assert_int_equal(ask("cache", 20000, NULL), COAT_EINTR);
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0);
    assert_int_equal(ask("cache", 0, NULL), 0);
    assert_int_equal(resolver_asked, 1);
}

/* ---- Giving up ------------------------------------------------------------------------------ */

static void who_asks_again_joins_what_is_still_under_way(void **state)
{
    (void)state;
    resolver_hangs = 1;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask_on("cache", 10, NULL), COAT_ETIMEOUT);
        coat_lookup_leave(lookup);
    }
    resolver_wait_until(&resolver_asked, 1);
    assert_int_equal(resolver_threads, 1);
    assert_int_equal(ask("cache", 20000, NULL), COAT_EINTR);
    resolver_hangs = 0;
    assert_int_equal(ask_on("cache", 20000, NULL), 0);
    assert_found(1);
    assert_int_equal(resolver_asked, 1);
}

static void an_answer_for_which_nobody_waits_is_dropped(void **state)
{
    (void)state;
    resolver_hangs = 1;
    assert_int_equal(ask_on("cache", 10, NULL), COAT_ETIMEOUT);
    coat_lookup_leave(lookup);
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0);
    resolver_addresses = 2; /* meanwhile it has moved */
    assert_int_equal(ask_on("cache", 20000, NULL), 0);
    assert_found(2);
    assert_int_equal(resolver_asked, 2);
}

static void a_look_up_is_freed_by_whoever_is_last(void **state)
{
    (void)state;
    resolver_hangs = 1;
    assert_int_equal(ask_on("cache", 10, NULL), COAT_ETIMEOUT);
    coat_lookup_drop(lookup); /* before its thread; the sanitizers and valgrind see the rest */
    lookup = NULL;
    resolver_wait_until(&resolver_busy, 1);
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0);
    resolver_hangs = 1;
    assert_int_equal(ask_on("cache", 10, NULL), COAT_ETIMEOUT);
    resolver_hangs = 0;
    resolver_wait_until(&resolver_threads, 0);
    coat_lookup_drop(lookup); /* after it */
    lookup = NULL;
}

static void nothing_can_be_left_and_dropped(void **state)
{
    (void)state;
    coat_lookup_leave(NULL);
    coat_lookup_drop(NULL);
}

/* ---- Signals and fork() --------------------------------------------------------------------- */

static void the_signal_mask_of_the_asker_stays(void **state)
{
    (void)state;
    sigset_t before, after;
    for (int fails = 0; fails < 2; fails++) {
        resolver_threads_fail = fails;
        pthread_sigmask(SIG_SETMASK, NULL, &before);
        ask_on("cache", 5000, NULL);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        for (int i = 1; i < 65; i++)
            assert_int_equal(sigismember(&before, i), sigismember(&after, i));
    }
}

/* 0 if all is as it should be in a child of a parent whose look-up is stuck. */
static int asks_in_child(void)
{
    resolver_hangs = resolver_threads = resolver_busy = resolver_asked = 0;
    if (ask_on("cache", 20000, NULL) != 0 || resolver_asked != 1 || lookup)
        return 1;
    return found.count != 1;
}

static void a_child_does_not_wait_for_its_parents_thread(void **state)
{
    (void)state;
    int status;
    resolver_hangs = 1;
    assert_int_equal(ask("cache", 20000, NULL), COAT_EINTR);
    pid_t child = fork();
    if (child == 0)
        _exit(asks_in_child());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    child = fork();
    if (child == 0) { /* none of these may wait for a mutex that the thread had */
        coat_lookup_leave(lookup);
        coat_lookup_drop(lookup);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    resolver_hangs = 0;
    assert_int_equal(ask_on("cache", 20000, NULL), 0);
    assert_int_equal(resolver_asked, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, resolver_reset, let_go)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_has_its_addresses_in_their_order),
        TEST(of_many_addresses_the_first_are_taken),
        TEST(a_name_is_resolved_anew_each_time),
        TEST(a_literal_needs_neither_resolver_nor_thread),
        TEST(what_only_looks_like_a_literal_is_a_name),
        TEST(a_name_without_an_address_says_what_to_check),
        TEST(what_this_host_lacks_is_not_blamed_on_the_name),
        TEST(a_resolver_without_memory_is_a_lack_of_memory),
        TEST(where_no_thread_can_be_started_it_says_what_to_do),
        TEST(a_long_name_is_cut_in_the_message_only),
        TEST(a_resolver_that_hangs_does_not_move_the_deadline),
        TEST(an_answer_that_takes_its_time_is_taken_when_it_comes),
        TEST(a_wait_lets_signals_be_seen_and_goes_on),
        TEST(an_answer_between_two_waits_is_taken),
        TEST(who_asks_again_joins_what_is_still_under_way),
        TEST(an_answer_for_which_nobody_waits_is_dropped),
        TEST(a_look_up_is_freed_by_whoever_is_last),
        TEST(nothing_can_be_left_and_dropped),
        TEST(the_signal_mask_of_the_asker_stays),
        TEST(a_child_does_not_wait_for_its_parents_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
