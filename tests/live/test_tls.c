/* TLS, against a real server, and through a relay that trickles and cuts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/certs.h"
#include "live/fake.h"
#include "live/server.h"

#define MARGIN_MS 2000 /* for a busy machine, on top of a deadline */

static char certs[LIVE_CERTS_MAX];
static int port; /* with TLS, of the server */

/* ---- Server and certificates ---------------------------------------------------------------- */

/* The path of a file that certs.sh has made. Four at a time. */
static const char *cert(const char *name)
{
    static char paths[4][LIVE_CERTS_MAX + 16];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", certs, name);
    return path;
}

static const char *const *server_args(const char *name, const char *auth_clients)
{
    static char number[8], crt[LIVE_CERTS_MAX + 16], key[LIVE_CERTS_MAX + 16];
    static const char *args[] = {
        "--tls-port",
        number,
        "--tls-cert-file",
        crt,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        NULL,
        "--tls-auth-clients",
        NULL,
        NULL,
    };
    static char ca[LIVE_CERTS_MAX + 16];
    snprintf(number, sizeof number, "%d", port);
    snprintf(crt, sizeof crt, "%s/%s.crt", certs, name);
    snprintf(key, sizeof key, "%s/%s.key", certs, name);
    snprintf(ca, sizeof ca, "%s/ca.crt", certs);
    args[7] = ca;
    args[9] = auth_clients;
    return args;
}

static int start(void **state)
{
    (void)state;
    if (live_certs_make(certs) != 0)
        return -1;
    close(live_listen(&port));
    live_server_start(&server, 1, server_args("server", "no"));
    return 0;
}

static int stop(void **state)
{
    stop_server(state);
    return live_certs_remove(certs);
}

static void serve_as(const char *name, const char *auth_clients)
{
    live_server_kill(&server, 0);
    live_server_again(&server, server_args(name, auth_clients));
}

/* ---- Stores --------------------------------------------------------------------------------- */

/* At `host`, which trusts the tests' authority, with one more option. */
static struct coat_store *store_at(const char *host, int at, const char *name, const char *value)
{
    char url[128];
    snprintf(url, sizeof url, "rediss://%s:%d", host, at);
    return live_store_new(url, "timeout", "10", "connect_timeout", "9", "tls_ca_file",
                          cert("ca.crt"), name, value, NULL);
}

static void assert_works(struct coat_store *store)
{
    struct simple_op s;
    int rc = live_ask(store, "PING", &s);
    if (rc < 0)
        fail_msg("%s: %s", s.loss.reason, s.loss.text);
    live_store_free(store);
}

static void assert_fails(struct coat_store *store, int code, const char *reason, const char *text)
{
    struct simple_op s;
    int rc = live_ask(store, "PING", &s);
    if (rc != code || strcmp(s.loss.reason, reason) != 0 || !strstr(s.loss.text, text))
        fail_msg("%d, %s: %s", rc, s.loss.reason, s.loss.text);
    assert_int_equal(ERR_peek_error(), 0);
    live_store_free(store);
}

/* ---- Whom it trusts ------------------------------------------------------------------------- */

static void a_server_with_the_right_certificate_is_used(void **state)
{
    (void)state;
    assert_works(store_at("localhost", port, NULL, NULL));
    assert_works(store_at("127.0.0.1", port, NULL, NULL));
    assert_works(store_at("127.0.0.1", port, "tls_server_name", "localhost."));
    assert_works(store_at("localhost", port, "tls_min_version", "1.3"));
    assert_works(store_at("localhost", port, "tls_ca_dir", cert("ca")));
}

static void a_directory_of_authorities_is_enough(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "rediss://localhost:%d", port);
    assert_works(live_store_new(url, "timeout", "10", "tls_ca_dir", cert("ca"), NULL));
}

