/*
 * The courier by script: where it goes, and what it makes of each refusal. Nodes are known by
 * their ports; no connection is ever opened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/courier.h"
#include "api/error.h"
#include "api/fault.h"
#include "redis.h"
#include "reply_text.h"
#include "store.h"
#include "live/simple_op.h"

#define DEADLINE_MS 10000

/* "a" is in slot 15495, "b" in 3300, "c" in 7365: at ports 3, 1 and 2. */
#define SLOTS                                                                                      \
    "[[0 5460 ['h' 1 'id'] ['h' 4 'id']] [5461 10922 ['h' 2 'id']] [10923 16383 ['h' 3 'id']]]"

struct ride {
    struct coat_store *store;
    struct coat_courier courier;
    struct coat_hop hop;
    struct coat_error err;
    struct simple_op op;
    char words[128];
    int64_t now_ms;
    int64_t confirm; /* of the operations to come */
    struct reply_room room;
};

static void step(struct ride *r, struct coat_event event)
{
    event.now_ms = 1700000000000;
    event.monotonic_ms = r->now_ms;
    memset(&r->hop, 0xee, sizeof r->hop);
    coat_courier_step(&r->courier, &event, &r->hop, &r->err);
}

static void open_store(struct ride *r, const char *url, const char *option, const char *value)
{
    struct coat_options *options;
    memset(r, 0, sizeof *r);
    r->now_ms = 1000;
    assert_int_equal(coat_options_new(&options, NULL), 0);
    assert_int_equal(coat_options_set(options, "url", url, NULL), 0);
    assert_int_equal(coat_options_set(options, "prefix", "t:", NULL), 0);
    if (option)
        assert_int_equal(coat_options_set(options, option, value, NULL), 0);
    assert_int_equal(coat_store_open(&r->store, options, NULL), 0);
    coat_options_free(options);
}

/* The next operation of the same store. */
static void go(struct ride *r, const char *words)
{
    struct coat_courier_options options = {.deadline_ms = r->now_ms + DEADLINE_MS,
                                           .verify = r->store->options->verify};
    snprintf(r->words, sizeof r->words, "%s", words);
    simple_op_init(&r->op, r->words);
    r->op.confirm = r->confirm;
    coat_courier_release(&r->courier);
    coat_courier_init(&r->courier, r->store->redis, &r->op.op, &options);
    step(r, (struct coat_event){.kind = COAT_EVENT_START});
}

static void begin(struct ride *r, const char *url, const char *words)
{
    open_store(r, url, NULL, NULL);
    go(r, words);
}

static void end(struct ride *r)
{
    coat_courier_release(&r->courier);
    coat_store_close(r->store);
}

static int is_at(const struct ride *r, const char *host, int port, enum coat_node_role role)
{
    char copy[64];
    struct coat_node *node;
    snprintf(copy, sizeof copy, "%s", host);
    struct coat_address address = {.scheme = COAT_SCHEME_TCP, .host = copy, .port = port};
    assert_int_equal(coat_redis_node(r->store->redis, &address, role, &node, NULL), 0);
    coat_node_release(node);
    return node == r->hop.node;
}

/* The hop sends these commands there. */
static void sends_to(const struct ride *r, const char *host, int port, const char *words)
{
    char text[256] = "";
    assert_int_equal(r->hop.kind, COAT_HOP_SEND);
    for (size_t i = 0; i < r->hop.count; i++)
        for (size_t j = 0; j < r->hop.commands[i].count; j++) {
            const struct coat_arg *arg = &r->hop.commands[i].args[j];
            size_t len = strlen(text);
            snprintf(text + len, sizeof text - len, "%s%.*s",
                     len == 0 ? ""
                     : j      ? " "
                              : " | ",
                     (int)arg->len, (const char *)arg->bytes);
        }
    assert_string_equal(text, words);
    enum coat_node_role role =
        strncmp(words, "SENTINEL", 8) == 0 ? COAT_NODE_SENTINEL : COAT_NODE_DATA;
    if (!is_at(r, host, port, role))
        fail_msg("%s: not to %s:%d", words, host, port);
}

/* Replies as reply_text.h writes them, up to NULL. */
static void answer(struct ride *r, ...)
{
    struct coat_reply replies[8];
    size_t count = 0;
    const char *text;
    va_list texts;
    va_start(texts, r);
    while ((text = va_arg(texts, const char *)))
        replies[count++] = reply_of(&r->room, text);
    va_end(texts);
    assert_int_equal(count, r->hop.count);
    step(r, (struct coat_event){.kind = COAT_EVENT_REPLIES, .replies = replies, .count = count});
    reply_forget(&r->room); /* they are valid during the step only */
}

static const struct coat_error untrusted = {
    .code = COAT_EUNAVAILABLE, .fault = COAT_FAULT_TRUST, .reason = "ca"};

