/* The path from a call to a server and back, whatever the server does. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <poll.h>

#include <cmocka.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/fake.h"
#include "live/server.h"

#define MARGIN_MS 2000 /* for a busy machine, on top of a deadline */

/* ---- All is well ---------------------------------------------------------------------------- */

static void a_pipeline_gets_its_replies_in_order(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "SET a 1 | GET a | INCR a | PING", &s), 0);
    assert_int_equal(s.kind, COAT_REPLY_STATUS);
    assert_string_equal(s.text, "PONG");
    assert_int_equal(live_ask(store, "GET a", &s), 0);
    assert_string_equal(s.text, "2");
    assert_int_equal(live_ask(store, "NO-SUCH-COMMAND", &s), SIMPLE_ERROR_REPLY);
    assert_int_equal(live_ask(store, "GET nothing", &s), 0);
    assert_int_equal(s.kind, COAT_REPLY_NIL);
    live_store_free(store);
}

static void an_operation_is_told_the_wall_clock(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "PING", &s), 0);
    assert_true(s.now_ms > 1577836800000 && llabs(s.now_ms - coat_wall_ms()) < 60000);
    live_store_free(store);
}

static void unix_sockets_and_names_work_too(void **state)
{
    (void)state;
    char url[128];
    struct simple_op s;
    snprintf(url, sizeof url, "unix:%s?db=1", server.socket);
    struct coat_store *store = live_store_new(url, NULL);
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_store_free(store);
    snprintf(url, sizeof url, "redis://localhost:%d", server.port);
    store = live_store_new(url, "timeout", "5", "connect_timeout", "4", NULL);
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_store_free(store);
}

static void the_database_of_the_url_is_used(void **state)
{
    (void)state;
    char url[128];
    struct simple_op s;
    struct coat_store *zero = live_store_new(server.url, NULL);
    snprintf(url, sizeof url, "%s/3", server.url);
    struct coat_store *three = live_store_new(url, NULL);
    assert_int_equal(live_ask(three, "SET only-in-three 1", &s), 0);
    assert_int_equal(live_ask(zero, "EXISTS only-in-three", &s), 0);
    assert_int_equal(s.integer, 0);
    assert_int_equal(live_ask(three, "EXISTS only-in-three", &s), 0);
    assert_int_equal(s.integer, 1);
    live_store_free(zero);
    live_store_free(three);
}

static long long clients(struct coat_store *store)
{
    struct simple_op s;
    assert_int_equal(live_ask(store, "CLIENT ID", &s), 0);
    return s.integer;
}

static void calls_share_a_connection(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    long long id = clients(store);
    assert_int_equal(clients(store), id);
    live_store_free(store);
}

static void an_operation_can_have_its_connection_closed(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    long long id = clients(store);
    char words[] = "PING";
    struct simple_op s;
    simple_op_init(&s, words);
    s.close = 1;
    assert_int_equal(live_run(store, &s, NULL), 0);
    assert_int_not_equal(clients(store), id);
    live_store_free(store);
}

/* ---- Servers that come and go --------------------------------------------------------------- */

static void req_62_a_connection_that_died_while_idle_is_replaced(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    for (int hard = 0; hard < 2; hard++) {
        assert_int_equal(live_ask(store, "PING", &s), 0);
        live_server_kill(&server, hard);
        live_server_again(&server, NULL);
        assert_int_equal(live_ask(store, "PING", &s), 0);
        assert_int_equal(s.losses, 0);
    }
    live_store_free(store);
}

