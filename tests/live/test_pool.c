/* The connections to one node: who gets one, who waits, and which are thrown away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/error.h"
#include "clock.h"
#include "live/bare_store.h"
#include "live/descriptors.h"
#include "live/fake.h"
#include "live/server.h"
#include "live/topologies.h"

#define LONG_MS   60000 /* a deadline that no test reaches */
#define AT_ONCE   10000 /* less than that, however busy the machine is */
#define MARGIN_MS 2000

static long long id_of(struct coat_store *store)
{
    struct simple_op s;
    assert_int_equal(live_ask(store, "CLIENT ID", &s), 0);
    return s.integer;
}

/* ---- A thread that takes a connection ------------------------------------------------------- */

struct taker {
    struct coat_store *store;
    int64_t within_ms;
    pthread_t thread;
    atomic_int waited, done; /* `waited`: for others, at least that many slices */
    int rc;
    struct coat_conn *conn;
    struct coat_error err;
};

static void *take(void *arg)
{
    struct taker *t = arg;
    const struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + t->within_ms,
                                     .connect_timeout_ms = t->within_ms,
                                     .reply_bytes_max = 1 << 20};
    while ((t->rc = coat_node_checkout(live_node(t->store), &terms, &t->conn, &t->err)) ==
           COAT_EINTR)
        atomic_fetch_add(&t->waited, 1);
    atomic_store(&t->done, 1);
    return NULL;
}

static void start_taking(struct taker *t, struct coat_store *store, int64_t within_ms)
{
    *t = (struct taker){.store = store, .within_ms = within_ms};
    assert_int_equal(pthread_create(&t->thread, NULL, take, t), 0);
}

static int waits(void *user)
{
    struct taker *t = user;
    return atomic_load(&t->waited) > 0;
}

/* ---- All are in use ------------------------------------------------------------------------- */

static void a_connection_that_is_given_back_goes_to_who_waits_for_it(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "1", NULL);
    struct coat_conn *conn = live_take(store, LONG_MS);
    struct taker t;
    int fd = conn->net.fd;
    start_taking(&t, store, LONG_MS);
    live_wait(waits, &t, "nobody waits for the connection");
    assert_int_equal(atomic_load(&t.done), 0);
    live_give(store, conn, 1);
    pthread_join(t.thread, NULL);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.conn->net.fd, fd);
    live_give(store, t.conn, 1);
    live_store_free(store);
}

/* Not merely when he looks again, which who waits does now and then. */
static void who_waits_is_woken(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "1", NULL);
    int woken = 0;
    for (int i = 0; i < 50 && !woken; i++) {
        struct coat_conn *conn = live_take(store, LONG_MS);
        struct taker t;
        start_taking(&t, store, LONG_MS);
        live_wait(waits, &t, "nobody waits for the connection");
        int looked = atomic_load(&t.waited);
        live_give(store, conn, 1);
        pthread_join(t.thread, NULL);
        woken = atomic_load(&t.waited) == looked;
        live_give(store, t.conn, 1);
    }
    assert_int_equal(woken, 1);
    live_store_free(store);
}

static void one_that_is_closed_makes_room_for_who_waits(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "1", NULL);
    long long id = id_of(store);
    struct coat_conn *conn = live_take(store, LONG_MS);
    struct taker t;
    start_taking(&t, store, LONG_MS);
    live_wait(waits, &t, "nobody waits for the connection");
    live_give(store, conn, 0);
    pthread_join(t.thread, NULL);
    assert_int_equal(t.rc, 0);
    live_give(store, t.conn, 1);
    assert_int_not_equal(id_of(store), id);
    live_store_free(store);
}

static void who_waits_in_vain_is_told_to_raise_max_connections(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "2", NULL);
    struct coat_conn *one = live_take(store, LONG_MS), *two = live_take(store, LONG_MS), *three;
    struct coat_error err;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_try_take(store, 300, &three, &err), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - start, 300, 300 + MARGIN_MS);
    assert_string_equal(err.reason, "pool");
    assert_string_equal(err.text,
                        "all 2 connections of the store stayed in use; raise max_connections");
    assert_null(three);
    live_give(store, one, 0);
    live_give(store, two, 1);
    live_store_free(store);
}

static void a_connect_that_fails_gives_its_place_back(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "1", NULL);
    struct simple_op s;
    live_server_kill(&server, 1);
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    live_server_again(&server, NULL);
    assert_int_equal(live_ask_until(store, "PING", &s), 0);
    live_store_free(store);
}