enum { UNREACHED = 1, UNSENT = 2, MAYBE_SENT = 4, FINAL = 8 };

static void lose_for(struct ride *r, int how, const struct coat_error *why)
{
    assert_int_equal(r->hop.kind, COAT_HOP_SEND);
    step(r, (struct coat_event){.kind = COAT_EVENT_LOST,
                                .maybe_sent = (how & MAYBE_SENT) != 0,
                                .unreached = (how & UNREACHED) != 0,
                                .final = (how & FINAL) != 0,
                                .why = why});
}

static void lose(struct ride *r, int how, int code)
{
    struct coat_error why;
    coat_error_because(&why, code, "lost", "the connection was lost");
    lose_for(r, how, &why);
}

/* It waits, not longer than so; then the time has come. */
static void waits(struct ride *r, int64_t most_ms)
{
    assert_int_equal(r->hop.kind, COAT_HOP_WAIT);
    assert_true(r->hop.until_ms > r->now_ms && r->hop.until_ms <= r->now_ms + most_ms);
    r->now_ms = r->hop.until_ms;
    step(r, (struct coat_event){.kind = COAT_EVENT_TIMER});
}

static void is_done(const struct ride *r, int rc, const char *text)
{
    assert_int_equal(r->hop.kind, COAT_HOP_DONE);
    assert_int_equal(r->hop.rc, rc);
    if (text)
        assert_string_equal(r->op.text, text);
    if (rc < 0 && rc != SIMPLE_ERROR_REPLY)
        assert_int_equal(r->err.code, rc);
}

/* A cluster whose slots are known. */
static void begin_in_cluster(struct ride *r, const char *words)
{
    begin(r, "redis+cluster://h:1", words);
    sends_to(r, "h", 1, "CLUSTER SLOTS");
    answer(r, SLOTS, NULL);
}

/* ---- One server ----------------------------------------------------------------------------- */

static void one_server_is_asked_at_once_and_its_refusals_are_the_operations(void **state)
{
    (void)state;
    static const char *const refusals[] = {"-MOVED 1 h:1", "-ASK 1 h:1", "-TRYAGAIN x",
                                           "-READONLY x",  "-LOADING x", "-CLUSTERDOWN x",
                                           "-MASTERDOWN x"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct ride r;
        begin(&r, "redis://h:7", "GET a");
        sends_to(&r, "h", 7, "GET a");
        answer(&r, refusals[i], NULL);
        is_done(&r, SIMPLE_ERROR_REPLY, refusals[i] + 1);
        end(&r);
    }
}

static void one_server_that_cannot_be_reached_is_no_use_to_ask_again(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis://h:7", "GET a");
    r.op.repeats = 5;
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_int_equal(r.op.final, 1);
    assert_int_equal(r.op.maybe_sent, 0);
    end(&r);
}

/* ---- The way to a node ---------------------------------------------------------------------- */

static void the_slots_are_asked_once_and_then_known(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    sends_to(&r, "h", 3, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    go(&r, "GET b");
    sends_to(&r, "h", 1, "GET b");
    answer(&r, "'y'", NULL);
    is_done(&r, 0, "y");
    end(&r);
}

static void a_key_of_none_goes_to_any_node(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "PING");
    assert_int_equal(r.hop.kind, COAT_HOP_SEND);
    answer(&r, "+PONG", NULL);
    is_done(&r, 0, "PONG");
    end(&r);
}

static void where_slots_is_missing_shards_is_asked(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+cluster://h:1", "GET a");
    answer(&r, "-ERR unknown subcommand 'SLOTS'", NULL);
    sends_to(&r, "h", 1, "CLUSTER SHARDS");
    answer(&r, "[['slots' [0 16383] 'nodes' [['port' 9 'ip' 'i' 'role' 'master']]]]", NULL);
    sends_to(&r, "i", 9, "GET a");
    end(&r);
}

static void the_next_one_is_asked_where_one_cannot_be(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+cluster://h:1,h:2,h:3", "GET a");
    sends_to(&r, "h", 1, "CLUSTER SLOTS");
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    sends_to(&r, "h", 2, "CLUSTER SLOTS");
    answer(&r, "-LOADING x", NULL);
    sends_to(&r, "h", 3, "CLUSTER SLOTS");
    answer(&r, "[[0 16383 ['i' 9 'id']]]", NULL);
    sends_to(&r, "i", 9, "GET a");
    end(&r);
}

