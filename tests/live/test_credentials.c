/* Credentials that a C program's function says, while they change at the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coatcheck.h"
#include "live/bare_store.h"
#include "live/descriptors.h"
#include "live/server.h"

/* ---- Where the program has its passwords from ----------------------------------------------- */

struct vault {
    const char *first, *then; /* what it says when it is asked for the first time, and later */
    int fails;                /* the code */
    int slow_ms;              /* it takes so long */
    atomic_int asked;
};

static int ask_vault(void *context, struct coat_credentials *to, struct coat_error *err)
{
    struct vault *vault = context;
    const char *password = atomic_fetch_add(&vault->asked, 1) == 0 ? vault->first : vault->then;
    for (int ms = 0; ms < vault->slow_ms; ms++)
        usleep(1000);
    if (vault->fails) {
        *err = (struct coat_error){
            .code = vault->fails, .reason = "vault", .text = "the vault is closed"};
        return vault->fails;
    }
    to->username = strdup("web");
    to->password = strdup(password);
    return to->username && to->password ? 0 : COAT_ENOMEM;
}

/* Says something else from now on. */
static void refill(struct vault *vault, const char *first, const char *then)
{
    vault->first = first;
    vault->then = then;
    vault->fails = 0;
    atomic_store(&vault->asked, 0);
}

static struct coat_store *open_store_within(struct vault *vault, const char *connect_timeout)
{
    struct coat_options *o;
    struct coat_store *store;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(coat_options_set(o, "url", server.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_options_set(o, "timeout", "20", NULL), 0);
    assert_int_equal(coat_options_set(o, "connect_timeout", connect_timeout, NULL), 0);
    coat_options_credentials(o, ask_vault, vault);
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    return store;
}

static struct coat_store *open_store(struct vault *vault)
{
    return open_store_within(vault, "10");
}

/* ---- What its administrator does ------------------------------------------------------------ */

static struct coat_store *admin;

static void order(const char *words)
{
    struct simple_op s;
    if (live_ask(admin, words, &s) != 0)
        fail_msg("%s: %s %s", words, s.text, s.loss.text);
}

/* The user has this password and no other. Connections that exist go on. */
static void set_password(const char *password)
{
    char words[128];
    snprintf(words, sizeof words, "ACL SETUSER web resetpass | ACL SETUSER web >%s", password);
    order(words);
}

static int connections_so_far(void)
{
    struct simple_op s;
    static const char name[] = "total_connections_received:";
    assert_int_equal(live_ask(admin, "INFO stats", &s), 0);
    const char *at = strstr(s.text, name);
    assert_non_null(at);
    return atoi(at + sizeof name - 1);
}

static int start(void **state)
{
    start_server(state);
    admin = live_store_new(server.url, "timeout", "20", NULL);
    order("ACL SETUSER web on | ACL SETUSER web ~* | ACL SETUSER web +@all");
    return 0;
}

static int stop(void **state)
{
    live_store_free(admin);
    return stop_server(state);
}

/* ---- The facts ------------------------------------------------------------------------------ */

static void the_function_is_asked_once_for_each_connect(void **state)
{
    (void)state;
    struct vault vault = {.first = "one", .then = "one"};
    set_password("one");
    struct coat_store *store = open_store(&vault);
    assert_int_equal(atomic_load(&vault.asked), 0);
    for (int connects = 1; connects <= 3; connects++) {
        assert_int_equal(coat_store_ping(store, NULL), 0);
        assert_int_equal(coat_store_ping(store, NULL), 0);
        assert_int_equal(atomic_load(&vault.asked), connects);
        order("CLIENT KILL USER web");
    }
    coat_store_close(store);
}

static void a_password_that_was_changed_is_used_from_the_next_connect_on(void **state)
{
    (void)state;
    struct vault vault = {.first = "one", .then = "two"};
    set_password("one");
    struct coat_store *store = open_store(&vault);
    assert_int_equal(coat_store_ping(store, NULL), 0);
    set_password("two");
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_int_equal(atomic_load(&vault.asked), 1);
    order("CLIENT KILL USER web");
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_int_equal(atomic_load(&vault.asked), 2);
    coat_store_close(store);
}

static void a_stale_password_is_asked_for_once_more_on_the_same_connection(void **state)
{
    (void)state;
    struct vault vault = {.first = "stale", .then = "two"};
    set_password("two");
    struct coat_store *store = open_store(&vault);
    int before = connections_so_far();
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_int_equal(atomic_load(&vault.asked), 2);
    assert_int_equal(connections_so_far(), before + 1);
    coat_store_close(store);
}

static void what_is_refused_twice_is_denied(void **state)
{
    (void)state;
    struct vault vault = {.first = "stale", .then = "staler"};
    struct coat_error err;
    set_password("two");
    struct coat_store *store = open_store(&vault);
    int before = live_descriptors(0);
    assert_int_equal(coat_store_ping(store, &err), COAT_EDENIED);
    assert_string_equal(err.reason, "WRONGPASS");
    assert_null(strstr(err.text, "stale"));
    assert_int_equal(atomic_load(&vault.asked), 2);
    assert_int_equal(live_descriptors(0), before);
    coat_store_close(store);
}

static void a_refusal_keeps_no_later_call_from_connecting(void **state)
{
    (void)state;
    struct vault vault = {.first = "stale", .then = "staler"};
    char text[8];
    set_password("two");
    struct coat_store *store = open_store(&vault);
    assert_int_equal(coat_store_ping(store, NULL), COAT_EDENIED);
    refill(&vault, "two", "two");
    assert_int_equal(coat_store_ping(store, NULL), 0);
    assert_int_equal(coat_store_notice(store, text, sizeof text), 0);
    coat_store_close(store);
}

static void the_failure_of_the_function_is_that_of_the_call(void **state)
{
    (void)state;
    static const int codes[] = {COAT_EDENIED, COAT_EUNAVAILABLE, COAT_ETIMEOUT, COAT_ECONFIG};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct vault vault = {.fails = codes[i]};
        struct coat_error err;
        struct coat_store *store = open_store(&vault);
        int before = live_descriptors(0);
        assert_int_equal(coat_store_ping(store, &err), codes[i]);
        assert_string_equal(err.reason, "vault");
        assert_string_equal(err.text, "the vault is closed");
        assert_int_equal(atomic_load(&vault.asked), 1);
        assert_int_equal(live_descriptors(0), before);
        coat_store_close(store);
    }
}