/* ---- Connecting ----------------------------------------------------------------------------- */

enum { TAKERS = 6, AT_A_TIME = 2 };

/* A server that greets nobody by itself, and a crowd that wants to connect to it. */
struct crowd {
    int listener;
    int fds[TAKERS]; /* of those who have come */
    struct coat_store *store;
    struct taker takers[TAKERS];
};

static int comes_within(int listener, int ms)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    return poll(&p, 1, ms);
}

static int admit(int listener)
{
    assert_int_equal(comes_within(listener, LONG_MS), 1);
    return accept(listener, NULL, NULL);
}

static int all_but_two_wait(void *user)
{
    struct crowd *c = user;
    int n = 0;
    for (int i = 0; i < TAKERS; i++)
        n += waits(&c->takers[i]);
    return n == TAKERS - AT_A_TIME;
}

/* Two of them are connecting, all others wait. */
static void gather(struct crowd *c)
{
    char url[64];
    int port;
    c->listener = live_listen(&port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    c->store = live_store_new(url, NULL);
    for (int i = 0; i < TAKERS; i++)
        start_taking(&c->takers[i], c->store, LONG_MS);
    for (int i = 0; i < AT_A_TIME; i++)
        c->fds[i] = admit(c->listener);
    live_wait(all_but_two_wait, c, "more than two connect, or fewer");
}

static void at_most_two_connect_at_once(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    for (int i = 0; i < TAKERS; i++) {
        if (i >= AT_A_TIME)
            c.fds[i] = admit(c.listener);
        fake_greet(c.fds[i]);
    }
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(c.takers[i].thread, NULL);
        assert_int_equal(c.takers[i].rc, 0);
        live_give(c.store, c.takers[i].conn, 1);
        close(c.fds[i]);
    }
    live_store_free(c.store);
    close(c.listener);
}

static void who_waits_while_two_connect_is_told_that_they_are_slow(void **state)
{
    (void)state;
    struct crowd c;
    struct coat_conn *conn;
    struct coat_error err;
    gather(&c);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_try_take(c.store, 200, &conn, &err), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - start, 200, 200 + MARGIN_MS);
    assert_string_equal(err.reason, "pool");
    assert_non_null(strstr(err.text, "while 2 others were connecting"));
    assert_null(conn);
    close(c.listener);
    for (int i = 0; i < AT_A_TIME; i++)
        close(c.fds[i]);
    for (int i = 0; i < TAKERS; i++)
        pthread_join(c.takers[i].thread, NULL);
    live_store_free(c.store);
}

static void when_a_connect_fails_those_who_wait_fail_too(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    int64_t start = coat_monotonic_ms();
    close(c.listener);
    for (int i = 0; i < AT_A_TIME; i++)
        close(c.fds[i]);
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(c.takers[i].thread, NULL);
        assert_int_equal(c.takers[i].rc, COAT_EUNAVAILABLE);
        assert_null(c.takers[i].conn);
    }
    assert_in_range(coat_monotonic_ms() - start, 0, AT_ONCE);
    live_store_free(c.store);
}

/* ---- A node that is down -------------------------------------------------------------------- */

static int listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* Tries until it is the one who may connect, and then until that has succeeded. */
static void *probe(void *arg)
{
    struct taker *t = arg;
    while ((t->rc = live_try_take(t->store, LONG_MS, &t->conn, &t->err)) == COAT_EUNAVAILABLE)
        poll(NULL, 0, 5);
    return NULL;
}

