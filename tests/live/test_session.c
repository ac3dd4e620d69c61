/* Sessions on a real server: the scripts, the bytes, and requests at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/call.h"
#include "api/error.h"
#include "clock.h"
#include "coatcheck.h"
#include "live/ask.h"
#include "live/open_store.h"
#include "live/server.h"
#include "record.h"
#include "script.h"
#include "session.h"

/* The key of a session's record. */
struct name {
    char text[COAT_KEY_MAX + 1];
};

static struct name key_of(const struct coat_session *s)
{
    struct name name = {{0}};
    memcpy(name.text, s->keys.record, s->keys.len);
    return name;
}

/* ---- Ways to sessions ----------------------------------------------------------------------- */

static void set(struct coat_session *s, const char *name, int number)
{
    struct coat_packer p;
    coat_packer_init(&p, NULL);
    coat_pack_int(&p, number);
    assert_int_equal(coat_doc_put(coat_session_doc(s), name, &p, NULL), 0);
    coat_packer_release(&p);
}

/* -1: not there. */
static int get(struct coat_session *s, const char *name)
{
    struct coat_cursor c;
    struct coat_item item;
    if (!coat_doc_cursor(coat_session_doc(s), name, &c))
        return -1;
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    return (int)item.i;
}

/* A new session with a = 1, stored. */
static struct coat_session *make(struct coat_store *store)
{
    struct coat_session *s;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    set(s, "a", 1);
    assert_int_equal(coat_session_save(s, NULL), 0);
    return s;
}

static struct coat_session *load(struct coat_store *store, const char *id)
{
    struct coat_session *s;
    assert_int_equal(coat_store_load(store, id, &s, NULL), 1);
    return s;
}

/* What a load by this id returns. */
static int try_load(struct coat_store *store, const char *id)
{
    struct coat_session *s;
    int rc = coat_store_load(store, id, &s, NULL);
    coat_session_close(s);
    return rc;
}

/* ---- One session ---------------------------------------------------------------------------- */

static void a_session_is_created_loaded_changed_and_destroyed(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store), *again;
    struct name key = key_of(s);
    char id[COAT_SID_LEN + 1];
    memcpy(id, coat_session_id(s), sizeof id);
    assert_in_range(ask(store, "PTTL", key.text, NULL).integer, 1790000, 1800000);
    again = load(store, id);
    assert_int_equal(get(again, "a"), 1);
    set(again, "a", 2);
    assert_int_equal(coat_session_save(again, NULL), 0);
    coat_session_close(again);
    again = load(store, id);
    assert_int_equal(get(again, "a"), 2);
    assert_int_equal(coat_session_destroy(again, NULL), 1);
    assert_int_equal(coat_session_destroy(again, NULL), 0);
    coat_session_close(again);
    assert_int_equal(try_load(store, id), 0);
    assert_int_equal(coat_store_destroy(store, id, NULL), 0);
    assert_int_equal(ask(store, "EXISTS", key.text, NULL).integer, 0);
    coat_session_close(s);
    coat_store_close(store);
}

static void two_requests_at_once_keep_each_others_fields(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *mine = make(store), *theirs = load(store, coat_session_id(mine));
    set(mine, "m", 5);
    set(theirs, "t", 6);
    assert_int_equal(coat_doc_delete(coat_session_doc(theirs), "a", 1, NULL), 1);
    assert_int_equal(coat_session_save(theirs, NULL), 0);
    assert_int_equal(coat_session_save(mine, NULL), 0);
    assert_int_equal(coat_session_merged(mine), 1);
    assert_int_equal(get(mine, "a"), -1);
    assert_int_equal(get(mine, "t"), 6);
    assert_int_equal(get(mine, "m"), 5);
    coat_session_close(mine);
    coat_session_close(theirs);
    coat_store_close(store);
}

static void req_24_after_a_logout_nobody_saves(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store), *slow = load(store, coat_session_id(s));
    struct name key = key_of(s);
    set(slow, "a", 2);
    assert_int_equal(coat_store_destroy(store, coat_session_id(s), NULL), 1);
    assert_int_equal(coat_session_save(slow, NULL), COAT_EGONE);
    assert_int_equal(ask(store, "EXISTS", key.text, NULL).integer, 0);
    coat_session_close(s);
    coat_session_close(slow);
    coat_store_close(store);
}