static void req_69_no_server_is_unavailable_and_final(void **state)
{
    (void)state;
    char url[64];
    struct simple_op s;
    int port, refusing = live_refuse(&port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    struct coat_store *store = live_store_new(url, NULL);
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    close(refusing);
    assert_string_equal(s.loss.reason, "refused");
    assert_non_null(strstr(s.loss.text, url + strlen("redis://")));
    assert_int_equal(s.maybe_sent, 0);
    assert_int_equal(s.final, 1);
    live_store_free(store);
    store = live_store_new("unix:/tmp/no/such/socket", NULL);
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    assert_string_equal(s.loss.reason, "missing");
    live_store_free(store);
}

static void a_socket_path_that_is_too_long_is_a_config_error(void **state)
{
    (void)state;
    char url[200] = "unix:/";
    memset(url + 6, 'a', 120);
    struct simple_op s;
    struct coat_store *store = live_store_new(url, NULL);
    assert_int_equal(live_ask(store, "PING", &s), COAT_ECONFIG);
    assert_int_equal(s.final, 1);
    live_store_free(store);
}

/* ---- Credentials ---------------------------------------------------------------------------- */

static void the_handshake_logs_in_or_says_why_not(void **state)
{
    (void)state;
    static const char *const more[] = {"--requirepass", "sesame", "--user", "bob",     "on",
                                       ">hunter2",      "~*",     "+@all",  "-select", NULL};
    static const struct {
        const char *userinfo, *db;
        int rc;
        const char *reason;
    } cases[] = {
        {":sesame@", "/0", 0, ""},
        {":sesame@", "/15", 0, ""},
        {"default:sesame@", "/2", 0, ""},
        {"bob:hunter2@", "", 0, ""},
        {":wrong@", "", COAT_EDENIED, "WRONGPASS"},
        {"bob:wrong@", "", COAT_EDENIED, "WRONGPASS"},
        {"nobody:sesame@", "", COAT_EDENIED, "WRONGPASS"},
        {"sesame@", "", COAT_EDENIED, "WRONGPASS"},
        {"", "/1", COAT_EDENIED, "NOAUTH"},
        {"bob:hunter2@", "/1", COAT_EDENIED, "NOPERM"},
        {":sesame@", "/16", COAT_ECONFIG, "db"},
    };
    struct live_server guarded;
    live_server_start(&guarded, 1, more);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[128];
        struct simple_op s;
        snprintf(url, sizeof url, "redis://%s127.0.0.1:%d%s", cases[i].userinfo, guarded.port,
                 cases[i].db);
        struct coat_store *store = live_store_new(url, NULL);
        int rc = live_ask(store, "PING", &s);
        if (rc != cases[i].rc || (rc && strcmp(s.loss.reason, cases[i].reason) != 0))
            fail_msg("%s: %d %s", url, rc, s.loss.text);
        if (rc) {
            assert_int_equal(s.final, 1);
            assert_int_equal(s.maybe_sent, 0);
            assert_null(strstr(s.loss.text, "sesame"));
            assert_null(strstr(s.loss.text, "wrong"));
        }
        live_store_free(store);
    }
    live_server_stop(&guarded);
}

static void a_password_for_a_server_without_one_is_denied(void **state)
{
    (void)state;
    char url[128];
    struct simple_op s;
    snprintf(url, sizeof url, "redis://:hunter2@127.0.0.1:%d", server.port);
    struct coat_store *store = live_store_new(url, NULL);
    assert_int_equal(live_ask(store, "PING", &s), COAT_EDENIED);
    live_store_free(store);
}

static void say_what_is_in_arg(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    if (fake_read_command(fd))
        fake_say(fd, f->arg);
    fake_wait_for_close(f, fd);
}

