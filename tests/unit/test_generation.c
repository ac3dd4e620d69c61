/* Operations in a view: which generations they are in, and what becomes of those that ended. */
#include "cache_script.h"

#include "api/fill.h"
#include "generation.h"
#include "view.h"

#define G1     "1111111111111111"
#define G2     "2222222222222222"
#define NAME   "shop:c:g:n"
#define IN(g)  "shop:c:n:" g ":a"
#define GEN(g) BULK(g, 16)
#define SCRIPT (&t.script)

static struct coat_view *view;

/* An operation on the key "a" of the namespace "n", started. */
static void start(struct cache_script *t, enum coat_cache_do what, const char *known)
{
    memset(t, 0, sizeof *t);
    script_init(&t->script);
    if (!view)
        assert_int_equal(coat_view_new(&view, &t->script.store, NULL, COAT_VIEW_NAMESPACE,
                                       (const char *const[]){"n"}, (size_t[]){1}, 1, NULL),
                         0);
    assert_int_equal(coat_cache_op_new(&t->x, &t->script.store, what, 1, NULL), 0);
    assert_int_equal(coat_cache_op_in(t->x, view, NULL), 0);
    cache_key(t, "a");
    if (what == COAT_CACHE_SET || what == COAT_CACHE_ADD || what == COAT_CACHE_REPLACE)
        cache_value(t, VALUE, 4, 10);
    if (what == COAT_CACHE_INCR)
        assert_int_equal(coat_cache_op_incr(t->x, 1, &(int64_t){0}, 10, NULL), 0);
    t->found_answers = 1;
    if (what == COAT_CACHE_GET || what == COAT_CACHE_POP)
        coat_cache_op_found(t->x, cache_found, t);
    t->script.op = coat_cache_op(t->x);
    cache_start(t);
    if (!known)
        return;
    if (script_commands(&t->script) == 2)
        script_replies(&t->script, 2, NIL, GEN(known));
    else
        script_answer(&t->script, GEN(known));
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void a_read_asks_for_the_generation_first(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_GET, NULL);
    assert_int_equal(script_commands(SCRIPT), 1);
    script_sent(SCRIPT, 0, "GET", NAME, NULL);
    assert_memory_equal(t.script.step.commands[0].key.bytes, NAME, 10);
    script_answer(SCRIPT, GEN(G1));
    assert_int_equal(script_commands(SCRIPT), 2);
    script_sent(SCRIPT, 0, "GET", IN(G1), NULL);
    script_sent(SCRIPT, 1, "GET", NAME, NULL);
    assert_memory_equal(t.script.step.commands[1].key.bytes, NAME, 10);
    script_replies(SCRIPT, 2, BULK(ENTRY, 6), GEN(G1));
    script_done(SCRIPT, 1);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.found_count, 1);
    cache_free(&t);
}

static void without_a_generation_a_read_finds_nothing_and_makes_none(void **state)
{
    (void)state;
    static const enum coat_cache_do READS[] = {
        COAT_CACHE_GET,   COAT_CACHE_REPLACE, COAT_CACHE_DELETE, COAT_CACHE_HAS,
        COAT_CACHE_TOUCH, COAT_CACHE_TTL,     COAT_CACHE_POP};
    for (size_t i = 0; i < sizeof READS / sizeof *READS; i++) {
        struct cache_script t;
        start(&t, READS[i], NULL);
        assert_int_equal(script_commands(SCRIPT), 1);
        script_answer(SCRIPT, NIL);
        script_done(SCRIPT, 0);
        assert_int_equal(t.told, 0);
        cache_free(&t);
    }
}

static void a_write_proposes_a_generation_and_takes_what_is_there(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_SET, NULL);
    assert_int_equal(script_commands(SCRIPT), 2);
    script_sent(SCRIPT, 0, "SET", NAME, ANY, "NX", NULL);
    assert_int_equal(script_arg(SCRIPT, 0, 2).len, 16);
    script_sent(SCRIPT, 1, "GET", NAME, NULL);
    script_replies(SCRIPT, 2, NIL, GEN(G2));
    script_sent(SCRIPT, 0, "SET", IN(G2), ANY, "PX", "10", NULL);
    script_replies(SCRIPT, 2, OK, GEN(G2));
    script_done(SCRIPT, 1);
    cache_free(&t);
}

