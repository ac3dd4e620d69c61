/* The sessions of a principal, on one server and on a cluster, where each lives on a node of its
 * own and their index on another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coatcheck.h"
#include "live/open_store.h"
#include "live/server.h"
#include "live/topologies.h"

static struct live_cluster cluster;

static const char *const *urls(void)
{
    static const char *both[3];
    both[0] = server.url;
    both[1] = cluster.url;
    return both;
}

/* Ids, of which the sessions are closed. */
struct held {
    char id[44], public_id[13];
};

static int log_in(struct coat_store *store, const char *principal, struct held *held)
{
    struct coat_session *s;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    assert_int_equal(coat_doc_set(coat_session_doc(s), "device", 6, "\xa3mac", 4, NULL), 0);
    assert_int_equal(coat_session_login(s, principal, NULL, 0, NULL), 0);
    int rc = coat_session_save(s, NULL);
    if (rc == 0) {
        snprintf(held->id, sizeof held->id, "%s", coat_session_id(s));
        snprintf(held->public_id, sizeof held->public_id, "%s", coat_session_public_id(s));
    }
    coat_session_close(s);
    return rc;
}

static int works(struct coat_store *store, const struct held *held)
{
    struct coat_session *s;
    int rc = coat_store_load(store, held->id, &s, NULL);
    coat_session_close(s);
    assert_true(rc >= 0);
    return rc == 1;
}

static size_t count(struct coat_store *store, const char *principal)
{
    struct coat_session_list *list;
    assert_int_equal(coat_store_sessions(store, principal, &list, NULL), 0);
    size_t n = coat_session_list_count(list);
    coat_session_list_free(list);
    return n;
}