static void other_errors_of_a_handshake_keep_their_word_and_no_secret(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        int rc;
        const char *reason;
    } cases[] = {
        {"-ERR max number of clients reached\r\n", COAT_EUNAVAILABLE, "clients"},
        {"-ERR unknown command AUTH, args hunter2\r\n", COAT_EDENIED, "WRONGPASS"},
        {"-LOADING the data\r\n", COAT_EUNAVAILABLE, "LOADING"},
        {"-STRANGE hunter2\r\n", COAT_EUNAVAILABLE, "STRANGE"},
        {"-\r\n", COAT_EUNAVAILABLE, ""},
        {"+OK\r\n+OK\r\n+OK\r\n+OK\r\n$0\r\n\r\n+OK\r\n", COAT_EUNAVAILABLE, "protocol"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_server f = {
            .serve = say_what_is_in_arg, .arg = (void *)cases[i].says, .ungreeted = 1};
        struct simple_op s;
        fake_start(&f);
        struct coat_store *store = live_store_new(f.url, "password", "hunter2", NULL);
        int rc = live_ask(store, "PING", &s);
        if (rc != cases[i].rc || strcmp(s.loss.reason, cases[i].reason) != 0)
            fail_msg("%s: %d %s %s", cases[i].says, rc, s.loss.reason, s.loss.text);
        assert_null(strstr(s.loss.text, "hunter2"));
        live_store_free(store);
        fake_stop(&f);
    }
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

static void assert_took(int64_t start, int64_t least_ms, int64_t most_ms)
{
    int64_t took = coat_monotonic_ms() - start;
    if (took < least_ms || took > most_ms + MARGIN_MS)
        fail_msg("it took %lld ms, and should have taken %lld to %lld", (long long)took,
                 (long long)least_ms, (long long)most_ms);
}

static void req_71_a_stopped_server_ends_a_call_at_its_deadline(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "0.3", NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_server_freeze(&server);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_took(start, 290, 300);
    assert_int_equal(s.maybe_sent, 1);
    assert_int_equal(s.final, 1);
    live_server_thaw(&server);
    /* What was not read in time is on a connection that nobody uses any more. */
    assert_int_equal(live_ask(store, "ECHO mine", &s), 0);
    assert_string_equal(s.text, "mine");
    live_store_free(store);
}

static void stay_silent(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    fake_wait_for_close(f, fd);
}

static void req_71_connecting_has_at_most_its_own_part_of_the_time(void **state)
{
    (void)state;
    struct fake_server f = {.serve = stay_silent};
    struct simple_op s;
    fake_start(&f);
    struct coat_store *store =
        live_store_new(f.url, "timeout", "5", "connect_timeout", "0.2", "password", "x", NULL);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_took(start, 190, 200);
    assert_int_equal(s.final, 1);
    assert_int_equal(s.maybe_sent, 0);
    live_store_free(store);
    fake_stop(&f);
}

/* Connections that fill the backlog of a listener that accepts nobody. */
static void fill(int *fds, int n, const struct sockaddr *address, socklen_t len)
{
    for (int i = 0; i < n; i++) {
        fds[i] = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[i], address, len);
    }
}

static void empty(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void req_71_a_full_backlog_is_no_trap_on_tcp(void **state)
{
    (void)state;
    int port, fds[8];
    char url[64];
    struct simple_op s;
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int listener = live_listen(&port);
    listen(listener, 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    fill(fds, 8, (struct sockaddr *)&address, len);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    struct coat_store *store =
        live_store_new(url, "timeout", "0.3", "connect_timeout", "0.3", NULL);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_took(start, 290, 300);
    live_store_free(store);
    empty(fds, 8);
    close(listener);
}

struct unix_trap {
    int listener;
    int fds[8];
    char path[80], url[96];
};

static void set_trap(struct unix_trap *t)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(t->path, sizeof t->path, "%s/trap", server.dir);
    snprintf(t->url, sizeof t->url, "unix:%s", t->path);
    memcpy(a.sun_path, t->path, strlen(t->path) + 1);
    t->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(t->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(t->listener, 0), 0);
    fill(t->fds, 8, (struct sockaddr *)&a, sizeof a);
}

static void clear_trap(struct unix_trap *t)
{
    empty(t->fds, 8);
    close(t->listener);
    unlink(t->path);
}

static void req_71_a_full_backlog_is_no_trap_on_a_unix_socket(void **state)
{
    (void)state;
    struct unix_trap t;
    struct simple_op s;
    set_trap(&t);
    struct coat_store *store =
        live_store_new(t.url, "timeout", "0.3", "connect_timeout", "0.3", NULL);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_took(start, 290, 300);
    live_store_free(store);
    clear_trap(&t);
}

static void trickle(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    fake_read_command(fd);
    fake_say(fd, "$1000\r\n");
    while (!atomic_load(&f->stopping) && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
        poll(NULL, 0, 10);
}

static void req_71_a_trickle_of_bytes_does_not_move_the_deadline(void **state)
{
    (void)state;
    struct fake_server f = {.serve = trickle};
    struct simple_op s;
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, "timeout", "0.3", NULL);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_took(start, 290, 300);
    live_store_free(store);
    fake_stop(&f);
}

#define MUCH (100 * 1000) /* more than is read at once, less than a socket holds */

static void say_much(struct fake_server *f, int fd, int nth)
{
    static const char bytes[MUCH];
    (void)nth;
    fake_read_command(fd);
    fake_say(fd, "$100000\r\n");
    fake_write(fd, bytes, MUCH);
    fake_say(fd, "\r\n");
    fake_wait_for_close(f, fd);
}

/* The clock is looked at between two reads also where none of them has to wait. */
static void req_71_bytes_that_are_there_already_do_not_move_the_deadline(void **state)
{
    (void)state;
    struct fake_server f = {.serve = say_much};
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, NULL);
    struct coat_conn *conn = live_take(store, 5000);
    struct coat_arg words[] = {{"GET", 3}, {"k", 1}};
    const struct coat_command get = {.args = words, .count = 2};
    struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + 5000,
                               .reply_bytes_max = 1 << 20};
    const struct coat_reply *replies;
    size_t count;
    int there = 0;
    assert_int_equal(coat_conn_send(conn, &get, 1, &terms, NULL), 0);
    while (there < MUCH && coat_monotonic_ms() < terms.deadline_ms)
        assert_int_equal(ioctl(conn->net.fd, FIONREAD, &there), 0);
    terms.deadline_ms = coat_monotonic_ms();
    assert_int_equal(coat_conn_read(conn, &terms, &replies, &count, NULL), COAT_ETIMEOUT);
    assert_int_equal(conn->state, COAT_CONN_CLOSED);
    live_give(store, conn, 0);
    live_store_free(store);
    fake_stop(&f);
}