static void without_an_authority_it_is_the_systems(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "rediss://localhost:%d", port);
    assert_fails(live_store_new(url, "timeout", "10", NULL), COAT_EUNAVAILABLE, "ca",
                 "tls_ca_file");
    setenv("SSL_CERT_FILE", cert("ca.crt"), 1);
    assert_works(live_store_new(url, "timeout", "10", NULL));
    unsetenv("SSL_CERT_FILE");
}

static void req_66_another_server_name_is_refused(void **state)
{
    (void)state;
    assert_fails(store_at("localhost", port, "tls_server_name", "other.example"), COAT_EUNAVAILABLE,
                 "name", "other.example");
    assert_fails(store_at("127.0.0.1", port, "tls_server_name", "127.0.0.2"), COAT_EUNAVAILABLE,
                 "name", "127.0.0.2");
    serve_as("other", "no");
    assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "name",
                 "tls_server_name");
    assert_fails(store_at("127.0.0.1", port, NULL, NULL), COAT_EUNAVAILABLE, "name", "127.0.0.1");
    assert_works(store_at("127.0.0.1", port, "tls_server_name", "other.example"));
    serve_as("bare", "no");
    assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "name",
                 "subjectAltName");
    serve_as("server", "no");
}

static void req_66_an_unknown_authority_is_refused(void **state)
{
    (void)state;
    serve_as("stranger", "no");
    assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "ca", "tls_ca_file");
    serve_as("self", "no");
    assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "ca", "tls_ca_file");
    serve_as("server", "no");
}

static void req_66_an_expired_certificate_is_refused(void **state)
{
    (void)state;
    serve_as("expired", "no");
    assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "expired", "renew");
    serve_as("server", "no");
}

static void say_no(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    fake_say(fd, "-ERR Protocol error\r\n");
    fake_wait_for_close(f, fd);
}

static void req_66_a_port_without_tls_is_refused(void **state)
{
    (void)state;
    struct fake_server f = {.serve = say_no, .ungreeted = 1};
    fake_start(&f);
    assert_fails(store_at("localhost", f.port, NULL, NULL), COAT_EUNAVAILABLE, "plaintext",
                 "use its port for TLS");
    fake_stop(&f);
}

/* It takes our greeting for the beginning of a long command, and waits for the rest. */
static void req_66_a_redis_without_tls_is_refused(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "rediss://localhost:%d", server.port);
    assert_fails(live_store_new(url, "timeout", "0.4", "tls_ca_file", cert("ca.crt"), NULL),
                 COAT_ETIMEOUT, "timeout", "is this its port for TLS?");
}

static void a_url_without_tls_at_a_port_with_it_fails_with_advice(void **state)
{
    (void)state;
    char url[64];
    struct simple_op s;
    snprintf(url, sizeof url, "redis://localhost:%d", port);
    struct coat_store *store = live_store_new(url, "timeout", "10", NULL);
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    assert_non_null(strstr(s.loss.text, "rediss://"));
    live_store_free(store);
}

static void req_66_an_older_version_of_tls_is_refused(void **state)
{
    (void)state;
    const char *const *args = server_args("server", "no");
    const char *old[16] = {"--tls-protocols", "TLSv1.2"};
    size_t n = 2;
    while (*args)
        old[n++] = *args++;
    live_server_kill(&server, 0);
    live_server_again(&server, old);
    assert_works(store_at("localhost", port, NULL, NULL));
    assert_fails(store_at("localhost", port, "tls_min_version", "1.3"), COAT_EUNAVAILABLE,
                 "protocol", "tls_min_version");
    serve_as("server", "no");
}

/* ---- Who we are ----------------------------------------------------------------------------- */

static struct coat_store *store_with(const char *certificate, const char *key, const char *password)
{
    char url[64];
    snprintf(url, sizeof url, "rediss://localhost:%d", port);
    return live_store_new(url, "timeout", "10", "connect_timeout", "9", "tls_ca_file",
                          cert("ca.crt"), "tls_cert_file", certificate, "tls_key_file", key,
                          "tls_key_password", password, NULL);
}