static void req_71_while_a_node_is_down_one_probes_and_others_fail_at_once(void **state)
{
    (void)state;
    char path[96], url[128];
    struct coat_conn *conn;
    struct coat_error err;
    snprintf(path, sizeof path, "%s/absent", server.dir);
    snprintf(url, sizeof url, "unix:%s", path);
    struct coat_store *store = live_store_new(url, NULL);
    assert_int_equal(live_try_take(store, LONG_MS, &conn, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "missing");
    struct taker prober = {.store = store};
    int listener = listen_at(path); /* which greets nobody yet: the probe takes its time */
    int64_t start = coat_monotonic_ms();
    assert_int_equal(pthread_create(&prober.thread, NULL, probe, &prober), 0);
    int fd = admit(listener);
    for (int i = 0; i < 100 && coat_monotonic_ms() < start + COAT_PROBE_MS / 2; i++) {
        assert_int_equal(live_try_take(store, LONG_MS, &conn, &err), COAT_EUNAVAILABLE);
        assert_string_equal(err.reason, "missing");
    }
    assert_in_range(coat_monotonic_ms() - start, 0, AT_ONCE);
    assert_int_equal(comes_within(listener, 0), 0);
    fake_greet(fd);
    pthread_join(prober.thread, NULL);
    assert_int_equal(prober.rc, 0);
    live_give(store, prober.conn, 1);
    assert_int_equal(live_try_take(store, LONG_MS, &conn, &err), 0);
    live_give(store, conn, 1);
    live_store_free(store);
    close(fd);
    close(listener);
    unlink(path);
}

static void a_node_that_is_down_does_not_keep_idle_connections_from_use(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct coat_error why;
    struct simple_op s;
    coat_trial trial;
    long long id = id_of(store);
    coat_error_because(&why, COAT_EUNAVAILABLE, "refused", "it was refused");
    assert_int_equal(coat_node_may_connect(live_node(store), &trial, NULL), 0);
    coat_node_connected(live_node(store), trial, COAT_EUNAVAILABLE, &why);
    assert_int_equal(live_ask(store, "CLIENT ID", &s), 0);
    assert_int_equal(s.integer, id);
    live_store_free(store);
}

/* ---- Connections that went bad while idle --------------------------------------------------- */

static void take_and_give_back(struct coat_store *store, int count)
{
    struct coat_conn *conns[8];
    for (int i = 0; i < count; i++)
        conns[i] = live_take(store, LONG_MS);
    for (int i = 0; i < count; i++)
        live_give(store, conns[i], 1);
}

static void req_62_connections_that_the_server_closed_are_noticed_at_the_next_call(void **state)
{
    (void)state;
    struct coat_store *admin = live_store_new(server.url, NULL);
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(admin, "PING", &s), 0);
    int before = live_descriptors(0);
    take_and_give_back(store, 3);
    assert_int_equal(live_descriptors(0), before + 3);
    assert_int_equal(live_ask(admin, "CLIENT KILL TYPE normal", &s), 0);
    assert_true(s.integer >= 3);
    assert_int_equal(live_ask(store, "ECHO again", &s), 0);
    assert_string_equal(s.text, "again");
    assert_int_equal(s.losses, 0);
    assert_int_equal(live_descriptors(0), before + 1);
    live_store_free(store);
    live_store_free(admin);
}

/* Only when it is told to, or that would be heard as a part of its greeting. */
static void chatter(struct fake_server *f, int fd, int nth)
{
    atomic_int *may_speak = f->arg;
    while (nth == 0 && !atomic_load(may_speak))
        poll(NULL, 0, 1);
    if (nth == 0)
        fake_say(fd, "+nobody asked\r\n");
    fake_wait_for_close(f, fd);
}

static void req_60_one_that_was_sent_something_unasked_is_not_handed_out(void **state)
{
    (void)state;
    atomic_int may_speak = 0;
    struct fake_server f = {.serve = chatter, .arg = &may_speak};
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, NULL);
    struct coat_conn *conn = live_take(store, LONG_MS);
    atomic_store(&may_speak, 1);
    struct pollfd p = {.fd = conn->net.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, LONG_MS), 1);
    live_give(store, conn, 1);
    conn = live_take(store, LONG_MS);
    assert_int_equal(atomic_load(&f.connections), 2);
    live_give(store, conn, 1);
    live_store_free(store);
    fake_stop(&f);
}

/* ---- Age ------------------------------------------------------------------------------------ */

static void sleep_ms(int ms)
{
    int64_t end = coat_monotonic_ms() + ms;
    for (int64_t now; (now = coat_monotonic_ms()) < end;)
        poll(NULL, 0, (int)(end - now));
}

static void one_that_lay_idle_for_max_idle_is_replaced(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_idle", "0.05", NULL);
    long long id = id_of(store);
    sleep_ms(50);
    assert_int_not_equal(id_of(store), id);
    live_store_free(store);
}

struct idler {
    struct coat_store *store;
    long long used; /* the connection that calls take */
    int most;       /* descriptors that were open */
};

static int fewer_are_open(void *user)
{
    struct idler *i = user;
    i->used = id_of(i->store);
    return live_descriptors(0) < i->most;
}

