/* One pool, many threads, and fork(). Made to run under ThreadSanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/server.h"

#define THREADS 8
#define CALLS   300

/* ---- Threads -------------------------------------------------------------------------------- */

struct worker {
    struct coat_store *store;
    pthread_t thread;
    int number, calls;
    int wrong, unavailable;
};

/* What comes back must be what this thread asked for. */
static void *echo(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < w->calls; i++) {
        char words[64], want[32];
        struct simple_op s;
        snprintf(want, sizeof want, "%d-%d", w->number, i);
        snprintf(words, sizeof words, "PING | ECHO %s", want);
        int rc = live_ask(w->store, words, &s);
        if (rc == COAT_EUNAVAILABLE || rc == COAT_ETIMEOUT)
            w->unavailable++;
        else if (rc != 0 || strcmp(s.text, want) != 0)
            w->wrong++;
    }
    return NULL;
}

static void run_workers(struct worker *workers, struct coat_store *store, int calls)
{
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = store, .number = i, .calls = calls};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, echo, &workers[i]), 0);
    }
}

static void join_workers(struct worker *workers)
{
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

static void threads_share_fewer_connections_than_they_are(void **state)
{
    (void)state;
    static const char *const connections[] = {"1", "3", "8"};
    for (size_t c = 0; c < sizeof connections / sizeof connections[0]; c++) {
        struct coat_store *store =
            live_store_new(server.url, "timeout", "60", "max_connections", connections[c], NULL);
        struct worker workers[THREADS];
        run_workers(workers, store, CALLS);
        join_workers(workers);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(workers[i].wrong, 0);
            assert_int_equal(workers[i].unavailable, 0);
        }
        live_store_free(store);
    }
}

static void no_thread_gets_a_foreign_reply_while_servers_come_and_go(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "0.5", NULL);
    struct worker workers[THREADS];
    run_workers(workers, store, 20 * CALLS);
    for (int i = 0; i < 4; i++) {
        poll(NULL, 0, 30);
        live_server_kill(&server, 1);
        live_server_again(&server, NULL);
    }
    join_workers(workers);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].wrong, 0);
    struct simple_op s;
    assert_int_equal(live_ask_until(store, "PING", &s), 0);
    live_store_free(store);
}

/* ---- fork() --------------------------------------------------------------------------------- */

/* Whether `words` has the answer `want`; for a child, which must not return into cmocka. */
static int asks(struct coat_store *store, const char *words, const char *want)
{
    struct simple_op s;
    return live_ask(store, words, &s) == 0 && strcmp(s.text, want) == 0;
}

static long long client_id(struct coat_store *store)
{
    struct simple_op s;
    return live_ask(store, "CLIENT ID", &s) == 0 ? s.integer : -1;
}

/* 0 if the child ended with that, within the time; a child that hangs is killed. */
static int status_of(pid_t child)
{
    for (int ms = 0; ms < 20000; ms += 10) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
        poll(NULL, 0, 10);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 99;
}

static void req_63_parent_and_child_have_connections_of_their_own(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    long long mine = client_id(store);
    pid_t child = fork();
    if (child == 0) {
        int ok = client_id(store) != mine;
        for (int i = 0; i < 100; i++)
            ok = ok && asks(store, "ECHO child", "child");
        live_store_free(store);
        _exit(!ok);
    }
    for (int i = 0; i < 100; i++)
        assert_true(asks(store, "ECHO parent", "parent"));
    assert_int_equal(status_of(child), 0);
    assert_int_equal(client_id(store), mine);
    live_store_free(store);
}

static void req_63_a_child_that_only_closes_its_store_harms_no_parent(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    long long mine = client_id(store);
    pid_t child = fork();
    if (child == 0) {
        live_store_free(store);
        _exit(0);
    }
    assert_int_equal(status_of(child), 0);
    assert_int_equal(client_id(store), mine);
    live_store_free(store);
}

static void req_63_a_child_of_a_busy_parent_does_not_hang(void **state)
{
    (void)state;
    struct coat_store *store =
        live_store_new(server.url, "timeout", "30", "max_connections", "3", NULL);
    struct worker workers[THREADS];
    run_workers(workers, store, 5 * CALLS);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            int ok = 1;
            for (int j = 0; j < 10; j++)
                ok = ok && asks(store, "ECHO child", "child");
            _exit(!ok);
        }
        assert_int_equal(status_of(child), 0);
    }
    join_workers(workers);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].wrong + workers[i].unavailable, 0);
    live_store_free(store);
}

static void req_63_a_grandchild_has_its_own_too(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    long long mine = client_id(store);
    pid_t child = fork();
    if (child == 0) {
        long long childs = client_id(store);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            long long own = client_id(store);
            _exit(own < 0 || own == childs || own == mine);
        }
        _exit(status_of(grandchild) || client_id(store) != childs);
    }
    assert_int_equal(status_of(child), 0);
    live_store_free(store);
}

static void on_alarm(int number)
{
    (void)number;
}

/* A signal handler may fork while a call waits for its reply. */
static void req_63_a_call_under_way_stays_the_parents(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    struct coat_call call;
    struct simple_op s;
    char words[] = "ECHO parent";
    assert_true(client_id(store) > 0);
    simple_op_init(&s, words);
    live_server_freeze(&server);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    coat_call_init(&call, store, &s.op, 0);
    assert_int_equal(coat_call_run(&call, NULL), COAT_EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
    live_server_thaw(&server);
    pid_t child = fork();
    if (child == 0) {
        int rc = coat_call_run(&call, NULL);
        coat_call_release(&call);
        _exit(rc != COAT_EUNAVAILABLE || s.maybe_sent != 1 || strcmp(s.loss.reason, "fork") != 0 ||
              !asks(store, "ECHO child", "child"));
    }
    assert_int_equal(status_of(child), 0);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    assert_string_equal(s.text, "parent");
    coat_call_release(&call);
    live_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_fewer_connections_than_they_are),
        cmocka_unit_test(no_thread_gets_a_foreign_reply_while_servers_come_and_go),
        cmocka_unit_test(req_63_parent_and_child_have_connections_of_their_own),
        cmocka_unit_test(req_63_a_child_that_only_closes_its_store_harms_no_parent),
        cmocka_unit_test(req_63_a_child_of_a_busy_parent_does_not_hang),
        cmocka_unit_test(req_63_a_grandchild_has_its_own_too),
        cmocka_unit_test(req_63_a_call_under_way_stays_the_parents),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