static void a_server_that_wants_our_certificate_gets_it(void **state)
{
    (void)state;
    serve_as("server", "yes");
    assert_works(store_with(cert("client.crt"), cert("client.key"), ""));
    assert_works(store_with(cert("client.pem"), "", ""));
    assert_works(store_with(cert("client.crt"), cert("locked.key"), "secret"));
}

static void req_66_a_server_that_refuses_us_is_told_from_others(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_fails(store_at("localhost", port, NULL, NULL), COAT_EUNAVAILABLE, "client",
                     "tls_cert_file");
    assert_fails(store_with(cert("stranger.crt"), cert("stranger.key"), ""), COAT_EUNAVAILABLE,
                 "client", "tls_cert_file");
    serve_as("server", "no");
}

static void wrong_files_are_told_apart(void **state)
{
    (void)state;
    const char *no = cert("nothing"), *pem = cert("client.crt"), *locked = cert("locked.key");
    assert_fails(store_at("localhost", port, "tls_ca_file", no), COAT_ECONFIG, "file",
                 "does not exist");
    assert_fails(store_at("localhost", port, "tls_ca_file", certs), COAT_ECONFIG, "file",
                 "no regular file");
    assert_fails(store_at("localhost", port, "tls_ca_file", locked), COAT_ECONFIG, "file",
                 "no certificates");
    assert_fails(store_at("localhost", port, "tls_ca_dir", pem), COAT_ECONFIG, "file",
                 "no directory");
    assert_fails(store_with(cert("client.key"), "", ""), COAT_ECONFIG, "file", "no certificate");
    assert_fails(store_with(cert("client.crt"), "", ""), COAT_ECONFIG, "file", "no private key");
    assert_fails(store_with(cert("client.crt"), cert("server.key"), ""), COAT_ECONFIG, "key",
                 "does not belong");
    assert_fails(store_with(cert("client.crt"), cert("locked.key"), ""), COAT_ECONFIG, "password",
                 "no tls_key_password is set");
    assert_fails(store_with(cert("client.crt"), cert("locked.key"), "wr0ng"), COAT_ECONFIG,
                 "password", "does not open it");
}

/* It has a socket, but no descriptor for the file. */
static void a_file_that_this_process_cannot_open_for_now_says_nothing_of_the_server(void **state)
{
    (void)state;
    struct rlimit limit, few;
    struct simple_op s;
    struct coat_store *store = store_at("127.0.0.1", port, NULL, NULL);
    int lowest = dup(STDIN_FILENO);
    assert_true(lowest >= 0 && close(lowest) == 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){(rlim_t)lowest + 1, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int rc = live_ask(store, "PING", &s);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, COAT_EUNAVAILABLE);
    assert_string_equal(s.loss.reason, "descriptors");
    assert_non_null(strstr(s.loss.text, "option tls_ca_file"));
    assert_int_equal(live_ask(store, "PING", &s), 0); /* at once: it does not count as down */
    live_store_free(store);
}

static void a_pipe_in_the_place_of_a_file_is_no_trap(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(cert("pipe"), 0600), 0);
    assert_fails(store_at("localhost", port, "tls_ca_file", cert("pipe")), COAT_ECONFIG, "file",
                 "no regular file");
}

static void files_are_read_again_for_each_connection(void **state)
{
    (void)state;
    struct simple_op s;
    assert_int_equal(symlink(cert("ca2.crt"), cert("now.crt")), 0);
    struct coat_store *store = store_at("localhost", port, "tls_ca_file", cert("now.crt"));
    assert_int_equal(live_ask(store, "PING", &s), COAT_EUNAVAILABLE);
    assert_int_equal(unlink(cert("now.crt")), 0);
    assert_int_equal(symlink(cert("ca.crt"), cert("now.crt")), 0);
    assert_int_equal(live_ask_until(store, "PING", &s), 0);
    live_store_free(store);
}

