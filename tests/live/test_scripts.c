/* The scripts, each on its own: what is checked is what is acted on, also among many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "live/ask.h"
#include "live/open_store.h"
#include "live/server.h"
#include "record.h"
#include "script.h"

/* A whole record for somebody. */
static void put_record(struct coat_store *store, const char *key, const char *principal)
{
    unsigned char record[512];
    struct coat_head head;
    const unsigned char tag[] = "tagtagta", hash[] = "sixteen bytes of";
    coat_head_init(&head, tag, hash, 1, 2, 3);
    coat_head_revise(&head, (const unsigned char *)"revision");
    unsigned char *end = coat_record_write(record, &head, principal);
    *end++ = 0x80;
    struct coat_arg args[] = {{"SET", 3}, {key, strlen(key)}, {record, (size_t)(end - record)}};
    ask_args(store, args, 3);
}

static void req_64_save_does_nothing_without_its_lock(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    put_record(store, "s:{h}", "");
    assert_int_equal(ask_script(store, &coat_script_save, "2", "s:{h}", "l:{h}", "revision", "new",
                                "1000", "token", NULL)
                         .integer,
                     -1);
    ask(store, "SET", "l:{h}", "token", NULL);
    assert_int_equal(ask_script(store, &coat_script_save, "2", "s:{h}", "l:{h}", "revision", "new",
                                "1000", "token", NULL)
                         .integer,
                     1);
    assert_string_equal(ask(store, "GET", "s:{h}", NULL).bytes, "new");
    coat_store_close(store);
}

static void req_64_logout_spares_what_is_no_record(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    ask(store, "SET", "s:{h}", "something that is shorter than the head of a record, much shorter",
        NULL);
    assert_int_equal(
        ask_script(store, &coat_script_logout, "2", "s:{h}", "l:{h}", "sixteen bytes of", "1", NULL)
            .integer,
        -1);
    assert_int_equal(ask(store, "EXISTS", "s:{h}", NULL).integer, 1);
    coat_store_close(store);
}

/* until as the script sees it, at the time 1000: does the other id log out? */
static void req_64_logout_knows_ids_offered_and_in_their_grace(void **state)
{
    (void)state;
    static const struct {
        unsigned char first;
        unsigned time;
        int opens;
    } ROW[] = {{0xc0, 1, 1}, {0x00, 1001, 1}, {0x00, 1000, 0}, {0x80, 1001, 0}, {0x00, 0, 0}};
    struct coat_store *store = live_open_store(server.url, NULL);
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        unsigned char ids[24] = "sixteen-bytes-ot";
        ids[16] = ROW[i].first;
        ids[22] = (unsigned char)(ROW[i].time >> 8);
        ids[23] = (unsigned char)(ROW[i].time & 255);
        put_record(store, "s:{h}", "");
        ask_args(store,
                 (struct coat_arg[]){{"SETRANGE", 8}, {"s:{h}", 5}, {"62", 2}, {ids, sizeof ids}},
                 4);
        struct answer q = ask_script(store, &coat_script_logout, "2", "s:{h}", "l:{h}",
                                     "sixteen-bytes-ot", "1000", NULL);
        assert_int_equal(q.kind, ROW[i].opens ? COAT_REPLY_BULK : COAT_REPLY_INTEGER);
        assert_int_equal(ask(store, "EXISTS", "s:{h}", NULL).integer, !ROW[i].opens);
    }
    coat_store_close(store);
}

static void req_64_end_spares_another_principal(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    static const struct {
        const char *principal;
        int expected;
    } ROW[] = {{"user", 1}, {"", 1}, {"userx", -1}, {"use", -1}};
    ask(store, "DEL", "s:{h}", "l:{h}", NULL);
    assert_int_equal(
        ask_script(store, &coat_script_end, "2", "s:{h}", "l:{h}", "\xa4user", NULL).integer, 0);
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        put_record(store, "s:{h}", ROW[i].principal);
        assert_int_equal(
            ask_script(store, &coat_script_end, "2", "s:{h}", "l:{h}", "\xa4user", NULL).integer,
            ROW[i].expected);
    }
    coat_store_close(store);
}

static void req_29_64_enter_keeps_the_cap_and_the_highest_score(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    char soon[24], later[24], past[24];
    snprintf(soon, sizeof soon, "%lld", (long long)coat_wall_ms() + 50000);
    snprintf(later, sizeof later, "%lld", (long long)coat_wall_ms() + 90000);
    snprintf(past, sizeof past, "%lld", (long long)coat_wall_ms() - 5);
    const struct coat_script *enter = &coat_script_enter;
    assert_string_equal(ask_script(store, enter, "1", "p:{P}", "a", soon, "2", NULL).bytes,
                        "ENTERED");
    assert_string_equal(ask_script(store, enter, "1", "p:{P}", "b", later, "2", NULL).bytes,
                        "ENTERED");
    assert_in_range(ask(store, "PTTL", "p:{P}", NULL).integer, 60000, 90000);
    struct answer full = ask_script(store, enter, "1", "p:{P}", "c", soon, "2", NULL);
    assert_int_equal(full.kind, COAT_REPLY_ARRAY);
    assert_int_equal(full.integer, 2);
    assert_string_equal(ask_script(store, enter, "1", "p:{P}", "c", soon, "2", "a", NULL).bytes,
                        "ENTERED");
    assert_in_range(ask(store, "PTTL", "p:{P}", NULL).integer, 60000, 90000);
    ask(store, "ZADD", "p:{P}", past, "dead", NULL);
    assert_string_equal(ask_script(store, enter, "1", "p:{P}", "c", soon, "2", NULL).bytes,
                        "ENTERED");
    assert_int_equal(ask(store, "ZCARD", "p:{P}", NULL).integer, 2);
    assert_string_equal(ask_script(store, enter, "1", "p:{P}", "d", soon, "0", NULL).bytes,
                        "ENTERED");
    coat_store_close(store);
}