static int is_listed(const struct coat_session_list *list, const struct held *held)
{
    for (size_t i = 0; i < coat_session_list_count(list); i++) {
        const struct coat_session_info *info = coat_session_list_get(list, i);
        if (strcmp(info->public_id, held->public_id) == 0)
            return coat_doc_count(info->shown) == 1 && info->deadline_ms > info->created_ms;
    }
    return 0;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

enum { MANY = 30 };

static void sessions_are_listed_and_ended(struct coat_store *store)
{
    struct coat_session_list *list;
    struct held held[MANY], other;
    int index_lost;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(log_in(store, "user:42", &held[i]), 0);
    assert_int_equal(log_in(store, "user:7", &other), 0);

    assert_int_equal(coat_store_sessions(store, "user:42", &list, NULL), 0);
    assert_int_equal(coat_session_list_count(list), MANY);
    for (int i = 0; i < MANY; i++)
        assert_true(is_listed(list, &held[i]));
    coat_session_list_free(list);

    assert_int_equal(coat_store_destroy_one(store, "user:42", other.public_id, NULL), 0);
    assert_int_equal(coat_store_destroy_one(store, "user:42", held[0].public_id, NULL), 1);
    assert_int_equal(works(store, &held[0]), 0);
    assert_int_equal(coat_store_destroy(store, held[1].id, NULL), 1);
    assert_int_equal(count(store, "user:42"), MANY - 2);
    assert_int_equal(coat_store_destroy_all(store, "user:42", held[5].public_id, &index_lost, NULL),
                     MANY - 3);
    assert_int_equal(index_lost, 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(works(store, &held[i]), i == 5);
    assert_int_equal(coat_store_destroy_all(store, "user:42", NULL, NULL, NULL), 1);
    assert_int_equal(count(store, "user:42"), 0);
    assert_int_equal(works(store, &other), 1);
    assert_int_equal(coat_store_destroy_all(store, "user:7", NULL, NULL, NULL), 1);
}

static void req_26_sessions_are_listed_and_ended_one_by_one_and_all(void **state)
{
    (void)state;
    for (const char *const *url = urls(); *url; url++) {
        struct coat_store *store = live_open_store(*url, "show", "device", NULL);
        sessions_are_listed_and_ended(store);
        coat_store_close(store);
    }
}

enum { THREADS = 16, CAP = 3 };

struct login {
    struct coat_store *store;
    struct held held;
    int rc;
};

static void *run_login(void *arg)
{
    struct login *login = arg;
    login->rc = log_in(login->store, "user:42", &login->held);
    return NULL;
}

/* How many have been granted; all that went wrong fails the test. */
static int log_in_at_once(struct coat_store *store, struct login logins[THREADS], int failure)
{
    pthread_t threads[THREADS];
    int granted = 0;
    for (int i = 0; i < THREADS; i++) {
        logins[i] = (struct login){.store = store};
        assert_int_equal(pthread_create(&threads[i], NULL, run_login, &logins[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_true(logins[i].rc == 0 || logins[i].rc == failure);
        granted += logins[i].rc == 0;
    }
    return granted;
}

static void cap_is_exact(const char *url, const char *on_max, int failure, int granted)
{
    struct coat_store *store =
        live_open_store(url, "max_sessions", "3", "on_max", on_max, "max_connections", "16", NULL);
    struct login logins[THREADS];
    int working = 0;
    assert_int_equal(log_in_at_once(store, logins, failure), granted);
    for (int i = 0; i < THREADS; i++)
        working += logins[i].rc == 0 && works(store, &logins[i].held);
    assert_int_equal(working, CAP);
    assert_int_equal(count(store, "user:42"), CAP);
    assert_int_equal(coat_store_count(store, COAT_COUNT_EVICTED), granted - CAP);
    assert_int_equal(coat_store_destroy_all(store, "user:42", NULL, NULL, NULL), CAP);
    coat_store_close(store);
}

static void req_29_the_cap_is_exact_under_logins_at_once(void **state)
{
    (void)state;
    for (const char *const *url = urls(); *url; url++) {
        cap_is_exact(*url, "evict", 0, THREADS);
        cap_is_exact(*url, "refuse", COAT_ETOOMANY, CAP);
    }
}

/* ---- Events --------------------------------------------------------------------------------- */

struct listener {
    char heard[256]; /* each event as "kind reason; " */
    char public_id[13];
};

static void hear(void *context, const struct coat_life_event *event)
{
    struct listener *listener = context;
    size_t len = strlen(listener->heard);
    snprintf(listener->heard + len, sizeof listener->heard - len, "%s %s; ",
             coat_life_name(event->kind), event->reason ? event->reason : "-");
    snprintf(listener->public_id, sizeof listener->public_id, "%s", event->public_id);
}

/* The last thing heard is of this session, and all of it is this. */
static void assert_heard(struct listener *listener, const char *public_id, const char *events)
{
    assert_string_equal(listener->heard, events);
    assert_string_equal(listener->public_id, public_id);
    memset(listener, 0, sizeof *listener);
}

static void a_life_is_told(struct coat_store *store, struct listener *listener)
{
    struct held held, other;
    struct coat_session *s;
    assert_int_equal(log_in(store, "user:42", &held), 0);
    assert_heard(listener, held.public_id, "created -; logged_in -; ");
    assert_int_equal(coat_store_load(store, held.id, &s, NULL), 1);
    assert_int_equal(coat_session_rotate(s, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    assert_heard(listener, held.public_id, "rotated -; ");
    assert_int_equal(coat_store_destroy(store, held.id, NULL), 0);
    assert_heard(listener, held.public_id, "refused dead; ");
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    assert_heard(listener, held.public_id, "destroyed logout; ");
    coat_session_close(s);
    assert_int_equal(works(store, &held), 0);
    assert_heard(listener, held.public_id, "refused unknown; ");
    assert_int_equal(log_in(store, "user:42", &other), 0);
    memset(listener, 0, sizeof *listener);
    assert_int_equal(coat_store_destroy_all(store, "user:42", NULL, NULL, NULL), 1);
    assert_heard(listener, other.public_id, "destroyed destroy_all; ");
}

static void req_73_the_life_of_a_session_is_told_to_a_program(void **state)
{
    (void)state;
    for (const char *const *url = urls(); *url; url++) {
        struct listener listener = {.heard = ""};
        struct coat_store *store = live_open_store(*url, NULL);
        coat_store_on_event(store, hear, &listener);
        a_life_is_told(store, &listener);
        coat_store_close(store);
    }
}

static int start(void **state)
{
    live_cluster_start(&cluster);
    return start_server(state);
}

static int stop(void **state)
{
    live_cluster_stop(&cluster);
    return stop_server(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_26_sessions_are_listed_and_ended_one_by_one_and_all),
        cmocka_unit_test(req_29_the_cap_is_exact_under_logins_at_once),
        cmocka_unit_test(req_73_the_life_of_a_session_is_told_to_a_program),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