static void no_generation_is_proposed_twice(void **state)
{
    (void)state;
    struct cache_script t;
    char first[16];
    start(&t, COAT_CACHE_SET, NULL);
    for (int sends = 1; sends < 3; sends++) {
        memcpy(first, script_arg(SCRIPT, 0, 2).bytes, 16);
        script_lost(SCRIPT, MAYBE_SENT);
        script_sent(SCRIPT, 0, "SET", NAME, ANY, "NX", NULL);
        assert_memory_not_equal(script_arg(SCRIPT, 0, 2).bytes, first, 16);
    }
    script_lost(SCRIPT, MAYBE_SENT);
    script_done(SCRIPT, COAT_EUNAVAILABLE);
    cache_free(&t);
}

static void asking_says_what_the_server_refuses(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_GET, NULL);
    script_answer(SCRIPT, REFUSED("NOPERM no"));
    script_done(SCRIPT, COAT_EDENIED);
    cache_free(&t);
    start(&t, COAT_CACHE_GET, NULL);
    script_answer(SCRIPT, INTEGER(1));
    script_done(SCRIPT, COAT_EFOREIGN);
    cache_free(&t);
    start(&t, COAT_CACHE_GET, NULL);
    script_answer(SCRIPT, BULK("111111111111111g", 16));
    script_done(SCRIPT, COAT_ECORRUPT);
    cache_free(&t);
}

/* ---- What has ended -------------------------------------------------------------------------- */

static void a_reply_of_another_generation_does_not_count(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_GET, G1);
    script_replies(SCRIPT, 2, BULK(ENTRY, 6), GEN(G2));
    assert_int_equal(t.told, 0);
    assert_int_equal(script_commands(SCRIPT), 2);
    script_sent(SCRIPT, 0, "GET", IN(G2), NULL);
    script_replies(SCRIPT, 2, NIL, GEN(G2));
    assert_int_equal(t.told, 1);
    cache_free(&t);
}

static void a_read_of_what_has_ended_is_a_miss(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_POP, G1);
    script_event(SCRIPT, (struct coat_event){
                             .kind = COAT_EVENT_REPLIES,
                             .replies = (struct coat_reply[]){INTEGER(0), BULK(ENTRY, 6), NIL},
                             .count = 3});
    script_sent(SCRIPT, 0, "GET", NAME, NULL);
    script_answer(SCRIPT, NIL);
    script_done(SCRIPT, 0);
    assert_int_equal(t.told, 0);
    cache_free(&t);
}

/* Even what is done once: nobody can find what it did. */
static void what_was_added_to_what_has_ended_is_added_again(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_ADD, G1);
    script_replies(SCRIPT, 2, OK, NIL);
    script_sent(SCRIPT, 0, "SET", NAME, ANY, "NX", NULL);
    script_replies(SCRIPT, 2, OK, GEN(G2));
    script_sent(SCRIPT, 0, "SET", IN(G2), ANY, "PX", "10", "NX", NULL);
    script_replies(SCRIPT, 2, OK, GEN(G2));
    script_done(SCRIPT, 1);
    cache_free(&t);
}

static void an_error_of_a_script_in_what_has_ended_is_none(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_INCR, G1);
    script_replies(SCRIPT, 2, REFUSED("ERR value is not an integer"), GEN(G2));
    script_sent(SCRIPT, 0, "EVALSHA", ANY, "1", IN(G2), "1", "1", "10", NULL);
    script_replies(SCRIPT, 2, REFUSED("NOSCRIPT no"), GEN(G2));
    script_sent(SCRIPT, 0, "EVAL", ANY, "1", IN(G2), "1", "1", "10", NULL);
    script_sent(SCRIPT, 1, "GET", NAME, NULL);
    script_replies(SCRIPT, 2, BULK("1", 1), GEN(G2));
    script_done(SCRIPT, 1);
    cache_free(&t);
}