static void req_11_after_a_login_exactly_the_new_id_works(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store), *slow = load(store, coat_session_id(s));
    char old[COAT_SID_LEN + 1];
    memcpy(old, coat_session_id(s), sizeof old);
    assert_int_equal(coat_session_login(s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    assert_int_equal(try_load(store, coat_session_id(s)), 1);
    assert_int_equal(try_load(store, old), 2);

    set(slow, "a", 2);
    assert_int_equal(coat_session_save(slow, NULL), COAT_EREPLACED);
    assert_int_equal(coat_session_destroy(slow, NULL), COAT_EREPLACED);
    assert_int_equal(coat_store_destroy(store, old, NULL), 0);
    coat_session_close(slow);
    slow = load(store, coat_session_id(s));
    assert_int_equal(get(slow, "a"), 1);
    assert_string_equal(coat_session_principal(slow), "user:42");
    coat_session_close(slow);
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    coat_session_close(s);
    coat_store_close(store);
}

static void req_21_a_ttl_that_was_taken_away_is_given_back(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store);
    struct name key = key_of(s);
    assert_int_equal(ask(store, "PERSIST", key.text, NULL).integer, 1);
    assert_int_equal(try_load(store, coat_session_id(s)), 1);
    assert_in_range(ask(store, "PTTL", key.text, NULL).integer, 1790000, 1800000);
    assert_int_equal(coat_store_count(store, COAT_COUNT_NO_TTL), 1);
    coat_session_close(s);
    coat_store_close(store);
}

static void the_idle_clock_is_renewed_by_a_request_that_only_reads(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store), *reader;
    struct name key = key_of(s);
    assert_int_equal(ask(store, "PEXPIRE", key.text, "1500000", NULL).integer, 1);
    reader = load(store, coat_session_id(s));
    assert_int_equal(coat_session_save(reader, NULL), 0);
    assert_in_range(ask(store, "PTTL", key.text, NULL).integer, 1790000, 1800000);
    coat_session_close(reader);
    coat_session_close(s);
    coat_store_close(store);
}

static void scripts_that_the_server_forgot_are_sent_again(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store);
    ask(store, "SCRIPT", "FLUSH", NULL);
    set(s, "a", 2);
    assert_int_equal(coat_session_save(s, NULL), 0);
    set(s, "a", 3);
    assert_int_equal(coat_session_save(s, NULL), 0);
    ask(store, "SCRIPT", "FLUSH", NULL);
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    coat_session_close(s);
    coat_store_close(store);
}

static void a_server_that_restarted_is_found_again(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store);
    live_server_kill(&server, 0);
    live_server_again(&server, NULL);
    set(s, "a", 2);
    assert_int_equal(coat_session_save(s, NULL), COAT_EGONE); /* its data is gone, as we see */
    assert_int_equal(coat_store_ping(store, NULL), 0);
    coat_session_close(s);
    coat_store_close(store);
}

/* ---- What lies there ------------------------------------------------------------------------ */

static void req_45_nothing_that_is_stored_opens_a_session(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store);
    struct name key = key_of(s);
    struct answer q = ask(store, "GET", key.text, NULL);
    unsigned char bytes[COAT_SID_HALF * 2];
    assert_null(memmem(q.bytes, q.len, &s->sid, COAT_SID_HALF));
    assert_null(memmem(q.bytes, q.len, s->sid.verifier, COAT_SID_HALF));
    /* every 32 bytes of key and record, presented as an id */
    memcpy(q.bytes + q.len, key.text, strlen(key.text));
    for (size_t i = 0; i + sizeof bytes <= q.len + strlen(key.text); i++) {
        struct coat_sid sid;
        char id[COAT_SID_LEN + 1];
        memcpy(&sid, q.bytes + i, sizeof sid);
        coat_sid_write(&sid, id);
        assert_int_equal(try_load(store, id), 0);
    }
    coat_session_close(s);
    coat_store_close(store);
}

static void foreign_and_damaged_values_are_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *command, *value;
        int rc;
    } ROW[] = {{"SET", "nonsense", COAT_ECORRUPT},
               {"SET", "\x99\x02 of a later release", COAT_EFORMAT},
               {"LPUSH", "x", COAT_ECORRUPT}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_store *store = live_open_store(server.url, NULL);
        struct coat_session *s = make(store), *out;
        struct coat_error err;
        struct name key = key_of(s);
        ask(store, "DEL", key.text, NULL);
        ask(store, ROW[i].command, key.text, ROW[i].value, NULL);
        assert_int_equal(coat_store_load(store, coat_session_id(s), &out, &err), ROW[i].rc);
        assert_null(out);
        set(s, "a", 2);
        assert_int_equal(coat_session_save(s, &err), ROW[i].rc);
        assert_int_equal(ask(store, "EXISTS", key.text, NULL).integer, 1);
        assert_int_equal(coat_store_count(store, COAT_COUNT_CORRUPT),
                         ROW[i].rc == COAT_ECORRUPT ? 2 : 0);
        coat_session_close(s);
        coat_store_close(store);
    }
}

