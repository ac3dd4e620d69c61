/* One pool, many threads, and fork(). Made to run under ThreadSanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "coatcheck.h"
#include "live/bare_store.h"
#include "live/descriptors.h"
#include "live/server.h"
#include "live/topologies.h"

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

/* ---- A storm -------------------------------------------------------------------------------- */

/*
 * Every thread loads and saves sessions of its own while connections are killed, and the server is
 * stopped for a while or killed and started anew. COAT_TEST_OPERATIONS says how many loads and
 * saves have to be answered in each thread.
 */
enum {
    OPERATIONS = 2000,
    SESSIONS = 4, /* of each thread */
    STORM_CONNECTIONS = 4,
    STORM_TIMEOUT_MS = 100,
    STORM_MARGIN_MS = 250,
};

struct storm {
    struct coat_store *store, *admin;
    long operations;
    atomic_int restarts; /* counted before the server is killed */
    atomic_int is_over;  /* each fault has come at least once */
    atomic_int riding;   /* threads that are not done */
    atomic_int failed;
    unsigned first_seed, seed;
    int kills, freezes;
    int64_t delay_ms; /* by which the machine woke the main thread too late, at its worst */
};

struct storm_session {
    char id[64]; /* "": there is none */
    int restarts;
    unsigned acknowledged, attempted; /* numbers in it */
};

struct rider {
    struct storm *storm;
    pthread_t thread;
    int number;
    struct storm_session sessions[SESSIONS];
    long answered, unavailable, uncertain, ended;
    int schedstat; /* of this thread, or -1 */
    int64_t longest_ms;
    char wrong[400]; /* why the test fails */
};

static void note_wrong(struct rider *r, const char *what, int rc, const struct coat_error *err)
{
    snprintf(r->wrong, sizeof r->wrong, "%s: %d %s", what, rc, rc < 0 ? err->text : "");
    atomic_store(&r->storm->failed, 1);
}

/* Whose session it is, and the number of its last save, as a text. */
static void put_tag(struct coat_session *s, int thread, int session, unsigned n)
{
    char tag[32];
    int len = snprintf(tag + 1, sizeof tag - 1, "%d/%d/%u", thread, session, n);
    tag[0] = (char)(0xa0 | len);
    if (coat_doc_set(coat_session_doc(s), "tag", 3, tag, (size_t)len + 1, NULL) < 0)
        abort();
}

static int has_tag(struct coat_session *s, int thread, int session, unsigned *n)
{
    const void *bytes;
    size_t len;
    char tag[32] = "";
    int of_thread, of_session;
    if (coat_doc_get(coat_session_doc(s), "tag", 3, &bytes, &len) != 1 || len > sizeof tag)
        return 0;
    memcpy(tag, (const char *)bytes + 1, len - 1);
    return sscanf(tag, "%d/%d/%u", &of_thread, &of_session, n) == 3 && of_thread == thread &&
           of_session == session;
}

/* A failure that faults of the server explain: 1, after a moment, as nobody tries at once again. */
static int is_excused(struct rider *r, int rc)
{
    if (rc != COAT_EUNAVAILABLE && rc != COAT_ETIMEOUT && rc != COAT_EUNCERTAIN)
        return 0;
    r->unavailable += rc != COAT_EUNCERTAIN;
    r->uncertain += rc == COAT_EUNCERTAIN;
    poll(NULL, 0, 1);
    return 1;
}

/* A server that was started anew knows no sessions; no other has a right to say so. */
static void note_end(struct rider *r, struct storm_session *l)
{
    if (l->restarts == atomic_load(&r->storm->restarts))
        note_wrong(r, "a session has vanished", 0, NULL);
    l->id[0] = '\0';
    r->ended++;
}

static void save(struct rider *r, struct storm_session *l, struct coat_session *s)
{
    struct coat_error err;
    put_tag(s, r->number, (int)(l - r->sessions), ++l->attempted);
    int rc = coat_session_save(s, &err);
    if (rc == 0) {
        l->acknowledged = l->attempted;
        r->answered++;
    } else if (rc == COAT_EGONE) {
        note_end(r, l);
    } else if (!is_excused(r, rc)) {
        note_wrong(r, "a save", rc, &err);
    }
}