static void that_ends_again_and_again_is_said(void **state)
{
    (void)state;
    struct cache_script t;
    char g[] = G1;
    int rounds = 0;
    start(&t, COAT_CACHE_GET, G1);
    while (t.script.step.kind == COAT_STEP_SEND && rounds++ < 100) {
        g[0] = g[0] == '2' ? '3' : '2';
        script_replies(SCRIPT, 2, NIL, BULK(g, 16));
    }
    script_done(SCRIPT, COAT_EUNAVAILABLE);
    assert_string_equal(t.script.err.reason, "generation");
    assert_true(10 < rounds && rounds < 20);
    cache_free(&t);
}

/* ---- Losses ---------------------------------------------------------------------------------- */

static void what_is_done_once_is_uncertain_where_its_reply_is_lost(void **state)
{
    (void)state;
    static const enum coat_cache_do ONCE[] = {COAT_CACHE_ADD, COAT_CACHE_POP, COAT_CACHE_INCR};
    for (int i = 0; i < 3; i++) {
        struct cache_script t;
        start(&t, ONCE[i], G1);
        script_lost(SCRIPT, MAYBE_SENT);
        script_done(SCRIPT, COAT_EUNCERTAIN);
        cache_free(&t);
    }
}

static void a_generation_that_cannot_be_read_is_a_loss(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_ADD, G1);
    script_replies(SCRIPT, 2, OK, REFUSED("NOPERM no"));
    script_done(SCRIPT, COAT_EUNCERTAIN);
    cache_free(&t);
    start(&t, COAT_CACHE_GET, G1);
    script_replies(SCRIPT, 2, BULK(ENTRY, 6), REFUSED("NOPERM no"));
    script_done(SCRIPT, COAT_EDENIED);
    cache_free(&t);
}

static void a_repeat_tells_the_generation_again(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_GET, G1);
    script_lost(SCRIPT, MAYBE_SENT);
    assert_int_equal(script_commands(SCRIPT), 2);
    script_sent(SCRIPT, 0, "GET", IN(G1), NULL);
    script_replies(SCRIPT, 2, BULK(ENTRY, 6), GEN(G2));
    script_sent(SCRIPT, 0, "GET", IN(G2), NULL);
    assert_int_equal(t.told, 0);
    cache_free(&t);
}

/* The send that was lost may have replaced it, before its generation ended. */
static void a_swap_is_uncertain_in_the_next_generation_too(void **state)
{
    (void)state;
    static const char VERSION[] = "0123456789012345678901234567890123456789";
    struct cache_script t;
    start(&t, COAT_CACHE_TTL, G1); /* for the view */
    cache_free(&t);
    for (int loses = 0; loses < 2; loses++) {
        memset(&t, 0, sizeof t);
        script_init(SCRIPT);
        assert_int_equal(coat_cache_op_new(&t.x, &t.script.store, COAT_CACHE_SWAP, 1, NULL), 0);
        assert_int_equal(coat_cache_op_in(t.x, view, NULL), 0);
        cache_key(&t, "a");
        assert_int_equal(coat_cache_op_version(t.x, VERSION, 40, NULL), 0);
        cache_value(&t, VALUE, 4, 10);
        t.script.op = coat_cache_op(t.x);
        cache_start(&t);
        script_answer(SCRIPT, GEN(G1));
        if (loses)
            script_lost(SCRIPT, MAYBE_SENT);
        script_replies(SCRIPT, 2, INTEGER(0), GEN(G2));
        script_replies(SCRIPT, 2, INTEGER(0), GEN(G2));
        script_done(SCRIPT, loses ? COAT_EUNCERTAIN : 0);
        cache_free(&t);
    }
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static void what_was_seen_is_tried_first(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_DELETE, G1);
    script_sent(SCRIPT, 0, "UNLINK", "shop:c:l:{" IN(G1) "}", NULL);
    script_sent(SCRIPT, 1, "UNLINK", IN(G1), NULL);
    cache_start(&t); /* as the next operation of this store would begin */
    assert_int_equal(script_commands(SCRIPT), 3);
    script_sent(SCRIPT, 1, "UNLINK", IN(G1), NULL);
    coat_generation_forget(&t.script.store, (struct coat_arg){NAME, 10});
    cache_start(&t);
    assert_int_equal(script_commands(SCRIPT), 1);
    cache_free(&t);
}