/* ---- A connection in use -------------------------------------------------------------------- */

static long long client_id(struct coat_store *store)
{
    struct simple_op s;
    assert_int_equal(live_ask(store, "CLIENT ID", &s), 0);
    assert_int_equal(s.losses, 0);
    return s.integer;
}

static void tickets_after_the_handshake_do_not_cost_the_connection(void **state)
{
    (void)state;
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    long long id = client_id(store);
    for (int i = 0; i < 10; i++)
        assert_int_equal(client_id(store), id);
    live_store_free(store);
}

static void tickets_that_wait_to_be_read_are_no_words_of_the_server(void **state)
{
    (void)state;
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    struct coat_conn *conn = live_take(store, 10000);
    struct pollfd p = {.fd = conn->net.fd, .events = POLLIN};
    poll(&p, 1, 1000);
    assert_int_equal(coat_conn_usable(conn), 1);
    live_server_kill(&server, 1);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(coat_conn_usable(conn), 0);
    live_give(store, conn, 0);
    live_store_free(store);
    live_server_again(&server, server_args("server", "no"));
}

static void req_62_a_server_that_ended_is_noticed_before_anything_is_sent(void **state)
{
    (void)state;
    for (int hard = 0; hard < 2; hard++) {
        struct coat_store *store = store_at("localhost", port, NULL, NULL);
        client_id(store);
        live_server_kill(&server, hard);
        live_server_again(&server, server_args("server", "no"));
        client_id(store);
        live_store_free(store);
    }
}

static void req_63_a_child_closes_without_a_word(void **state)
{
    (void)state;
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    long long id = client_id(store);
    pid_t child = fork();
    if (child == 0) {
        struct simple_op s;
        int ok = live_ask(store, "CLIENT ID", &s) == 0 && s.integer != id;
        live_store_free(store);
        _exit(!ok);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(client_id(store), id);
    live_store_free(store);
}

static void a_server_that_ended_raises_no_signal(void **state)
{
    (void)state;
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    struct coat_arg ping = {"PING", 4};
    struct coat_command command = {.args = &ping, .count = 1};
    struct coat_conn *conn = live_take(store, 10000);
    struct coat_error err;
    const struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + 10000,
                                     .connect_timeout_ms = 10000,
                                     .reply_bytes_max = 1 << 20};
    signal(SIGPIPE, SIG_DFL);
    live_server_kill(&server, 1);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 1000; i++) {
        conn->state = COAT_CONN_READY; /* as if nobody read the replies */
        rc = coat_conn_send(conn, &command, 1, &terms, &err);
    }
    assert_int_equal(rc, COAT_EUNAVAILABLE);
    live_give(store, conn, 0);
    live_store_free(store);
    live_server_again(&server, server_args("server", "no"));
}

static void errors_of_others_are_not_taken_for_ours(void **state)
{
    (void)state;
    ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    struct simple_op s;
    assert_int_equal(live_ask(store, "PING", &s), 0);
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
    assert_int_equal(live_ask(store, "PING", &s), 0);
    live_store_free(store);
}

static void a_megabyte_goes_there_and_back(void **state)
{
    (void)state;
    static char value[1 << 20];
    struct coat_store *store = store_at("localhost", port, NULL, NULL);
    struct simple_op s;
    char words[] = "ECHO x";
    memset(value, 'v', sizeof value);
    simple_op_init(&s, words);
    s.args[0][1] = (struct coat_arg){value, sizeof value};
    assert_int_equal(live_run(store, &s, NULL), 0);
    assert_int_equal(s.kind, COAT_REPLY_BULK);
    live_store_free(store);
}

static void *ask_often(void *arg)
{
    struct simple_op s;
    long failures = 0;
    for (int i = 0; i < 200; i++)
        failures += live_ask(arg, "PING", &s) != 0;
    return (void *)failures;
}