static void create(struct rider *r, struct storm_session *l)
{
    struct coat_session *s;
    if (coat_session_new(r->storm->store, &s, NULL) < 0)
        abort();
    *l = (struct storm_session){.restarts = atomic_load(&r->storm->restarts)};
    save(r, l, s);
    if (l->acknowledged)
        snprintf(l->id, sizeof l->id, "%s", coat_session_id(s));
    coat_session_close(s);
}

/* 1: it is the thread's own, as it was saved last. */
static int load(struct rider *r, struct storm_session *l, struct coat_session **s)
{
    struct coat_error err;
    unsigned n;
    int rc = coat_store_load(r->storm->store, l->id, s, &err);
    if (rc == 0)
        note_end(r, l);
    else if (rc < 0 && !is_excused(r, rc))
        note_wrong(r, "a load", rc, &err);
    else if (rc > 1 || (rc == 1 && !has_tag(*s, r->number, (int)(l - r->sessions), &n)))
        note_wrong(r, "a session of another", rc, &err);
    else if (rc == 1 && (n < l->acknowledged || n > l->attempted))
        note_wrong(r, "not what was saved last", rc, &err);
    r->answered += rc >= 0;
    return rc == 1;
}

/* How long this thread has waited so far for a processor that others had, where Linux tells. */
static int64_t starved_ms(const struct rider *r)
{
    char text[64];
    long long ns = 0;
    ssize_t n = r->schedstat < 0 ? -1 : pread(r->schedstat, text, sizeof text - 1, 0);
    if (n > 0) {
        text[n] = '\0';
        sscanf(text, "%*s %lld", &ns);
    }
    return ns / 1000000;
}

/* The clock of a thread stands still while the machine lets it starve. */
static int64_t own_ms(const struct rider *r)
{
    return coat_monotonic_ms() - starved_ms(r);
}

static void note_time(struct rider *r, int64_t *since_ms)
{
    int64_t now = own_ms(r);
    if (now - *since_ms > r->longest_ms)
        r->longest_ms = now - *since_ms;
    *since_ms = now;
}

static void *ride(void *arg)
{
    struct rider *r = arg;
    struct storm *storm = r->storm;
    r->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; r->answered < storm->operations || !atomic_load(&storm->is_over); i++) {
        struct storm_session *l = &r->sessions[i % SESSIONS];
        struct coat_session *s = NULL;
        int64_t since = own_ms(r);
        if (atomic_load(&storm->failed))
            break;
        if (!l->id[0]) {
            create(r, l);
        } else if (load(r, l, &s) && i % 3 == 0) {
            note_time(r, &since);
            save(r, l, s);
        }
        note_time(r, &since);
        coat_session_close(s);
    }
    if (r->schedstat >= 0)
        close(r->schedstat);
    atomic_fetch_sub(&storm->riding, 1);
    return NULL;
}

static int between(struct storm *storm, int least, int most)
{
    return least + rand_r(&storm->seed) % (most - least + 1);
}

/*
 * In short pieces, to see how late it wakes up: the whole machine may stand still, or a thread may
 * starve that the others wait for.
 */
static void pause_storm(struct storm *storm, int ms)
{
    int64_t now = coat_monotonic_ms(), end = now + ms;
    while (now < end) {
        int64_t before = now;
        poll(NULL, 0, 2);
        now = coat_monotonic_ms();
        if (now - before - 2 > storm->delay_ms)
            storm->delay_ms = now - before - 2;
    }
}

static void strike(struct storm *storm, int fault)
{
    struct simple_op s;
    pause_storm(storm, between(storm, 20, 120));
    switch (fault) {
    case 0:
        live_ask_until(storm->admin, "CLIENT KILL TYPE normal", &s);
        storm->kills++;
        break;
    case 1:
        live_server_freeze(&server);
        pause_storm(storm, between(storm, 50, 300));
        live_server_thaw(&server);
        storm->freezes++;
        break;
    default:
        atomic_fetch_add(&storm->restarts, 1);
        live_server_kill(&server, 1);
        live_server_again(&server, NULL);
    }
}

/* As long as it takes, and each fault at least once. */
static void storm_until_all_are_done(struct storm *storm)
{
    for (int fault = 0; fault < 3; fault++)
        strike(storm, fault);
    atomic_store(&storm->is_over, 1);
    while (atomic_load(&storm->riding) > 0)
        strike(storm, between(storm, 0, 2));
}