/* Nothing else would ever close what nobody needs any more after a rush. */
static void one_that_nobody_needs_is_closed_while_others_are_used(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_idle", "1", NULL);
    take_and_give_back(store, 2);
    int64_t start = coat_monotonic_ms();
    struct idler idler = {.store = store, .most = live_descriptors(0)};
    live_wait(fewer_are_open, &idler, "an idle connection is never closed");
    assert_true(coat_monotonic_ms() - start >= 900); /* at most a tenth earlier */
    live_store_free(store);
}

static int is_another(void *user)
{
    struct idler *i = user;
    return id_of(i->store) != i->used;
}

static void one_of_max_age_is_replaced_though_it_is_in_constant_use(void **state)
{
    (void)state;
    int64_t start = coat_monotonic_ms();
    struct coat_store *store = live_store_new(server.url, "max_age", "0.3", NULL);
    struct idler idler = {.store = store, .used = id_of(store)};
    live_wait(is_another, &idler, "an old connection is never replaced");
    assert_true(coat_monotonic_ms() - start >= 270); /* at most a tenth earlier */
    live_store_free(store);
}

static void one_that_grew_too_old_in_use_is_closed_when_it_is_given_back(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_age", "0.05", NULL);
    int before = live_descriptors(0);
    struct coat_conn *conn = live_take(store, LONG_MS);
    sleep_ms(50);
    assert_int_equal(live_descriptors(0), before + 1);
    live_give(store, conn, 1);
    assert_int_equal(live_descriptors(0), before);
    live_store_free(store);
}

/* ---- Dropping all --------------------------------------------------------------------------- */

static void a_node_that_is_dropped_closes_its_idle_connections(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    int before = live_descriptors(0);
    take_and_give_back(store, 3);
    coat_node_drop(live_node(store));
    assert_int_equal(live_descriptors(0), before);
    live_store_free(store);
}

static void a_node_that_was_dropped_takes_no_earlier_connection_back(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    int before = live_descriptors(0);
    unsigned generation = coat_node_generation(live_node(store));
    struct coat_conn *old = live_take(store, LONG_MS);
    coat_node_drop(live_node(store));
    struct coat_conn *later = live_take(store, LONG_MS);
    assert_int_equal(coat_node_generation(live_node(store)), generation + 1);
    live_give(store, old, 1);
    live_give(store, later, 1);
    assert_int_equal(live_descriptors(0), before + 1);
    live_store_free(store);
}

/* ---- fork() --------------------------------------------------------------------------------- */

static void req_63_a_child_has_all_places_though_its_parent_uses_them(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "max_connections", "1", NULL);
    long long mine = id_of(store);
    struct coat_conn *taken = live_take(store, LONG_MS);
    struct simple_op s;
    int status;
    pid_t child = fork();
    if (child == 0) {
        int rc = live_ask(store, "CLIENT ID", &s);
        _exit(rc != 0 || s.integer == mine);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    live_give(store, taken, 1);
    assert_int_equal(id_of(store), mine);
    live_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_is_given_back_goes_to_who_waits_for_it),
        cmocka_unit_test(who_waits_is_woken),
        cmocka_unit_test(one_that_is_closed_makes_room_for_who_waits),
        cmocka_unit_test(who_waits_in_vain_is_told_to_raise_max_connections),
        cmocka_unit_test(a_connect_that_fails_gives_its_place_back),
        cmocka_unit_test(at_most_two_connect_at_once),
        cmocka_unit_test(who_waits_while_two_connect_is_told_that_they_are_slow),
        cmocka_unit_test(when_a_connect_fails_those_who_wait_fail_too),
        cmocka_unit_test(req_71_while_a_node_is_down_one_probes_and_others_fail_at_once),
        cmocka_unit_test(a_node_that_is_down_does_not_keep_idle_connections_from_use),
        cmocka_unit_test(req_62_connections_that_the_server_closed_are_noticed_at_the_next_call),
        cmocka_unit_test(req_60_one_that_was_sent_something_unasked_is_not_handed_out),
        cmocka_unit_test(one_that_lay_idle_for_max_idle_is_replaced),
        cmocka_unit_test(one_that_nobody_needs_is_closed_while_others_are_used),
        cmocka_unit_test(one_of_max_age_is_replaced_though_it_is_in_constant_use),
        cmocka_unit_test(one_that_grew_too_old_in_use_is_closed_when_it_is_given_back),
        cmocka_unit_test(a_node_that_is_dropped_closes_its_idle_connections),
        cmocka_unit_test(a_node_that_was_dropped_takes_no_earlier_connection_back),
        cmocka_unit_test(req_63_a_child_has_all_places_though_its_parent_uses_them),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