static void many_threads_use_it(void **state)
{
    (void)state;
    struct coat_store *store = store_at("localhost", port, "max_connections", "3");
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, store), 0);
    for (int i = 0; i < 8; i++) {
        void *failures;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    live_store_free(store);
}

/* ---- A relay that trickles and cuts ---------------------------------------------------------- */

struct relay {
    struct fake_server fake;
    size_t at_once;        /* bytes; 0: as many as come */
    atomic_int cuts;       /* connections to be cut from now on */
    atomic_long cut_at;    /* after so many bytes ... */
    int cut_theirs;        /* ... of the server's; 0: of ours */
    atomic_long passed[2]; /* bytes of ours, of the server's, on the last connection */
};

static int connect_to(int to)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)to),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        abort();
    return fd;
}

/* 0: the end of the connection. */
static int pass_on(struct relay *r, int from, int to, int theirs, int cutting)
{
    char bytes[4096];
    size_t most = r->at_once ? r->at_once : sizeof bytes;
    if (cutting && theirs == r->cut_theirs) {
        long left = atomic_load(&r->cut_at) - atomic_load(&r->passed[theirs]);
        if (left <= 0)
            return 0;
        most = (size_t)left < most ? (size_t)left : most;
    }
    ssize_t n = recv(from, bytes, most, 0);
    if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
        return 0;
    atomic_fetch_add(&r->passed[theirs], n);
    return 1;
}

static void relay(struct fake_server *f, int fd, int nth)
{
    struct relay *r = f->arg;
    int upstream = connect_to(port), open = 1, on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int cutting = atomic_load(&r->cuts) > 0;
    if (cutting)
        atomic_fetch_sub(&r->cuts, 1);
    (void)nth;
    atomic_store(&r->passed[0], 0);
    atomic_store(&r->passed[1], 0);
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = upstream, .events = POLLIN}};
    while (open && !atomic_load(&f->stopping)) {
        if (poll(p, 2, 20) <= 0)
            continue;
        if (p[0].revents)
            open = pass_on(r, fd, upstream, 0, cutting);
        if (open && p[1].revents)
            open = pass_on(r, upstream, fd, 1, cutting);
        if (cutting && atomic_load(&r->passed[r->cut_theirs]) >= atomic_load(&r->cut_at))
            open = 0;
    }
    close(upstream);
}

static void relay_start(struct relay *r)
{
    r->fake.serve = relay;
    r->fake.ungreeted = 1;
    r->fake.arg = r;
    fake_start(&r->fake);
}

static void on_alarm(int number)
{
    (void)number;
}

static void one_byte_at_a_time_is_enough_whatever_signals_come(void **state)
{
    (void)state;
    struct relay r = {.at_once = 1};
    struct sigaction action = {.sa_handler = on_alarm}, former;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    relay_start(&r);
    struct coat_store *store = store_at("localhost", r.fake.port, NULL, NULL);
    sigaction(SIGALRM, &action, &former);
    setitimer(ITIMER_REAL, &often, NULL);
    struct simple_op s;
    int rc = live_ask(store, "PING", &s);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &former, NULL);
    assert_int_equal(rc, 0);
    live_store_free(store);
    fake_stop(&r.fake);
}

static void cut_at(struct relay *r, long at)
{
    struct coat_store *store = store_at("localhost", r->fake.port, NULL, NULL);
    struct simple_op s;
    atomic_store(&r->cut_at, at);
    atomic_store(&r->cuts, 1);
    int64_t begin = coat_monotonic_ms();
    int rc = live_ask(store, "PING", &s);
    /* Where the reply was through, nothing was lost. */
    if (rc != COAT_EUNAVAILABLE && !(r->cut_theirs && rc == 0))
        fail_msg("cut after %ld: %d %s", at, rc, s.loss.text);
    assert_in_range(coat_monotonic_ms() - begin, 0, 9000);
    assert_int_equal(ERR_peek_error(), 0);
    live_store_free(store);
    if (rc < 0) /* by another store, for this one fails at once for a moment */
        assert_works(store_at("localhost", r->fake.port, NULL, NULL));
}