static void print_storm(const struct storm *storm, const struct rider *sum)
{
    print_message(
        "# %d threads, %ld loads and saves answered; unavailable %ld, uncertain %ld; "
        "connections killed %d times, server stopped %d times, killed %d times with %ld "
        "sessions; the longest call took %lld ms of %d, the machine's own delay was %lld; seed %u\n",
        THREADS, sum->answered, sum->unavailable, sum->uncertain, storm->kills, storm->freezes,
        atomic_load(&storm->restarts), sum->ended, (long long)sum->longest_ms, STORM_TIMEOUT_MS,
        (long long)storm->delay_ms, storm->first_seed);
}

static void reckon(const struct storm *storm, const struct rider *riders)
{
    struct rider sum = {0};
    for (int i = 0; i < THREADS; i++) {
        const struct rider *r = &riders[i];
        sum.answered += r->answered;
        sum.unavailable += r->unavailable;
        sum.uncertain += r->uncertain;
        sum.ended += r->ended;
        if (r->longest_ms > sum.longest_ms)
            sum.longest_ms = r->longest_ms;
        if (r->wrong[0])
            memcpy(sum.wrong, r->wrong, sizeof sum.wrong);
    }
    print_storm(storm, &sum);
    if (sum.wrong[0])
        fail_msg("%s", sum.wrong);
    assert_in_range(sum.longest_ms, 0, STORM_TIMEOUT_MS + STORM_MARGIN_MS + storm->delay_ms);
}

static int only_these_are_connected(void *user)
{
    static const char name[] = "connected_clients:";
    struct storm *storm = user;
    struct simple_op s;
    assert_int_equal(live_ask(storm->admin, "INFO clients", &s), 0);
    const char *at = strstr(s.text, name);
    assert_non_null(at);
    return atoi(at + sizeof name - 1) <= 1 + STORM_CONNECTIONS;
}

/* All places can be taken, and neither side has more connections than these. */
static void assert_nothing_is_lost(struct storm *storm, int descriptors)
{
    struct coat_conn *conns[STORM_CONNECTIONS];
    for (int i = 0; i < STORM_CONNECTIONS; i++)
        conns[i] = live_take(storm->store, 60000);
    assert_int_equal(live_descriptors(0), descriptors + STORM_CONNECTIONS);
    live_wait(only_these_are_connected, storm, "more connections are open than can be used");
    for (int i = 0; i < STORM_CONNECTIONS; i++)
        live_give(storm->store, conns[i], 1);
}

static void threads_get_their_own_sessions_or_errors_in_time_whatever_servers_do(void **state)
{
    (void)state;
    static struct rider riders[THREADS];
    const char *wanted = getenv("COAT_TEST_OPERATIONS");
    struct simple_op s;
    struct storm storm = {
        .operations = wanted ? atol(wanted) : OPERATIONS,
        .riding = THREADS,
        .first_seed = (unsigned)coat_monotonic_ms(),
        .admin = live_store_new(server.url, "timeout", "20", NULL),
        .store = live_store_new(server.url, "timeout", "0.1", "max_connections", "4", NULL),
    };
    storm.seed = storm.first_seed;
    assert_int_equal(live_ask(storm.admin, "PING", &s), 0);
    int descriptors = live_descriptors(0);
    for (int i = 0; i < THREADS; i++) {
        riders[i] = (struct rider){.storm = &storm, .number = i};
        assert_int_equal(pthread_create(&riders[i].thread, NULL, ride, &riders[i]), 0);
    }
    storm_until_all_are_done(&storm);
    for (int i = 0; i < THREADS; i++)
        pthread_join(riders[i].thread, NULL);
    reckon(&storm, riders);
    assert_int_equal(live_ask_until(storm.admin, "PING", &s), 0);
    assert_nothing_is_lost(&storm, descriptors);
    live_store_free(storm.store);
    assert_int_equal(live_descriptors(0), descriptors);
    live_store_free(storm.admin);
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
        cmocka_unit_test(threads_get_their_own_sessions_or_errors_in_time_whatever_servers_do),
        cmocka_unit_test(req_63_parent_and_child_have_connections_of_their_own),
        cmocka_unit_test(req_63_a_child_that_only_closes_its_store_harms_no_parent),
        cmocka_unit_test(req_63_a_child_of_a_busy_parent_does_not_hang),
        cmocka_unit_test(req_63_a_grandchild_has_its_own_too),
        cmocka_unit_test(req_63_a_call_under_way_stays_the_parents),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