static void if_nobody_can_be_asked_it_tries_again_until_the_deadline(void **state)
{
    (void)state;
    struct ride r;
    int asked = 0;
    begin(&r, "redis+cluster://h:1", "GET a");
    while (r.hop.kind != COAT_HOP_DONE) {
        if (r.hop.kind == COAT_HOP_SEND) {
            sends_to(&r, "h", 1, "CLUSTER SLOTS");
            lose(&r, UNREACHED, COAT_EUNAVAILABLE);
            asked++;
        } else {
            waits(&r, 160);
        }
    }
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_string_equal(r.err.reason, "lost");
    assert_in_range(asked, 30, 200);
    assert_true(r.now_ms < 1000 + DEADLINE_MS);
    assert_int_equal(r.op.maybe_sent, 0);
    end(&r);
}

static void wrong_credentials_everywhere_are_told_at_once(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+cluster://h:1,h:2", "GET a");
    lose(&r, UNREACHED, COAT_EDENIED);
    lose(&r, UNREACHED, COAT_EDENIED);
    is_done(&r, COAT_EDENIED, NULL);
    end(&r);
}

static void a_certificate_that_is_refused_everywhere_is_told_at_once(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "rediss+cluster://h:1,h:2", "GET a");
    lose_for(&r, UNREACHED, &untrusted);
    lose_for(&r, UNREACHED, &untrusted);
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_string_equal(r.err.reason, "ca");
    end(&r);
}

static void a_refusal_by_one_of_several_leaves_hope(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+cluster://h:1,h:2", "GET a");
    lose(&r, UNREACHED, COAT_ETIMEOUT);
    lose(&r, UNREACHED, COAT_EDENIED);
    while (r.hop.kind == COAT_HOP_WAIT)
        waits(&r, 160);
    sends_to(&r, "h", 1, "CLUSTER SLOTS");
    end(&r);
}

static void what_tells_most_is_reported_in_the_end(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "rediss+cluster://h:1,h:2,h:3", "GET a");
    lose(&r, UNREACHED, COAT_ETIMEOUT);
    lose_for(&r, UNREACHED, &untrusted);
    lose(&r, UNREACHED | FINAL, COAT_ETIMEOUT);
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_string_equal(r.err.reason, "ca");
    end(&r);
}

static void a_time_that_ran_out_hides_no_failure_before_it(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    sends_to(&r, "h", 3, "GET a");
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    while (r.hop.kind == COAT_HOP_WAIT)
        waits(&r, 160);
    lose(&r, UNREACHED | FINAL, COAT_ETIMEOUT);
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    end(&r);
}

static void what_went_wrong_before_the_topology_was_known_is_forgotten(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "rediss+cluster://h:1,h:2", "GET a");
    lose_for(&r, UNREACHED, &untrusted);
    sends_to(&r, "h", 2, "CLUSTER SLOTS");
    answer(&r, SLOTS, NULL);
    lose(&r, UNREACHED | FINAL, COAT_ETIMEOUT);
    is_done(&r, COAT_ETIMEOUT, NULL);
    end(&r);
}

/* An operation that asks for more commands than there can be. */
static void ask_for_too_much(struct coat_op *op, const struct coat_event *event,
                             struct coat_step *step, struct coat_error *err)
{
    (void)op;
    *step = (struct coat_step){.kind = COAT_STEP_SEND, .count = SIZE_MAX / 2};
    if (event->kind == COAT_EVENT_LOST) {
        *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = event->why->code};
        *err = *event->why;
    }
}

static void a_step_too_large_for_memory_fails_before_the_allocator_is_asked(void **state)
{
    (void)state;
    struct ride r;
    struct coat_op op = {.step = ask_for_too_much};
    open_store(&r, "redis://h:1", NULL, NULL);
    coat_courier_init(&r.courier, r.store->redis, &op, &(struct coat_courier_options){0});
    step(&r, (struct coat_event){.kind = COAT_EVENT_START});
    is_done(&r, COAT_ENOMEM, NULL);
    end(&r);
}

static void who_waited_for_one_that_gave_up_asks_at_once(void **state)
{
    (void)state;
    struct ride first, second;
    begin(&first, "redis+cluster://h:1", "GET a");
    memset(&second, 0, sizeof second);
    second.store = first.store;
    second.now_ms = first.now_ms;
    go(&second, "GET b");
    lose(&first, UNREACHED, COAT_EDENIED);
    is_done(&first, COAT_EDENIED, NULL);
    waits(&second, 10);
    sends_to(&second, "h", 1, "CLUSTER SLOTS");
    coat_courier_release(&second.courier);
    end(&first);
}

static void while_another_asks_who_knows_no_route_waits(void **state)
{
    (void)state;
    struct ride first, second;
    begin(&first, "redis+cluster://h:1", "GET a");
    sends_to(&first, "h", 1, "CLUSTER SLOTS");
    memset(&second, 0, sizeof second);
    second.store = first.store;
    second.now_ms = first.now_ms;
    go(&second, "GET b");
    waits(&second, 10);
    assert_int_equal(second.hop.kind, COAT_HOP_WAIT);
    answer(&first, SLOTS, NULL);
    waits(&second, 10);
    sends_to(&second, "h", 1, "GET b");
    coat_courier_release(&second.courier);
    end(&first);
}