static void answer_for_ever(struct fake_server *f, int fd, int nth)
{
    (void)f, (void)nth;
    while (fake_read_command(fd))
        fake_say(fd, "+OK\r\n");
}

static void req_71_the_deadline_holds_for_all_steps_together(void **state)
{
    (void)state;
    struct fake_server f = {.serve = answer_for_ever};
    struct simple_op s;
    char words[] = "PING";
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, "timeout", "0.2", NULL);
    simple_op_init(&s, words);
    s.steps = 1000000000;
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_run(store, &s, NULL), COAT_ETIMEOUT);
    assert_took(start, 190, 200);
    assert_int_equal(s.final, 1);
    live_store_free(store);
    fake_stop(&f);
}

static void close_at_once(struct fake_server *f, int fd, int nth)
{
    (void)f, (void)nth;
    fake_read_command(fd);
}

static void req_71_repeating_for_ever_ends_at_the_deadline(void **state)
{
    (void)state;
    struct fake_server f = {.serve = close_at_once};
    struct simple_op s;
    char words[] = "PING";
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, "timeout", "0.2", NULL);
    simple_op_init(&s, words);
    s.repeats = 1000000000;
    int64_t start = coat_monotonic_ms();
    int rc = live_run(store, &s, NULL);
    assert_true(rc == COAT_ETIMEOUT || rc == COAT_EUNAVAILABLE);
    assert_took(start, 190, 200);
    assert_int_equal(s.final, 1);
    live_store_free(store);
    fake_stop(&f);
}

static void stubborn_step(struct coat_op *op, const struct coat_event *event,
                          struct coat_step *step, struct coat_error *err)
{
    (void)event, (void)err;
    struct simple_op *s = (struct simple_op *)op;
    *step = (struct coat_step){.kind = COAT_STEP_SEND, .commands = s->commands, .count = 1};
}