static void a_record_under_another_key_is_foreign(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *mine = make(store), *other = make(store), *out;
    struct name from = key_of(mine), to = key_of(other);
    assert_int_equal(ask(store, "COPY", from.text, to.text, "REPLACE", NULL).integer, 1);
    assert_int_equal(coat_store_load(store, coat_session_id(other), &out, NULL), COAT_EFOREIGN);
    coat_session_close(mine);
    coat_session_close(other);
    coat_store_close(store);
}

/* ---- A server that refuses ------------------------------------------------------------------ */

static void when_memory_is_full_only_writing_fails(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make(store), *fresh;
    struct coat_error err;
    ask(store, "CONFIG", "SET", "maxmemory", "1", NULL);
    set(s, "a", 2);
    assert_int_equal(coat_session_save(s, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "OOM");
    assert_int_equal(coat_session_new(store, &fresh, NULL), 0);
    set(fresh, "a", 1);
    assert_int_equal(coat_session_save(fresh, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "OOM");
    assert_int_equal(try_load(store, coat_session_id(s)), 1);
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    ask(store, "CONFIG", "SET", "maxmemory", "0", NULL);
    assert_int_equal(coat_session_save(fresh, NULL), 0);
    coat_session_close(s);
    coat_session_close(fresh);
    coat_store_close(store);
}

/* What a user with these rules is told when saving and when destroying. */
static void check_denied(struct coat_store *admin, const char *rule)
{
    struct coat_error err;
    ask(admin, "ACL", "SETUSER", "app", "reset", "on", ">secret", "~shop:*", "+@all", rule, NULL);
    struct coat_store *store =
        live_open_store(server.url, "username", "app", "password", "secret", NULL);
    struct coat_session *s = make(admin), *mine;
    if (coat_store_load(store, coat_session_id(s), &mine, NULL) == 1) {
        set(mine, "a", 2);
        assert_int_equal(coat_session_save(mine, &err), COAT_EDENIED);
        assert_string_equal(err.reason, "NOPERM");
        coat_session_close(mine);
    }
    coat_session_close(s);
    coat_store_close(store);
}

static void a_missing_permission_is_denied_also_within_a_script(void **state)
{
    (void)state;
    struct coat_store *admin = live_open_store(server.url, NULL);
    check_denied(admin, "-evalsha");
    check_denied(admin, "-getrange");
    check_denied(admin, "-set");
    ask(admin, "ACL", "DELUSER", "app", NULL);
    coat_store_close(admin);
}

/* These commands and this pattern are enough: what an administrator is told to allow. */
static void req_67_a_user_with_few_permissions_is_enough(void **state)
{
    (void)state;
    struct coat_store *admin = live_open_store(server.url, NULL);
    ask(admin, "ACL", "SETUSER", "app", "reset", "on", ">secret", "~shop:*", "-@all", "+get",
        "+set", "+del", "+pttl", "+pexpire", "+pexpireat", "+getrange", "+zadd", "+zrange", "+zrem",
        "+zremrangebyscore", "+zscore", "+zcard", "+time", "+eval", "+evalsha", "+ping", NULL);
    struct coat_store *store =
        live_open_store(server.url, "username", "app", "password", "secret", NULL);
    struct coat_session *s = make(store);
    assert_int_equal(coat_session_login(s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    assert_int_equal(try_load(store, coat_session_id(s)), 1);
    assert_int_equal(coat_session_destroy(s, NULL), 1);
    assert_int_equal(coat_store_destroy_all(store, "user:42", NULL, NULL, NULL), 0);
    assert_int_equal(coat_store_ping(store, NULL), 0);
    coat_session_close(s);
    coat_store_close(store);
    ask(admin, "ACL", "DELUSER", "app", NULL);
    coat_store_close(admin);
}

/* ---- Many at once --------------------------------------------------------------------------- */

enum { THREADS = 4, SAVES = 40 };

struct worker {
    pthread_t thread;
    struct coat_store *store;
    char id[COAT_SID_LEN + 1];
    char field[2];
    int saved, last; /* how often, and what is in its field then */
    int rc;          /* of the call that ended it */
};

/* Each saves a field of its own, half of them always from one handle. */
static void *work(void *arg)
{
    struct worker *w = arg;
    struct coat_session *s = NULL;
    for (int i = 1; i <= SAVES; i++) {
        if (!s && (w->rc = coat_store_load(w->store, w->id, &s, NULL)) != 1)
            return NULL;
        struct coat_packer p;
        coat_packer_init(&p, NULL);
        coat_pack_int(&p, i);
        coat_doc_put(coat_session_doc(s), w->field, &p, NULL);
        coat_packer_release(&p);
        w->rc = coat_session_save(s, NULL);
        if (w->rc < 0)
            break;
        w->saved++;
        w->last = i;
        if (w->field[0] % 2) {
            coat_session_close(s);
            s = NULL;
        }
    }
    coat_session_close(s);
    return NULL;
}

static void start_workers(struct worker *workers, struct coat_store *store, const char *id)
{
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = store, .field = {(char)('a' + i)}};
        memcpy(workers[i].id, id, sizeof workers[i].id);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void req_64_no_save_is_lost_among_many(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, "timeout", "60", NULL);
    struct coat_session *s = make(store);
    struct worker workers[THREADS];
    start_workers(workers, store, coat_session_id(s));
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    struct coat_session *last = load(store, coat_session_id(s));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].saved, SAVES);
        assert_int_equal(get(last, workers[i].field), SAVES);
    }
    assert_int_equal(coat_store_count(store, COAT_COUNT_CONFLICT), 0);
    coat_session_close(last);
    coat_session_close(s);
    coat_store_close(store);
}