static void who_may_not_list_the_slots_is_led_by_redirects(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+cluster://h:1", "GET a");
    answer(&r, "-NOPERM this user has no permissions", NULL);
    sends_to(&r, "h", 1, "GET a");
    answer(&r, "-MOVED 15495 h:3", NULL);
    sends_to(&r, "h", 3, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    r.now_ms += 5000;
    go(&r, "GET a");
    sends_to(&r, "h", 3, "GET a");
    end(&r);
}

/* ---- Redirects ------------------------------------------------------------------------------ */

static void moved_is_followed_and_remembered_and_asked_about_later(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "-MOVED 15495 h:2", NULL);
    sends_to(&r, "h", 2, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    go(&r, "GET a");
    sends_to(&r, "h", 2, "GET a");
    r.now_ms += 1001;
    go(&r, "GET a");
    assert_int_equal(r.hop.count, 1);
    assert_memory_equal(r.hop.commands[0].args[0].bytes, "CLUSTER", 7);
    end(&r);
}

static void moved_without_a_host_is_to_the_same_host(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "-MOVED 15495 :2", NULL);
    sends_to(&r, "h", 2, "GET a");
    end(&r);
}

static void announced_addresses_go_through_node_map(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis+cluster://h:1", "node_map", "10.0.0.1:6379=near:77,10.0.0.2:1=near:78");
    go(&r, "GET a");
    answer(&r, "[[0 16383 ['10.0.0.1' 6379 'id']]]", NULL);
    sends_to(&r, "near", 77, "GET a");
    answer(&r, "-ASK 15495 10.0.0.2:1", NULL);
    sends_to(&r, "near", 78, "ASKING | GET a");
    end(&r);
}

static void ask_is_followed_with_asking_and_for_this_once(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "-ASK 15495 h:2", NULL);
    sends_to(&r, "h", 2, "ASKING | GET a");
    answer(&r, "+OK", "'x'", NULL);
    is_done(&r, 0, "x");
    go(&r, "GET a");
    sends_to(&r, "h", 3, "GET a");
    end(&r);
}

static void nodes_that_point_at_each_other_are_given_up_on(void **state)
{
    (void)state;
    struct ride r;
    int sends = 0;
    begin_in_cluster(&r, "GET a");
    while (r.hop.kind != COAT_HOP_DONE) {
        if (r.hop.kind == COAT_HOP_WAIT) {
            waits(&r, 160);
        } else if (r.hop.commands[0].count == 2 && r.hop.commands[0].args[0].len == 3) {
            answer(&r, sends++ % 2 ? "-MOVED 15495 h:3" : "-MOVED 15495 h:2", NULL);
        } else {
            answer(&r, SLOTS, NULL);
        }
    }
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_string_equal(r.err.reason, "MOVED");
    assert_int_equal(sends, 17);
    assert_int_equal(r.op.maybe_sent, 0);
    end(&r);
}

/* ---- Refusals that pass --------------------------------------------------------------------- */

static void tryagain_is_waited_out(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "-TRYAGAIN Multiple keys request during rehashing of slot", NULL);
    waits(&r, 10);
    sends_to(&r, "h", 3, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    assert_int_equal(r.op.losses, 0);
    end(&r);
}

static void a_node_that_does_not_serve_is_waited_for_and_asked_about(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        "-CLUSTERDOWN The cluster is down", "-READONLY You can't write against a read only replica",
        "-ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write",
        "-MASTERDOWN Link with MASTER is down", "-LOADING Redis is loading the dataset"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct ride r;
        begin_in_cluster(&r, "GET a");
        r.now_ms += 50;
        answer(&r, refusals[i], NULL);
        waits(&r, 10);
        assert_memory_equal(r.hop.commands[0].args[0].bytes, "CLUSTER", 7);
        answer(&r, "[[0 16383 ['i' 9 'id']]]", NULL);
        sends_to(&r, "i", 9, "GET a");
        answer(&r, "'x'", NULL);
        is_done(&r, 0, "x");
        end(&r);
    }
}

static void refusals_that_do_not_pass_end_at_the_deadline(void **state)
{
    (void)state;
    struct ride r;
    int64_t longest = 0;
    begin_in_cluster(&r, "GET a");
    while (r.hop.kind != COAT_HOP_DONE) {
        int64_t before = r.now_ms;
        if (r.hop.kind == COAT_HOP_WAIT)
            waits(&r, 160);
        else
            answer(&r, r.hop.commands[0].args[0].len == 3 ? "-CLUSTERDOWN x" : SLOTS, NULL);
        longest = r.now_ms - before > longest ? r.now_ms - before : longest;
    }
    is_done(&r, COAT_EUNAVAILABLE, NULL);
    assert_string_equal(r.err.reason, "CLUSTERDOWN");
    assert_true(longest > 80);
    assert_int_equal(r.op.final, 1);
    end(&r);
}