static void an_operation_that_goes_on_after_the_end_is_stopped(void **state)
{
    (void)state;
    struct simple_op s;
    struct coat_error err;
    char words[] = "PING";
    struct coat_store *store = live_store_new("unix:/tmp/no/such/socket", NULL);
    simple_op_init(&s, words);
    s.op.step = stubborn_step;
    assert_int_equal(live_run(store, &s, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "missing");
    live_store_free(store);
}

/* ---- Replies that are cut, doubled, foreign ------------------------------------------------- */

static const char WHOLE_REPLY[] = "*2\r\n$5\r\nhello\r\n:42\r\n";

struct cut {
    size_t bytes;
};

/* The first connection is cut after so many bytes of the reply, the next one is whole. */
static void cut_the_first(struct fake_server *f, int fd, int nth)
{
    const struct cut *cut = f->arg;
    if (!fake_read_command(fd))
        return;
    fake_write(fd, WHOLE_REPLY, nth == 0 ? cut->bytes : sizeof WHOLE_REPLY - 1);
    if (nth > 0)
        fake_wait_for_close(f, fd);
}

static void req_60_a_reply_that_is_cut_anywhere_is_lost_and_may_be_asked_for_again(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof WHOLE_REPLY - 1; bytes++) {
        struct cut cut = {bytes};
        struct fake_server f = {.serve = cut_the_first, .arg = &cut};
        struct simple_op s;
        char words[] = "GET x";
        fake_start(&f);
        struct coat_store *store = live_store_new(f.url, NULL);
        simple_op_init(&s, words);
        s.repeats = 1;
        assert_int_equal(live_run(store, &s, NULL), 0);
        assert_int_equal(s.losses, 1);
        assert_int_equal(s.maybe_sent, 1);
        assert_int_equal(s.final, 0);
        assert_int_equal(s.why, COAT_EUNAVAILABLE);
        assert_int_equal(s.kind, COAT_REPLY_ARRAY);
        assert_int_equal(atomic_load(&f.connections), 2);
        live_store_free(store);
        fake_stop(&f);
    }
}

static void req_60_garbage_is_lost_and_its_connection_closed(void **state)
{
    (void)state;
    static const char *const says[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02",
                                       "+OK\r\n+OK\r\n", "$-7\r\n", "*1000000000\r\n"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        struct fake_server f = {.serve = say_what_is_in_arg, .arg = (void *)says[i]};
        struct simple_op s;
        fake_start(&f);
        struct coat_store *store = live_store_new(f.url, NULL);
        assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
        assert_string_equal(s.loss.reason, "protocol");
        assert_int_equal(s.maybe_sent, 1);
        assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
        assert_int_equal(atomic_load(&f.connections), 2);
        live_store_free(store);
        fake_stop(&f);
    }
}

/* Answers the first command twice, the second time a little later. */
static void say_it_twice(struct fake_server *f, int fd, int nth)
{
    char reply[32];
    while (fake_read_command(fd)) {
        snprintf(reply, sizeof reply, "$1\r\n%d\r\n", nth);
        fake_say(fd, reply);
        poll(NULL, 0, 50);
        if (nth == 0)
            fake_say(fd, reply);
    }
    fake_wait_for_close(f, fd);
}

static void pause_between_steps(struct coat_op *op, const struct coat_event *event,
                                struct coat_step *step, struct coat_error *err)
{
    struct simple_op plain;
    char words[] = "x";
    if (event->kind == COAT_EVENT_REPLIES)
        poll(NULL, 0, 200);
    simple_op_init(&plain, words);
    plain.op.step(op, event, step, err);
}

static void req_60_a_doubled_reply_does_not_answer_the_next_step(void **state)
{
    (void)state;
    struct fake_server f = {.serve = say_it_twice};
    struct simple_op s;
    char words[] = "GET x";
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, NULL);
    simple_op_init(&s, words);
    s.op.step = pause_between_steps;
    s.steps = 2;
    assert_int_equal(live_run(store, &s, NULL), 0);
    assert_int_equal(s.losses, 0);
    assert_string_equal(s.text, "1"); /* from the second connection */
    live_store_free(store);
    fake_stop(&f);
}