static void invalidating_deletes_and_forgets(void **state)
{
    (void)state;
    struct cache_script t;
    start(&t, COAT_CACHE_GET, G1);
    struct coat_cache_op *x;
    assert_int_equal(coat_cache_op_new(&x, &t.script.store, COAT_CACHE_INVALIDATE, 2, NULL), 0);
    assert_int_equal(coat_cache_op_in(x, view, NULL), 0);
    assert_int_equal(coat_cache_op_own(x, NULL), 0);
    assert_int_equal(coat_cache_op_key(x, "m", 1, NULL), 0);
    t.script.op = coat_cache_op(x);
    cache_start(&t);
    script_sent(SCRIPT, 0, "UNLINK", NAME, NULL);
    script_sent(SCRIPT, 1, "UNLINK", NAME "\x1fm", NULL);
    script_replies(SCRIPT, 2, INTEGER(1), INTEGER(0));
    script_done(SCRIPT, 1);
    cache_start(&t);
    script_lost(SCRIPT, MAYBE_SENT);
    script_replies(SCRIPT, 2, INTEGER(0), INTEGER(0));
    script_done(SCRIPT, 2);
    coat_cache_op_free(x);
    t.script.op = coat_cache_op(t.x);
    cache_start(&t);
    assert_int_equal(script_commands(SCRIPT), 1);
    cache_free(&t);
}

/* ---- Making a value once --------------------------------------------------------------------- */

static void a_fill_is_in_the_generation_of_its_fetch(void **state)
{
    (void)state;
    struct cache_script t;
    struct coat_cache_fill *fill;
    struct coat_reply claimed[] = {INTEGER(1), NIL, INTEGER(-2)};
    struct coat_reply claim = {.kind = COAT_REPLY_ARRAY, .items = claimed, .count = 3};
    size_t len;
    start(&t, COAT_CACHE_TTL, G1); /* for the view, and what is remembered */
    assert_int_equal(coat_cache_fill_new_in(&fill, &t.script.store, view, "a", 1, 30000, NULL), 0);
    t.script.op = coat_cache_fetch_op(fill, cache_found, &t);
    cache_start(&t);
    assert_int_equal(script_commands(SCRIPT), 3);
    script_sent(SCRIPT, 0, "GET", IN(G1), NULL);
    script_event(SCRIPT,
                 (struct coat_event){.kind = COAT_EVENT_REPLIES,
                                     .replies = (struct coat_reply[]){NIL, INTEGER(-2), GEN(G1)},
                                     .count = 3});
    script_sent(SCRIPT, 0, "EVALSHA", ANY, "2", "shop:c:l:{" IN(G1) "}", IN(G1), ANY, "30000",
                NULL);
    script_replies(SCRIPT, 2, claim, GEN(G2)); /* a lock of what has ended */
    script_sent(SCRIPT, 0, "GET", IN(G2), NULL);
    script_event(SCRIPT,
                 (struct coat_event){.kind = COAT_EVENT_REPLIES,
                                     .replies = (struct coat_reply[]){NIL, INTEGER(-2), GEN(G2)},
                                     .count = 3});
    script_replies(SCRIPT, 2, claim, GEN(G2));
    script_done(SCRIPT, COAT_FETCH_MAKE);
    assert_memory_equal(coat_cache_fill_generation(fill, &len), G2, 16);
    assert_int_equal(len, 16);
    coat_generation_forget(&t.script.store, (struct coat_arg){NAME, 10});
    assert_int_equal(coat_cache_fill_value(fill, VALUE, 4, 10, 0, 0, NULL), 0);
    t.script.op = coat_cache_fill_op(fill);
    cache_start(&t);
    assert_int_equal(script_commands(SCRIPT), 1);
    script_sent(SCRIPT, 0, "EVALSHA", ANY, "2", "shop:c:l:{" IN(G2) "}", IN(G2), ANY, ANY, "10",
                NULL);
    script_answer(SCRIPT, INTEGER(1));
    script_done(SCRIPT, 1);
    coat_cache_fill_free(fill);
    cache_free(&t);
}