static void other_refusals_are_the_operations(void **state)
{
    (void)state;
    static const char *const refusals[] = {"-OOM x",  "-NOPERM x",    "-NOSCRIPT x",
                                           "-BUSY x", "-WRONGTYPE x", "-MOVED nonsense"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct ride r;
        begin_in_cluster(&r, "GET a");
        answer(&r, refusals[i], NULL);
        is_done(&r, SIMPLE_ERROR_REPLY, refusals[i] + 1);
        end(&r);
    }
}

/* ---- Losses --------------------------------------------------------------------------------- */

static void what_was_surely_not_sent_is_sent_again_by_itself(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "SET a 1");
    r.now_ms += 50;
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    waits(&r, 10);
    assert_memory_equal(r.hop.commands[0].args[0].bytes, "CLUSTER", 7);
    answer(&r, "[[0 16383 ['h' 4 'id']]]", NULL);
    sends_to(&r, "h", 4, "SET a 1");
    answer(&r, "+OK", NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.losses, 0);
    end(&r);
}

static void what_was_perhaps_done_is_for_the_operation_to_repeat(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "SET a 1");
    r.op.repeats = 1;
    r.now_ms += 50;
    lose(&r, MAYBE_SENT, COAT_EUNAVAILABLE);
    assert_int_equal(r.op.losses, 1);
    assert_int_equal(r.op.maybe_sent, 1);
    assert_int_equal(r.op.final, 0);
    assert_memory_equal(r.hop.commands[0].args[0].bytes, "CLUSTER", 7);
    end(&r);
}

static void a_final_loss_ends_it(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "SET a 1");
    r.op.repeats = 9; /* it would ask again, and must not */
    lose(&r, MAYBE_SENT | FINAL, COAT_ETIMEOUT);
    is_done(&r, COAT_ETIMEOUT, NULL);
    end(&r);
}

/* ---- Pipelines ------------------------------------------------------------------------------ */

static void a_pipeline_is_split_by_node_and_its_replies_are_in_order(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a | GET b | GET a | GET c");
    sends_to(&r, "h", 3, "GET a | GET a");
    answer(&r, "'1'", "'3'", NULL);
    sends_to(&r, "h", 1, "GET b");
    answer(&r, "'2'", NULL);
    sends_to(&r, "h", 2, "GET c");
    answer(&r, "['x' [5 nil]]", NULL);
    is_done(&r, 0, NULL);
    assert_int_equal(r.op.kind, COAT_REPLY_ARRAY);
    assert_int_equal(r.op.answers, 1);
    end(&r);
}

static void only_what_was_refused_is_sent_again(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a | TTL a");
    sends_to(&r, "h", 3, "GET a | TTL a");
    answer(&r, "'1'", "-ASK 15495 h:2", NULL);
    sends_to(&r, "h", 2, "ASKING | TTL a");
    answer(&r, "+OK", "7", NULL);
    is_done(&r, 0, NULL);
    assert_int_equal(r.op.integer, 7);
    end(&r);
}

static void a_part_that_is_lost_may_have_been_done_if_another_was(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "SET a 1 | SET b 1");
    answer(&r, "+OK", NULL);
    sends_to(&r, "h", 1, "SET b 1");
    lose(&r, UNREACHED | FINAL, COAT_ETIMEOUT);
    is_done(&r, COAT_ETIMEOUT, NULL);
    assert_int_equal(r.op.maybe_sent, 1);
    end(&r);
}

/* ---- Sentinel ------------------------------------------------------------------------------- */

#define ASK_MASTER "SENTINEL GET-MASTER-ADDR-BY-NAME main"