static void req_24_a_logout_in_the_middle_ends_them_all(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, "timeout", "60", NULL);
    for (int round = 0; round < 5; round++) {
        struct coat_session *s = make(store);
        struct name key = key_of(s);
        struct worker workers[THREADS];
        start_workers(workers, store, coat_session_id(s));
        assert_int_equal(coat_session_destroy(s, NULL), 1);
        assert_int_equal(ask(store, "EXISTS", key.text, NULL).integer, 0);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(workers[i].thread, NULL);
            assert_true(workers[i].rc == COAT_EGONE || workers[i].rc == 0);
        }
        assert_int_equal(ask(store, "EXISTS", key.text, NULL).integer, 0);
        coat_session_close(s);
    }
    coat_store_close(store);
}

/* ---- Update --------------------------------------------------------------------------------- */

/* Adds one by reading and setting; another request comes in between the first `others` times. */
struct update {
    struct coat_store *store;
    const char *id;
    int others, calls, rc;
};

static int count_one(void *context, struct coat_session *s, struct coat_error *err)
{
    struct update *u = context;
    int number = get(s, "n");
    if (u->calls++ < u->others) {
        struct coat_session *other;
        assert_int_equal(coat_store_load(u->store, u->id, &other, NULL), 1);
        assert_int_equal(coat_doc_add(coat_session_doc(other), "n", 1, 10, NULL), 0);
        assert_int_equal(coat_session_save(other, NULL), 0);
        coat_session_close(other);
    }
    set(s, "n", number + 1);
    if (u->rc < 0)
        coat_error_set(err, u->rc, "the counter is out of order");
    return u->rc;
}