static void a_slow_function_is_not_blamed_on_the_server(void **state)
{
    (void)state;
    struct vault vault = {.first = "one", .then = "one", .slow_ms = 600};
    struct coat_error err;
    set_password("one");
    struct coat_store *store = open_store_within(&vault, "0.5");
    assert_int_equal(coat_store_ping(store, &err), COAT_ETIMEOUT);
    assert_non_null(strstr(err.text, "the function of the option credentials took"));
    vault.slow_ms = 0;
    assert_int_equal(coat_store_ping(store, NULL), 0); /* at once: it does not count as down */
    coat_store_close(store);
}

static void it_says_nothing_about_the_server(void **state)
{
    (void)state;
    static const int codes[] = {COAT_EDENIED, COAT_EUNAVAILABLE, COAT_ETIMEOUT};
    set_password("two");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct vault vault = {.fails = codes[i]};
        char text[8];
        struct coat_store *store = open_store(&vault);
        assert_int_equal(coat_store_ping(store, NULL), codes[i]);
        refill(&vault, "two", "two");
        assert_int_equal(coat_store_ping(store, NULL), 0);
        assert_int_equal(coat_store_notice(store, text, sizeof text), 0);
        coat_store_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_function_is_asked_once_for_each_connect),
        cmocka_unit_test(a_password_that_was_changed_is_used_from_the_next_connect_on),
        cmocka_unit_test(a_stale_password_is_asked_for_once_more_on_the_same_connection),
        cmocka_unit_test(what_is_refused_twice_is_denied),
        cmocka_unit_test(a_refusal_keeps_no_later_call_from_connecting),
        cmocka_unit_test(the_failure_of_the_function_is_that_of_the_call),
        cmocka_unit_test(a_slow_function_is_not_blamed_on_the_server),
        cmocka_unit_test(it_says_nothing_about_the_server),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