static void cut_everywhere(int theirs)
{
    struct relay r = {.cut_theirs = theirs};
    relay_start(&r);
    assert_works(store_at("localhost", r.fake.port, NULL, NULL));
    long bytes = atomic_load(&r.passed[theirs]);
    assert_true(bytes > 200);
    for (long at = 0; at < bytes; at++)
        cut_at(&r, at);
    fake_stop(&r.fake);
}

static void req_60_a_cut_after_any_byte_of_the_server_is_unavailable(void **state)
{
    (void)state;
    cut_everywhere(1);
}

static void req_60_a_cut_after_any_byte_of_ours_is_unavailable(void **state)
{
    (void)state;
    cut_everywhere(0);
}

static void say_nothing(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    fake_wait_for_close(f, fd);
}

static void req_71_a_server_that_is_silent_in_the_handshake_is_left_in_time(void **state)
{
    (void)state;
    struct fake_server f = {.serve = say_nothing, .ungreeted = 1};
    struct simple_op s;
    char url[64];
    fake_start(&f);
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d", f.port);
    struct coat_store *store = live_store_new(url, "timeout", "0.3", NULL);
    int64_t begin = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - begin, 140, 300 + MARGIN_MS);
    assert_non_null(strstr(s.loss.text, "TLS handshake"));
    assert_int_equal(s.maybe_sent, 0);
    live_store_free(store);
    fake_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_with_the_right_certificate_is_used),
        cmocka_unit_test(a_directory_of_authorities_is_enough),
        cmocka_unit_test(without_an_authority_it_is_the_systems),
        cmocka_unit_test(req_66_another_server_name_is_refused),
        cmocka_unit_test(req_66_an_unknown_authority_is_refused),
        cmocka_unit_test(req_66_an_expired_certificate_is_refused),
        cmocka_unit_test(req_66_a_port_without_tls_is_refused),
        cmocka_unit_test(req_66_a_redis_without_tls_is_refused),
        cmocka_unit_test(a_url_without_tls_at_a_port_with_it_fails_with_advice),
        cmocka_unit_test(req_66_an_older_version_of_tls_is_refused),
        cmocka_unit_test(a_server_that_wants_our_certificate_gets_it),
        cmocka_unit_test(req_66_a_server_that_refuses_us_is_told_from_others),
        cmocka_unit_test(wrong_files_are_told_apart),
        cmocka_unit_test(a_file_that_this_process_cannot_open_for_now_says_nothing_of_the_server),
        cmocka_unit_test(a_pipe_in_the_place_of_a_file_is_no_trap),
        cmocka_unit_test(files_are_read_again_for_each_connection),
        cmocka_unit_test(tickets_after_the_handshake_do_not_cost_the_connection),
        cmocka_unit_test(tickets_that_wait_to_be_read_are_no_words_of_the_server),
        cmocka_unit_test(req_62_a_server_that_ended_is_noticed_before_anything_is_sent),
        cmocka_unit_test(req_63_a_child_closes_without_a_word),
        cmocka_unit_test(a_server_that_ended_raises_no_signal),
        cmocka_unit_test(errors_of_others_are_not_taken_for_ours),
        cmocka_unit_test(a_megabyte_goes_there_and_back),
        cmocka_unit_test(many_threads_use_it),
        cmocka_unit_test(one_byte_at_a_time_is_enough_whatever_signals_come),
        cmocka_unit_test(req_60_a_cut_after_any_byte_of_the_server_is_unavailable),
        cmocka_unit_test(req_60_a_cut_after_any_byte_of_ours_is_unavailable),
        cmocka_unit_test(req_71_a_server_that_is_silent_in_the_handshake_is_left_in_time),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