static void req_60_a_doubled_reply_does_not_answer_the_next_call(void **state)
{
    (void)state;
    struct fake_server f = {.serve = say_it_twice};
    struct simple_op s;
    fake_start(&f);
    struct coat_store *store = live_store_new(f.url, NULL);
    assert_int_equal(live_ask(store, "GET x", &s), 0);
    poll(NULL, 0, 200);
    assert_int_equal(live_ask(store, "GET x", &s), 0);
    assert_string_equal(s.text, "1");
    live_store_free(store);
    fake_stop(&f);
}

/* ---- The connection by itself --------------------------------------------------------------- */

static void nothing_was_sent_if_the_first_byte_could_not_be(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    const struct coat_arg arg = {"PING", 4};
    const struct coat_command command = {.args = &arg, .count = 1};
    struct coat_conn conn;
    struct coat_error err;
    const struct coat_peer peer = {.address = store->options->connect.address,
                                   .connect = &store->options->connect};
    const struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + 5000,
                                     .connect_timeout_ms = 5000,
                                     .reply_bytes_max = 1 << 20};
    coat_conn_init(&conn, &peer);
    assert_int_equal(coat_conn_open(&conn, &terms, &err), 0);
    assert_int_equal(coat_conn_usable(&conn), 1);
    shutdown(conn.net.fd, SHUT_WR);
    assert_int_equal(coat_conn_send(&conn, &command, 1, &terms, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "closed");
    assert_int_equal(conn.sent, 0);
    assert_int_equal(conn.state, COAT_CONN_CLOSED);
    assert_int_equal(coat_conn_usable(&conn), 0);
    coat_conn_close(&conn);
    live_store_free(store);
}

/* ---- Signals -------------------------------------------------------------------------------- */

static void on_alarm(int number)
{
    (void)number;
}

static int catch_alarms(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm};
    return sigaction(SIGALRM, &action, NULL);
}

static int thaw(void **state)
{
    (void)state;
    live_server_thaw(&server);
    return 0;
}

/* Every 50 ms: one that comes while nobody waits is lost. */
static void alarms(int on)
{
    struct itimerval often = {0};
    often.it_value.tv_usec = often.it_interval.tv_usec = on ? 50000 : 0;
    setitimer(ITIMER_REAL, &often, NULL);
}

static void assert_interrupted(struct coat_call *call)
{
    struct coat_error err;
    alarms(1);
    int rc = coat_call_run(call, &err);
    alarms(0);
    assert_int_equal(rc, COAT_EINTR);
    assert_int_equal(err.code, COAT_EINTR);
}

static void a_signal_interrupts_the_wait_for_a_reply_and_the_call_goes_on(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    struct coat_call call;
    struct coat_error err;
    struct simple_op s;
    char words[] = "ECHO again";
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_server_freeze(&server);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 3; i++) {
        assert_interrupted(&call);
    }
    live_server_thaw(&server);
    assert_int_equal(coat_call_run(&call, &err), 0);
    assert_int_equal(coat_call_run(&call, &err), 0); /* done stays done */
    assert_int_equal(s.sends, 1);
    assert_string_equal(s.text, "again");
    coat_call_release(&call);
    live_store_free(store);
}

static void a_signal_interrupts_sending_and_the_call_goes_on(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "timeout", "10", NULL);
    struct coat_call call;
    struct simple_op s;
    const size_t len = (size_t)16 << 20;
    char *big = calloc(1, len);
    char words[] = "SETRANGE big 0 value | STRLEN big | DEL big";
    assert_int_equal(live_ask(store, "PING", &s), 0);
    simple_op_init(&s, words);
    s.args[0][3] = (struct coat_arg){big, len};
    live_server_freeze(&server);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 2; i++) {
        assert_interrupted(&call);
    }
    assert_true(call.conn->sent > 0 && call.conn->sent < len);
    live_server_thaw(&server);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    assert_int_equal(s.sends, 1);
    assert_int_equal(s.integer, 1);
    coat_call_release(&call);
    live_store_free(store);
    free(big);
}

static void a_signal_interrupts_the_handshake_and_the_call_goes_on(void **state)
{
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "%s/2", server.url);
    struct coat_store *store = live_store_new(url, "timeout", "10", "connect_timeout", "9", NULL);
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING";
    live_server_freeze(&server);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 2; i++) {
        assert_interrupted(&call);
    }
    live_server_thaw(&server);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    coat_call_release(&call);
    live_store_free(store);
}