static void req_64_65_unlock_wants_the_token(void **state)
{
    (void)state;
    struct coat_store *store = live_open_store(server.url, NULL);
    ask(store, "SET", "l:{h}", "mine", NULL);
    assert_int_equal(ask_script(store, &coat_script_unlock, "1", "l:{h}", "yours", NULL).integer,
                     0);
    assert_int_equal(ask_script(store, &coat_script_unlock, "1", "l:{h}", "mine", NULL).integer, 1);
    assert_int_equal(ask_script(store, &coat_script_unlock, "1", "l:{h}", "mine", NULL).integer, 0);
    coat_store_close(store);
}

/* ---- Each among many ------------------------------------------------------------------------ */

/*
 * The same script from several threads at once, on the same keys: what it checks holds for one of
 * them only (for two, where two fit), so it may act for no more.
 */
enum { RIVALS = 4, ROUNDS = 50 };

struct contest {
    const struct coat_script *script;
    const char *keys[3]; /* how many, and which */
    const char *args[5];
    int enters;  /* a member of each rival's own, before the arguments */
    int winners; /* how many it acts for */
    int (*has_won)(const struct answer *answer);
};

struct rival {
    pthread_t thread;
    pthread_barrier_t *start;
    struct coat_store *store;
    const struct contest *contest;
    char member[2];
    struct answer answer;
    int rc;
};

static void *compete(void *arg)
{
    struct rival *r = arg;
    const struct contest *c = r->contest;
    struct coat_arg args[ASK_ARGS_MAX] = {{"EVAL", 4}, {c->script->text, c->script->len}};
    size_t count = 2;
    for (size_t i = 0; i < sizeof c->keys / sizeof *c->keys && c->keys[i]; i++)
        args[count++] = (struct coat_arg){c->keys[i], strlen(c->keys[i])};
    if (c->enters)
        args[count++] = (struct coat_arg){r->member, 1};
    for (size_t i = 0; i < sizeof c->args / sizeof *c->args && c->args[i]; i++)
        args[count++] = (struct coat_arg){c->args[i], strlen(c->args[i])};
    pthread_barrier_wait(r->start);
    r->rc = ask_quietly(r->store, args, count, &r->answer);
    return NULL;
}

static void hold(struct coat_store *store, const struct contest *contest)
{
    struct rival rivals[RIVALS];
    pthread_barrier_t start;
    int winners = 0;
    pthread_barrier_init(&start, NULL, RIVALS);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (struct rival){
            .start = &start, .store = store, .contest = contest, .member = {(char)('a' + i)}};
        assert_int_equal(pthread_create(&rivals[i].thread, NULL, compete, &rivals[i]), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        pthread_join(rivals[i].thread, NULL);
        assert_int_equal(rivals[i].rc, 0);
        winners += contest->has_won(&rivals[i].answer);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(winners, contest->winners);
}

static int is_positive(const struct answer *answer)
{
    return answer->kind == COAT_REPLY_INTEGER && answer->integer > 0;
}

static int is_head(const struct answer *answer)
{
    return answer->kind == COAT_REPLY_BULK;
}

static int is_entered(const struct answer *answer)
{
    return answer->kind == COAT_REPLY_STATUS && strcmp(answer->bytes, "ENTERED") == 0;
}

static void req_64_of_many_at_once_each_script_acts_for_one(void **state)
{
    (void)state;
    static const char LATER[] = "99999999999999";
    const struct contest CONTEST[] = {
        {&coat_script_save,
         {"2", "s:{h}", "l:{h}"},
         {"revision", "new and longer", "1000"},
         0,
         1,
         is_positive},
        {&coat_script_save,
         {"2", "s:{h}", "l:{h}"},
         {"revision", "new and longer", "1000", "token"},
         0,
         1,
         is_positive},
        {&coat_script_logout, {"2", "s:{h}", "l:{h}"}, {"sixteen bytes of", "1"}, 0, 1, is_head},
        {&coat_script_end, {"2", "s:{h}", "l:{h}"}, {"\xa4user"}, 0, 1, is_positive},
        {&coat_script_enter, {"1", "p:{P}"}, {LATER, "2"}, 1, 2, is_entered},
        {&coat_script_unlock, {"1", "l:{h}"}, {"token"}, 0, 1, is_positive},
    };
    struct coat_store *store = live_open_store(server.url, "timeout", "60", NULL);
    for (size_t i = 0; i < sizeof CONTEST / sizeof *CONTEST; i++)
        for (int round = 0; round < ROUNDS; round++) {
            ask(store, "FLUSHALL", NULL);
            put_record(store, "s:{h}", "user");
            ask(store, "SET", "l:{h}", "token", NULL);
            hold(store, &CONTEST[i]);
        }
    coat_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_64_save_does_nothing_without_its_lock),
        cmocka_unit_test(req_64_logout_spares_what_is_no_record),
        cmocka_unit_test(req_64_logout_knows_ids_offered_and_in_their_grace),
        cmocka_unit_test(req_64_end_spares_another_principal),
        cmocka_unit_test(req_29_64_enter_keeps_the_cap_and_the_highest_score),
        cmocka_unit_test(req_64_65_unlock_wants_the_token),
        cmocka_unit_test(req_64_of_many_at_once_each_script_acts_for_one),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