static void sentinels_are_asked_one_after_the_other_and_the_good_one_first(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+sentinel://s:1,s:2,s:3/main", "GET a");
    sends_to(&r, "s", 1, ASK_MASTER);
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    sends_to(&r, "s", 2, ASK_MASTER);
    answer(&r, "['m' '6379']", NULL);
    sends_to(&r, "m", 6379, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    go(&r, "GET b");
    sends_to(&r, "m", 6379, "GET b");
    end(&r);
}

static void a_master_that_has_moved_is_asked_for_again(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+sentinel://s:1/main", "SET a 1");
    answer(&r, "['m' '1']", NULL);
    sends_to(&r, "m", 1, "SET a 1");
    r.now_ms += 50;
    answer(&r, "-READONLY You can't write against a read only replica.", NULL);
    waits(&r, 10);
    sends_to(&r, "s", 1, ASK_MASTER);
    answer(&r, "['m' '2']", NULL);
    sends_to(&r, "m", 2, "SET a 1");
    answer(&r, "+OK", NULL);
    is_done(&r, 0, "OK");
    end(&r);
}

static void without_sentinels_the_last_master_is_still_tried(void **state)
{
    (void)state;
    struct ride r;
    begin(&r, "redis+sentinel://s:1/main", "GET a");
    answer(&r, "['m' '1']", NULL);
    r.now_ms += 50;
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    waits(&r, 10);
    sends_to(&r, "s", 1, ASK_MASTER);
    lose(&r, UNREACHED, COAT_EUNAVAILABLE);
    sends_to(&r, "m", 1, "GET a");
    answer(&r, "'x'", NULL);
    is_done(&r, 0, "x");
    end(&r);
}

/* ---- verify --------------------------------------------------------------------------------- */

static const char *nonce_of(const struct ride *r)
{
    static char text[64];
    const struct coat_command *last = &r->hop.commands[r->hop.count - 1];
    assert_int_equal(last->count, 2);
    assert_memory_equal(last->args[0].bytes, "PING", 4);
    snprintf(text, sizeof text, "'%.*s'", (int)last->args[1].len,
             (const char *)last->args[1].bytes);
    return text;
}

static void verify_adds_a_nonce_that_is_taken_off_again(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h:7", "verify", "1");
    go(&r, "GET a");
    assert_int_equal(r.hop.count, 2);
    answer(&r, "'x'", nonce_of(&r), NULL);
    is_done(&r, 0, "x");
    assert_int_equal(r.hop.close, 0);
    end(&r);
}

static void a_reply_without_its_nonce_is_foreign_and_closes(void **state)
{
    (void)state;
    static const char *const wrong[] = {"'00000000000000000000000000000000'", "nil", "'x'", "+OK",
                                        "-ERR x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ride r;
        open_store(&r, "redis://h:7", "verify", "1");
        go(&r, "GET a");
        answer(&r, "'x'", wrong[i], NULL);
        is_done(&r, COAT_EFOREIGN, NULL);
        assert_int_equal(r.hop.close, 1);
        assert_int_equal(r.op.final, 1);
        assert_int_equal(r.op.maybe_sent, 1);
        end(&r);
    }
}

/* Each of two pipelines gets the end of the other's replies; the answers themselves are alike. */
static void exchanged_replies_are_foreign_to_both(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct ride one, other;
        char first[64], second[64];
        open_store(&one, "redis://h:7", "verify", "1");
        open_store(&other, "redis://h:7", "verify", "1");
        go(&one, "GET a");
        go(&other, "GET b");
        snprintf(first, sizeof first, "%s", nonce_of(&one));
        snprintf(second, sizeof second, "%s", nonce_of(&other));
        answer(&one, all ? "'y'" : "'x'", second, NULL);
        answer(&other, all ? "'x'" : "'y'", first, NULL);
        is_done(&one, COAT_EFOREIGN, NULL);
        is_done(&other, COAT_EFOREIGN, NULL);
        assert_int_equal(one.hop.close && other.hop.close, 1);
        end(&one);
        end(&other);
    }
}

/* A reply was lost or came twice, and the others have moved by one. */
static void replies_that_have_moved_are_foreign(void **state)
{
    (void)state;
    for (int earlier = 0; earlier < 2; earlier++) {
        struct ride r;
        char nonce[64];
        open_store(&r, "redis://h:7", "verify", "1");
        go(&r, "GET a");
        snprintf(nonce, sizeof nonce, "%s", nonce_of(&r));
        if (earlier)
            answer(&r, nonce, "'x'", NULL);
        else
            answer(&r, "'w'", "'x'", NULL);
        is_done(&r, COAT_EFOREIGN, NULL);
        assert_int_equal(r.hop.close, 1);
        end(&r);
    }
}

static void a_topology_without_its_nonce_is_not_believed(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis+cluster://h:1,h:2", "verify", "1");
    go(&r, "GET a");
    answer(&r, SLOTS, "'x'", NULL);
    assert_int_equal(r.hop.close, 1);
    assert_int_equal(r.hop.kind, COAT_HOP_SEND);
    assert_int_equal(is_at(&r, "h", 2, COAT_NODE_DATA), 1);
    answer(&r, SLOTS, nonce_of(&r), NULL);
    assert_int_equal(r.hop.close, 0);
    assert_int_equal(is_at(&r, "h", 3, COAT_NODE_DATA), 1);
    end(&r);
}