static void a_lock_of_a_key_with_a_brace_is_beside_it(void **state)
{
    (void)state;
    struct cache_script t;
    struct coat_cache_fill *fill;
    start(&t, COAT_CACHE_TTL, G1);
    assert_int_equal(coat_cache_fill_new_in(&fill, &t.script.store, view, "{a}", 3, 30000, NULL),
                     0);
    t.script.op = coat_cache_fetch_op(fill, cache_found, &t);
    cache_start(&t);
    t.script.op = coat_cache_release_op(fill);
    cache_start(&t);
    script_sent(SCRIPT, 0, "EVALSHA", ANY, "2", "shop:c:m:" G1 ":{a}", "shop:c:n:" G1 ":{a}", ANY,
                "", "1", NULL);
    coat_cache_fill_free(fill);
    cache_free(&t);
}

/* ---- All keys -------------------------------------------------------------------------------- */

static void a_walk_is_over_the_keys_of_now(void **state)
{
    (void)state;
    struct cache_script t;
    struct coat_cache_scan *scan;
    struct coat_reply key = BULK("shop:c:n:" G2 ":b", 27);
    struct coat_reply page[] = {BULK("7", 1),
                                {.kind = COAT_REPLY_ARRAY, .items = &key, .count = 1}};
    struct coat_reply pages = {.kind = COAT_REPLY_ARRAY, .items = page, .count = 2};
    size_t len;
    start(&t, COAT_CACHE_TTL, G1);
    assert_int_equal(
        coat_cache_scan_new_in(&scan, &t.script.store, view, COAT_CACHE_SCAN_KEYS, "b*", 2, NULL),
        0);
    t.script.op = coat_cache_scan_op(scan);
    cache_start(&t);
    script_sent(SCRIPT, 0, "SCAN", "0", "MATCH", "shop:c:n:" G1 ":b*", "COUNT", ANY, NULL);
    script_replies(SCRIPT, 2, pages, GEN(G2));
    script_sent(SCRIPT, 0, "SCAN", "0", "MATCH", "shop:c:n:" G2 ":b*", "COUNT", ANY, NULL);
    script_replies(SCRIPT, 2, pages, GEN(G2));
    script_done(SCRIPT, 1);
    assert_int_equal(coat_cache_scan_count(scan), 1);
    assert_memory_equal(coat_cache_scan_key(scan, 0, &len), "b", 1);
    assert_int_equal(len, 1);
    cache_start(&t);
    script_sent(SCRIPT, 0, "SCAN", "7", "MATCH", "shop:c:n:" G2 ":b*", "COUNT", ANY, NULL);
    script_replies(SCRIPT, 2, pages, NIL);
    script_answer(SCRIPT, NIL);
    script_done(SCRIPT, 0);
    assert_int_equal(coat_cache_scan_count(scan), 0);
    coat_cache_scan_free(scan);
    cache_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_asks_for_the_generation_first),
        cmocka_unit_test(without_a_generation_a_read_finds_nothing_and_makes_none),
        cmocka_unit_test(a_write_proposes_a_generation_and_takes_what_is_there),
        cmocka_unit_test(no_generation_is_proposed_twice),
        cmocka_unit_test(asking_says_what_the_server_refuses),
        cmocka_unit_test(a_reply_of_another_generation_does_not_count),
        cmocka_unit_test(a_read_of_what_has_ended_is_a_miss),
        cmocka_unit_test(what_was_added_to_what_has_ended_is_added_again),
        cmocka_unit_test(an_error_of_a_script_in_what_has_ended_is_none),
        cmocka_unit_test(that_ends_again_and_again_is_said),
        cmocka_unit_test(what_is_done_once_is_uncertain_where_its_reply_is_lost),
        cmocka_unit_test(a_generation_that_cannot_be_read_is_a_loss),
        cmocka_unit_test(a_repeat_tells_the_generation_again),
        cmocka_unit_test(a_swap_is_uncertain_in_the_next_generation_too),
        cmocka_unit_test(what_was_seen_is_tried_first),
        cmocka_unit_test(invalidating_deletes_and_forgets),
        cmocka_unit_test(a_fill_is_in_the_generation_of_its_fetch),
        cmocka_unit_test(a_lock_of_a_key_with_a_brace_is_beside_it),
        cmocka_unit_test(a_walk_is_over_the_keys_of_now),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    coat_view_free(view);
    return failed;
}
