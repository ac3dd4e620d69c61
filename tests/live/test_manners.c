/* What the library never does to the program that it lives in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "live/bare_store.h"
#include "live/descriptors.h"
#include "live/fake.h"
#include "live/server.h"
#include "live/topologies.h"

/* ---- The wall clock ------------------------------------------------------------------------- */

/* The clock that the library sees: the wall clock jumps by an hour to and fro at each look. */
static atomic_int jumping;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME && atomic_load(&jumping))
        t->tv_sec += atomic_fetch_xor(&jumping, 2) & 2 ? 3600 : -3600;
    return (int)rc;
}

static void deadlines_do_not_follow_the_wall_clock(void **state)
{
    (void)state;
    struct coat_store *store =
        live_store_new(server.url, "timeout", "0.3", "max_connections", "1", NULL);
    struct coat_conn *taken = NULL;
    struct simple_op s;
    atomic_store(&jumping, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(live_ask(store, "PING", &s), 0);
    live_server_freeze(&server);
    int64_t start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    live_server_thaw(&server);
    assert_in_range(coat_monotonic_ms() - start, 290, 2300);
    taken = live_take(store, 5000);
    start = coat_monotonic_ms();
    assert_int_equal(live_ask(store, "PING", &s), COAT_ETIMEOUT);
    assert_in_range(coat_monotonic_ms() - start, 290, 2300);
    atomic_store(&jumping, 0);
    live_give(store, taken, 1);
    live_store_free(store);
}

/* ---- Signals -------------------------------------------------------------------------------- */

static void stay_silent(struct fake_server *f, int fd, int nth)
{
    (void)nth;
    fake_wait_for_close(f, fd);
}

/* In a child with the default action, which is to die. */
static void write_where_nobody_can_read(const char *url)
{
    struct coat_store *store = live_store_new(url, NULL);
    const struct coat_arg arg = {"PING", 4};
    const struct coat_command command = {.args = &arg, .count = 1};
    const struct coat_peer peer = {.address = store->options->connect.address,
                                   .connect = &store->options->connect};
    const struct coat_terms terms = {.deadline_ms = coat_monotonic_ms() + 5000,
                                     .connect_timeout_ms = 5000,
                                     .reply_bytes_max = 1 << 20};
    struct coat_conn conn;
    signal(SIGPIPE, SIG_DFL);
    coat_conn_init(&conn, &peer);
    int rc = coat_conn_open(&conn, &terms, NULL);
    shutdown(conn.net.fd, SHUT_WR); /* from here on writing is EPIPE */
    if (rc == 0)
        rc = coat_conn_send(&conn, &command, 1, &terms, NULL);
    coat_conn_close(&conn);
    live_store_free(store);
    _exit(rc != COAT_EUNAVAILABLE);
}

static void it_never_raises_sigpipe(void **state)
{
    (void)state;
    struct fake_server f = {.serve = stay_silent};
    int status;
    fake_start(&f);
    pid_t child = fork();
    if (child == 0)
        write_where_nobody_can_read(f.url);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fake_stop(&f);
}

static void use_everything(const char *where_nobody_is)
{
    struct simple_op s;
    struct coat_store *store = live_store_new(server.url, "timeout", "0.2", NULL);
    live_ask(store, "PING", &s);
    live_ask(store, "NO-SUCH-COMMAND", &s);
    live_server_freeze(&server);
    live_ask(store, "PING", &s);
    live_server_thaw(&server);
    live_store_free(store);
    store = live_store_new("unix:/tmp/no/such/socket", NULL);
    live_ask(store, "PING", &s);
    live_store_free(store);
    store = live_store_new(where_nobody_is, "timeout", "20", "connect_timeout", "10", NULL);
    live_ask(store, "PING", &s);
    live_store_free(store);
}

static void signal_handlers_and_the_mask_stay_as_they_are(void **state)
{
    (void)state;
    struct sigaction before[65], after;
    sigset_t mask_before, mask_after;
    memset(before, 0, sizeof before);
    for (int i = 1; i < 65; i++)
        sigaction(i, NULL, &before[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    use_everything("redis://localhost:1");
    for (int i = 1; i < 65; i++) {
        memset(&after, 0, sizeof after);
        sigaction(i, NULL, &after);
        assert_true(before[i].sa_handler == after.sa_handler);
        assert_int_equal(before[i].sa_flags, after.sa_flags);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int i = 1; i < 65; i++)
        assert_int_equal(sigismember(&mask_before, i), sigismember(&mask_after, i));
}

/* ---- Descriptors and output ------------------------------------------------------------------ */

static void no_descriptor_leaks_over_exec_or_at_all(void **state)
{
    (void)state;
    struct simple_op s;
    char words[] = "BLPOP nothing 1";
    int before = live_descriptors(0), inherited = live_descriptors(1);
    char socket[128];
    snprintf(socket, sizeof socket, "unix:%s", server.socket);
    struct coat_store *tcp = live_store_new(server.url, "timeout", "0.1", NULL);
    struct coat_store *local = live_store_new(socket, NULL);
    struct coat_conn *taken = NULL;
    assert_int_equal(live_ask(tcp, "PING", &s), 0);
    assert_int_equal(live_ask(local, "PING", &s), 0);
    taken = live_take(tcp, 1000);
    simple_op_init(&s, words);
    assert_int_equal(live_run(tcp, &s, NULL), COAT_ETIMEOUT);
    assert_int_equal(live_descriptors(1), inherited);
    assert_true(live_descriptors(0) > before);
    live_give(tcp, taken, 1);
    live_store_free(tcp);
    live_store_free(local);
    use_everything("redis://localhost:1");
    assert_int_equal(live_descriptors(0), before);
}

/* What such a program prints would otherwise go to the server, as commands. */
static void without_stdin_no_connection_takes_its_descriptor(void **state)
{
    (void)state;
    struct simple_op s;
    char socket[128];
    snprintf(socket, sizeof socket, "unix:%s", server.socket);
    int saved = dup(STDIN_FILENO);
    close(STDIN_FILENO);
    struct coat_store *tcp = live_store_new(server.url, NULL);
    struct coat_store *local = live_store_new(socket, NULL);
    int over_tcp = live_ask(tcp, "PING", &s), over_unix = live_ask(local, "PING", &s);
    int is_free = fcntl(STDIN_FILENO, F_GETFD) < 0;
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    assert_int_equal(over_tcp, 0);
    assert_int_equal(over_unix, 0);
    assert_true(is_free);
    live_store_free(tcp);
    live_store_free(local);
}

static void nothing_is_written_to_stdout_and_stderr(void **state)
{
    (void)state;
    int status;
    FILE *f = tmpfile();
    assert_non_null(f);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(f), 1);
        dup2(fileno(f), 2);
        /* ThreadSanitizer lets a child start no thread, as a name would. */
        use_everything("redis://127.0.0.1:1");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(lseek(fileno(f), 0, SEEK_END), 0);
    fclose(f);
}

/* ---- Stores that come and go, as scripts that are loaded again do --------------------------- */

/* Bytes of malloc() that are in use; the sanitizers have another one, and look for leaks. */
static size_t allocated(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#else
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
#endif
}

struct clients {
    struct coat_store *store; /* which is one of them */
    int most;
};

static int so_few_are_connected(void *user)
{
    static const char name[] = "connected_clients:";
    struct clients *c = user;
    struct simple_op s;
    assert_int_equal(live_ask(c->store, "INFO clients", &s), 0);
    const char *at = strstr(s.text, name);
    assert_non_null(at);
    return atoi(at + sizeof name - 1) <= c->most;
}

static void open_and_drop(const char *url, int count)
{
    for (int i = 0; i < count; i++) {
        struct simple_op s;
        struct coat_store *store = live_store_new(url, "timeout", "20", NULL);
        assert_int_equal(live_ask(store, "PING", &s), 0);
        live_store_free(store);
    }
}

static void ten_thousand_stores_leave_nothing_behind(void **state)
{
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "unix:%s", server.socket);
    struct clients clients = {live_store_new(url, "timeout", "20", NULL), 1};
    live_wait(so_few_are_connected, &clients, "earlier tests have connections still");
    open_and_drop(url, 100);
    int descriptors = live_descriptors(0);
    size_t bytes = allocated();
    open_and_drop(url, 10000);
    assert_int_equal(live_descriptors(0), descriptors);
    assert_true(allocated() <= bytes + (64 << 10));
    live_wait(so_few_are_connected, &clients, "stores that were closed are connected still");
    live_store_free(clients.store);
}

/* ---- Threads -------------------------------------------------------------------------------- */

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void an_address_starts_no_thread(void **state)
{
    (void)state;
    int before = threads();
    struct simple_op s;
    struct coat_store *store = live_store_new(server.url, NULL);
    assert_int_equal(live_ask(store, "PING", &s), 0);
    assert_int_equal(threads(), before);
    live_store_free(store);
}

static void the_thread_that_a_name_starts_ends(void **state)
{
    (void)state;
    int before = threads();
    char url[64];
    struct simple_op s;
    snprintf(url, sizeof url, "redis://localhost:%d", server.port);
    struct coat_store *store = live_store_new(url, "timeout", "20", "connect_timeout", "10", NULL);
    assert_int_equal(live_ask(store, "PING", &s), 0);
    for (int ms = 0; threads() != before && ms < 20000; ms++)
        poll(NULL, 0, 1);
    assert_int_equal(threads(), before);
    live_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_do_not_follow_the_wall_clock),
        cmocka_unit_test(it_never_raises_sigpipe),
        cmocka_unit_test(signal_handlers_and_the_mask_stay_as_they_are),
        cmocka_unit_test(no_descriptor_leaks_over_exec_or_at_all),
        cmocka_unit_test(without_stdin_no_connection_takes_its_descriptor),
        cmocka_unit_test(nothing_is_written_to_stdout_and_stderr),
        cmocka_unit_test(ten_thousand_stores_leave_nothing_behind),
        cmocka_unit_test(an_address_starts_no_thread),
        cmocka_unit_test(the_thread_that_a_name_starts_ends),
    };
    return cmocka_run_group_tests(tests, start_server_with_port, stop_server);
}