static void sentinels_get_no_nonce(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis+sentinel://s:1/main", "verify", "1");
    go(&r, "GET a");
    sends_to(&r, "s", 1, ASK_MASTER);
    answer(&r, "['m' '1']", NULL);
    assert_int_equal(r.hop.count, 2);
    answer(&r, "'x'", nonce_of(&r), NULL);
    is_done(&r, 0, "x");
    end(&r);
}

static void each_pipeline_has_another_nonce(void **state)
{
    (void)state;
    struct ride r;
    char first[64];
    open_store(&r, "redis://h:7", "verify", "1");
    go(&r, "GET a");
    snprintf(first, sizeof first, "%s", nonce_of(&r));
    go(&r, "GET a");
    assert_string_not_equal(first, nonce_of(&r));
    end(&r);
}

#define TEST(name) cmocka_unit_test(name)

/* ---- Operations that wait ------------------------------------------------------------------- */

/* Waits until a time, then is done: with 5, or with why it cannot be. */
struct waiter {
    struct coat_op op;
    int64_t until_ms;
};

static void waiter_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                        struct coat_error *err)
{
    const struct waiter *w = (const struct waiter *)op;
    int rc = 5;
    if (event->kind == COAT_EVENT_START) {
        *step = (struct coat_step){.kind = COAT_STEP_WAIT, .until_ms = w->until_ms};
        return;
    }
    if (event->kind == COAT_EVENT_LOST) {
        assert_int_equal(event->final, 1);
        *err = *event->why;
        rc = event->why->code;
    }
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc};
}

static void let_it_wait(struct ride *r, struct waiter *w)
{
    struct coat_courier_options options = {.deadline_ms = r->now_ms + DEADLINE_MS};
    w->op.step = waiter_step;
    w->op.kind = COAT_KIND_LOCK;
    coat_courier_init(&r->courier, r->store->redis, &w->op, &options);
    step(r, (struct coat_event){.kind = COAT_EVENT_START});
}

static void an_operation_may_wait(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h", NULL, NULL);
    struct waiter w = {.until_ms = r.now_ms + DEADLINE_MS - 1};
    let_it_wait(&r, &w);
    assert_int_equal(r.hop.kind, COAT_HOP_WAIT);
    assert_int_equal(r.hop.until_ms, w.until_ms);
    r.now_ms = w.until_ms;
    step(&r, (struct coat_event){.kind = COAT_EVENT_TIMER});
    assert_int_equal(r.hop.kind, COAT_HOP_DONE);
    assert_int_equal(r.hop.rc, 5);
    end(&r);
}

static void a_wait_of_an_operation_beyond_the_deadline_is_not_begun(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h", NULL, NULL);
    struct waiter w = {.until_ms = r.now_ms + DEADLINE_MS};
    let_it_wait(&r, &w);
    assert_int_equal(r.hop.kind, COAT_HOP_DONE);
    assert_int_equal(r.hop.rc, COAT_ETIMEOUT);
    assert_string_equal(r.err.reason, "timeout");
    end(&r);
}

/* ---- Waiting for replicas ------------------------------------------------------------------- */

static void what_is_to_be_confirmed_ends_with_a_wait(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h:7", NULL, NULL);
    r.confirm = 2;
    go(&r, "SET a 1");
    sends_to(&r, "h", 7, "SET a 1 | WAIT 2 7500"); /* of the 10 s that it has */
    assert_int_equal(r.hop.waits, 1);
    answer(&r, "+OK", "3", NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.confirmed, 3);
    r.confirm = 0;
    go(&r, "SET a 1");
    sends_to(&r, "h", 7, "SET a 1");
    assert_int_equal(r.hop.waits, 0);
    end(&r);
}

static void the_nonce_comes_after_the_wait(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h:7", "verify", "1");
    r.confirm = 1;
    go(&r, "SET a 1");
    assert_int_equal(r.hop.count, 3);
    answer(&r, "+OK", "0", nonce_of(&r), NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.confirmed, 0);
    end(&r);
}

static void a_wait_that_is_refused_confirms_nothing(void **state)
{
    (void)state;
    struct ride r;
    open_store(&r, "redis://h:7", NULL, NULL);
    r.confirm = 1;
    go(&r, "SET a 1");
    answer(&r, "+OK", "-NOPERM this user has no permissions", NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.confirmed, -1);
    end(&r);
}

static void a_wait_has_a_number_for_an_answer(void **state)
{
    (void)state;
    static const char *const wrong[] = {"'1'", "nil", "+OK", "[1]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ride r;
        open_store(&r, "redis://h:7", NULL, NULL);
        r.confirm = 1;
        go(&r, "SET a 1");
        answer(&r, "+OK", wrong[i], NULL);
        is_done(&r, COAT_EFOREIGN, NULL);
        assert_int_equal(r.hop.close, 1);
        end(&r);
    }
}