static void a_signal_interrupts_connecting_and_the_call_goes_on(void **state)
{
    (void)state;
    struct unix_trap t;
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING", bytes[64];
    set_trap(&t);
    struct coat_store *store = live_store_new(t.url, "timeout", "10", "connect_timeout", "9", NULL);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 2; i++) {
        assert_interrupted(&call);
    }
    empty(t.fds, 8); /* those in the backlog are accepted, closed, and make room */
    int fd;
    while ((fd = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        close(fd);
        struct pollfd p = {.fd = t.listener, .events = POLLIN};
        if (poll(&p, 1, 0) == 0)
            break;
    }
    assert_interrupted(&call); /* now it waits for the replies to its greeting */
    fd = accept(t.listener, NULL, NULL);
    fake_greet(fd);
    assert_interrupted(&call); /* and now for that to its own command */
    assert_true(read(fd, bytes, sizeof bytes) > 0);
    fake_say(fd, "+PONG\r\n");
    assert_int_equal(coat_call_run(&call, NULL), 0);
    assert_string_equal(s.text, "PONG");
    coat_call_release(&call);
    live_store_free(store);
    close(fd);
    close(t.listener);
    unlink(t.path);
}

static void req_60_a_call_that_is_given_up_leaves_no_reply_behind(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, NULL);
    struct simple_op s;
    struct coat_call call;
    long long id = clients(store);
    char words[] = "BLPOP nothing 1";
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    assert_interrupted(&call);
    coat_call_release(&call);
    coat_call_release(&call);
    assert_int_not_equal(clients(store), id);
    live_store_free(store);
}

static void a_wait_for_a_connection_lets_signals_be_seen_and_goes_on(void **state)
{
    (void)state;
    struct coat_store *store =
        live_store_new(server.url, "timeout", "10", "max_connections", "1", NULL);
    struct coat_call call;
    struct coat_conn *taken = NULL;
    struct simple_op s;
    char words[] = "PING";
    taken = live_take(store, 5000);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    for (int i = 0; i < 2; i++) {
        int64_t start = coat_monotonic_ms();
        assert_int_equal(coat_call_run(&call, NULL), COAT_EINTR);
        assert_took(start, 0, 200);
    }
    live_give(store, taken, 1);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    coat_call_release(&call);
    live_store_free(store);
}

/* ---- Brief waits ----------------------------------------------------------------------------- */

static void a_brief_run_opens_no_connection(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "spin_us", "1000", NULL);
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING";
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    assert_int_equal(coat_call_run_briefly(&call, NULL), COAT_EINTR);
    assert_null(call.conn);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    coat_call_release(&call);
    assert_int_equal(s.sends, 1);
    live_store_free(store);
}

static void a_brief_run_on_an_idle_connection_can_be_enough(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "spin_us", "1000", NULL);
    struct simple_op s;
    int seen = 0;
    assert_int_equal(live_ask(store, "PING", &s), 0);
    for (int i = 0; i < 5000 && !seen; i++) {
        struct coat_call call;
        char words[] = "PING";
        simple_op_init(&s, words);
        coat_call_init(&call, store, &s.op, 0);
        seen = coat_call_run_briefly(&call, NULL) == 0;
        if (!seen) /* on a busy machine; one that is given up would take its connection along */
            assert_int_equal(coat_call_run(&call, NULL), 0);
        coat_call_release(&call);
    }
    assert_int_equal(seen, 1);
    assert_string_equal(s.text, "PONG");
    live_store_free(store);
}

static void a_brief_run_ends_soon_and_the_call_goes_on(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "spin_us", "1000", "timeout", "10", NULL);
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING";
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_server_freeze(&server);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(coat_call_run_briefly(&call, NULL), COAT_EINTR);
    assert_took(start, 0, 2);
    live_server_thaw(&server);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    coat_call_release(&call);
    assert_int_equal(s.sends, 1);
    assert_string_equal(s.text, "PONG");
    live_store_free(store);
}