static struct coat_session *make_number(struct coat_store *store)
{
    struct coat_session *s;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    set(s, "n", 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    return s;
}

static void an_update_starts_over_until_it_lands(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make_number(store), *out, *again;
    struct update u = {.store = store, .id = coat_session_id(s), .others = 3};
    assert_int_equal(coat_store_update(store, u.id, count_one, &u, &out, NULL), 1);
    assert_int_equal(u.calls, 4);
    assert_int_equal(get(out, "n"), 31);
    assert_int_equal(coat_store_update(store, u.id, count_one, &u, NULL, NULL), 1);
    assert_int_equal(coat_store_load(store, u.id, &again, NULL), 1);
    assert_int_equal(get(again, "n"), 32);
    coat_session_close(s);
    coat_session_close(out);
    coat_session_close(again);
    coat_store_close(store);
}

static void an_update_of_no_session_calls_nothing(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make_number(store), *out = s;
    char old_id[COAT_SID_LEN + 1];
    struct update u = {.store = store};
    memcpy(old_id, coat_session_id(s), sizeof old_id);
    assert_int_equal(coat_session_rotate(s, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), 0);
    assert_int_equal(coat_store_update(store, old_id, count_one, &u, &out, NULL), 0);
    assert_null(out);
    assert_int_equal(coat_store_update(store, "no id", count_one, &u, &out, NULL), 0);
    assert_int_equal(u.calls, 0);
    coat_session_close(s);
    coat_store_close(store);
}

static void what_the_function_of_an_update_fails_with_is_returned(void **state)
{
    (void)state;
    static const struct {
        int answer, rc;
    } ROW[] = {
        {COAT_ENOTSTORABLE, COAT_ENOTSTORABLE}, {COAT_ECONFLICT, COAT_ECONFLICT}, {1, COAT_EUSAGE}};
    struct coat_store *store = live_open_store(server.url, NULL);
    struct coat_session *s = make_number(store), *out, *again;
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct update u = {.store = store, .rc = ROW[i].answer};
        struct coat_error err;
        assert_int_equal(coat_store_update(store, coat_session_id(s), count_one, &u, &out, &err),
                         ROW[i].rc);
        assert_int_equal(err.code, ROW[i].rc);
        assert_null(out);
        assert_int_equal(u.calls, 1);
    }
    assert_int_equal(coat_store_load(store, coat_session_id(s), &again, NULL), 1);
    assert_int_equal(get(again, "n"), 0);
    coat_session_close(s);
    coat_session_close(again);
    coat_store_close(store);
}

/* ---- A function for conflicts --------------------------------------------------------------- */

static int add_them_up(void *context, const struct coat_conflict *c, struct coat_doc *merged,
                       struct coat_error *err)
{
    const unsigned char *mine = c->mine, *theirs = c->theirs;
    unsigned char sum = (unsigned char)(*mine + *theirs);
    ++*(int *)context;
    return coat_doc_set(merged, c->field, c->field_len, &sum, 1, err) < 0 ? err->code
                                                                          : COAT_CONFLICT_MERGED;
}

static void a_function_decides_between_two_requests(void **state)
{
    (void)state;
    int asked = 0;
    struct coat_options *o;
    struct coat_store *store;
    struct coat_session *one, *two;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    coat_options_on_conflict(o, add_them_up, &asked);
    assert_int_equal(coat_options_set(o, "url", server.url, NULL), 0);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    one = make_number(store);
    assert_int_equal(coat_store_load(store, coat_session_id(one), &two, NULL), 1);
    set(one, "n", 30);
    set(two, "n", 12);
    assert_int_equal(coat_session_save(one, NULL), 0);
    assert_int_equal(coat_session_save(two, NULL), 0);
    assert_int_equal(get(two, "n"), 42);
    assert_int_equal(asked, 1);
    coat_session_close(one);
    coat_session_close(two);
    coat_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_created_loaded_changed_and_destroyed),
        cmocka_unit_test(two_requests_at_once_keep_each_others_fields),
        cmocka_unit_test(req_24_after_a_logout_nobody_saves),
        cmocka_unit_test(req_11_after_a_login_exactly_the_new_id_works),
        cmocka_unit_test(req_21_a_ttl_that_was_taken_away_is_given_back),
        cmocka_unit_test(the_idle_clock_is_renewed_by_a_request_that_only_reads),
        cmocka_unit_test(scripts_that_the_server_forgot_are_sent_again),
        cmocka_unit_test(a_server_that_restarted_is_found_again),
        cmocka_unit_test(req_45_nothing_that_is_stored_opens_a_session),
        cmocka_unit_test(foreign_and_damaged_values_are_left_alone),
        cmocka_unit_test(a_record_under_another_key_is_foreign),
        cmocka_unit_test(when_memory_is_full_only_writing_fails),
        cmocka_unit_test(a_missing_permission_is_denied_also_within_a_script),
        cmocka_unit_test(req_67_a_user_with_few_permissions_is_enough),
        cmocka_unit_test(req_64_no_save_is_lost_among_many),
        cmocka_unit_test(an_update_starts_over_until_it_lands),
        cmocka_unit_test(an_update_of_no_session_calls_nothing),
        cmocka_unit_test(what_the_function_of_an_update_fails_with_is_returned),
        cmocka_unit_test(a_function_decides_between_two_requests),
        cmocka_unit_test(req_24_a_logout_in_the_middle_ends_them_all),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