static void of_several_nodes_the_one_with_the_fewest_replicas_counts(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "nil", NULL);
    r.confirm = 1;
    go(&r, "SET a 1 | SET b 2 | SET a 3");
    sends_to(&r, "h", 3, "SET a 1 | SET a 3 | WAIT 1 7500");
    answer(&r, "+OK", "+OK", "1", NULL);
    sends_to(&r, "h", 1, "SET b 2 | WAIT 1 7500");
    answer(&r, "+OK", "2", NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.confirmed, 1);
    end(&r);
}

/* What that node's replicas have is not the write. */
static void a_wait_counts_where_the_write_was_carried_out(void **state)
{
    (void)state;
    struct ride r;
    begin_in_cluster(&r, "GET a");
    answer(&r, "nil", NULL);
    r.confirm = 1;
    go(&r, "SET a 1");
    answer(&r, "-MOVED 15495 h:2", "5", NULL);
    sends_to(&r, "h", 2, "SET a 1 | WAIT 1 7500");
    answer(&r, "-ASK 15495 h:3", "-ERR WAIT cannot be used with replica instances", NULL);
    sends_to(&r, "h", 3, "ASKING | SET a 1 | WAIT 1 7500");
    answer(&r, "+OK", "+OK", "1", NULL);
    is_done(&r, 0, "OK");
    assert_int_equal(r.op.confirmed, 1);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_operation_may_wait),
        TEST(a_wait_of_an_operation_beyond_the_deadline_is_not_begun),
        TEST(one_server_is_asked_at_once_and_its_refusals_are_the_operations),
        TEST(one_server_that_cannot_be_reached_is_no_use_to_ask_again),
        TEST(the_slots_are_asked_once_and_then_known),
        TEST(a_key_of_none_goes_to_any_node),
        TEST(where_slots_is_missing_shards_is_asked),
        TEST(the_next_one_is_asked_where_one_cannot_be),
        TEST(if_nobody_can_be_asked_it_tries_again_until_the_deadline),
        TEST(wrong_credentials_everywhere_are_told_at_once),
        TEST(a_certificate_that_is_refused_everywhere_is_told_at_once),
        TEST(a_refusal_by_one_of_several_leaves_hope),
        TEST(what_tells_most_is_reported_in_the_end),
        TEST(a_time_that_ran_out_hides_no_failure_before_it),
        TEST(what_went_wrong_before_the_topology_was_known_is_forgotten),
        TEST(a_step_too_large_for_memory_fails_before_the_allocator_is_asked),
        TEST(who_waited_for_one_that_gave_up_asks_at_once),
        TEST(while_another_asks_who_knows_no_route_waits),
        TEST(who_may_not_list_the_slots_is_led_by_redirects),
        TEST(moved_is_followed_and_remembered_and_asked_about_later),
        TEST(moved_without_a_host_is_to_the_same_host),
        TEST(announced_addresses_go_through_node_map),
        TEST(ask_is_followed_with_asking_and_for_this_once),
        TEST(nodes_that_point_at_each_other_are_given_up_on),
        TEST(tryagain_is_waited_out),
        TEST(a_node_that_does_not_serve_is_waited_for_and_asked_about),
        TEST(refusals_that_do_not_pass_end_at_the_deadline),
        TEST(other_refusals_are_the_operations),
        TEST(what_was_surely_not_sent_is_sent_again_by_itself),
        TEST(what_was_perhaps_done_is_for_the_operation_to_repeat),
        TEST(a_final_loss_ends_it),
        TEST(a_pipeline_is_split_by_node_and_its_replies_are_in_order),
        TEST(only_what_was_refused_is_sent_again),
        TEST(a_part_that_is_lost_may_have_been_done_if_another_was),
        TEST(sentinels_are_asked_one_after_the_other_and_the_good_one_first),
        TEST(a_master_that_has_moved_is_asked_for_again),
        TEST(without_sentinels_the_last_master_is_still_tried),
        TEST(verify_adds_a_nonce_that_is_taken_off_again),
        TEST(a_reply_without_its_nonce_is_foreign_and_closes),
        TEST(exchanged_replies_are_foreign_to_both),
        TEST(replies_that_have_moved_are_foreign),
        TEST(a_topology_without_its_nonce_is_not_believed),
        TEST(sentinels_get_no_nonce),
        TEST(each_pipeline_has_another_nonce),
        TEST(what_is_to_be_confirmed_ends_with_a_wait),
        TEST(the_nonce_comes_after_the_wait),
        TEST(a_wait_that_is_refused_confirms_nothing),
        TEST(a_wait_has_a_number_for_an_answer),
        TEST(of_several_nodes_the_one_with_the_fewest_replicas_counts),
        TEST(a_wait_counts_where_the_write_was_carried_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