static void without_spin_us_nothing_is_done_briefly(void **state)
{
    (void)state;
    struct coat_store *store = live_store_new(server.url, "spin_us", "0", NULL);
    struct coat_call call;
    struct simple_op s;
    char words[] = "PING";
    assert_int_equal(live_ask(store, "PING", &s), 0);
    simple_op_init(&s, words);
    coat_call_init(&call, store, &s.op, 0);
    assert_int_equal(coat_call_run_briefly(&call, NULL), COAT_EINTR);
    assert_int_equal(s.sends, 0);
    assert_int_equal(coat_call_run(&call, NULL), 0);
    coat_call_release(&call);
    live_store_free(store);
}

#define INTERRUPTED(f) cmocka_unit_test_setup_teardown(f, catch_alarms, thaw)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_gets_its_replies_in_order),
        cmocka_unit_test(a_brief_run_opens_no_connection),
        cmocka_unit_test(a_brief_run_on_an_idle_connection_can_be_enough),
        cmocka_unit_test_teardown(a_brief_run_ends_soon_and_the_call_goes_on, thaw),
        cmocka_unit_test(without_spin_us_nothing_is_done_briefly),
        cmocka_unit_test(an_operation_is_told_the_wall_clock),
        cmocka_unit_test(unix_sockets_and_names_work_too),
        cmocka_unit_test(the_database_of_the_url_is_used),
        cmocka_unit_test(calls_share_a_connection),
        cmocka_unit_test(an_operation_can_have_its_connection_closed),
        cmocka_unit_test(req_62_a_connection_that_died_while_idle_is_replaced),
        cmocka_unit_test(req_69_no_server_is_unavailable_and_final),
        cmocka_unit_test(a_socket_path_that_is_too_long_is_a_config_error),
        cmocka_unit_test(the_handshake_logs_in_or_says_why_not),
        cmocka_unit_test(a_password_for_a_server_without_one_is_denied),
        cmocka_unit_test(other_errors_of_a_handshake_keep_their_word_and_no_secret),
        cmocka_unit_test(req_71_a_stopped_server_ends_a_call_at_its_deadline),
        cmocka_unit_test(req_71_connecting_has_at_most_its_own_part_of_the_time),
        cmocka_unit_test(req_71_a_full_backlog_is_no_trap_on_tcp),
        cmocka_unit_test(req_71_a_full_backlog_is_no_trap_on_a_unix_socket),
        cmocka_unit_test(req_71_a_trickle_of_bytes_does_not_move_the_deadline),
        cmocka_unit_test(req_71_bytes_that_are_there_already_do_not_move_the_deadline),
        cmocka_unit_test(req_71_the_deadline_holds_for_all_steps_together),
        cmocka_unit_test(req_71_repeating_for_ever_ends_at_the_deadline),
        cmocka_unit_test(an_operation_that_goes_on_after_the_end_is_stopped),
        cmocka_unit_test(req_60_a_reply_that_is_cut_anywhere_is_lost_and_may_be_asked_for_again),
        cmocka_unit_test(req_60_garbage_is_lost_and_its_connection_closed),
        cmocka_unit_test(req_60_a_doubled_reply_does_not_answer_the_next_step),
        cmocka_unit_test(req_60_a_doubled_reply_does_not_answer_the_next_call),
        INTERRUPTED(req_60_a_call_that_is_given_up_leaves_no_reply_behind),
        cmocka_unit_test(nothing_was_sent_if_the_first_byte_could_not_be),
        INTERRUPTED(a_signal_interrupts_the_wait_for_a_reply_and_the_call_goes_on),
        INTERRUPTED(a_signal_interrupts_sending_and_the_call_goes_on),
        INTERRUPTED(a_signal_interrupts_the_handshake_and_the_call_goes_on),
        INTERRUPTED(a_signal_interrupts_connecting_and_the_call_goes_on),
        cmocka_unit_test(a_wait_for_a_connection_lets_signals_be_seen_and_goes_on),
    };
    return cmocka_run_group_tests(tests, start_server_with_port, stop_server);
}
