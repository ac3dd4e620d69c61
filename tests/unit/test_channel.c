#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/channel.h"
#include "clock.h"
#include "node.h"
#include "redis.h"
#include "store.h"

/* A channel of a store that is never connected: the test is what answers. */
struct bench {
    struct coat_store *store;
    struct coat_node *node;
    struct coat_channel *channel;
    struct coat_arg word;
    struct coat_command command;
    struct coat_hop hop;
};

static const char hello[] = "+OK\r\n+OK\r\n+OK\r\n$-1\r\n";

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct coat_options *o;
    coat_options_new(&o, NULL);
    coat_options_set(o, "url", "redis://127.0.0.1:1", NULL);
    coat_options_set(o, "prefix", "test:", NULL);
    assert_int_equal(coat_store_open(&b->store, o, NULL), 0);
    coat_options_free(o);
    const struct coat_address address = {
        .scheme = COAT_SCHEME_TCP, .host = (char[]){"127.0.0.1"}, .port = 1};
    assert_int_equal(coat_redis_node(b->store->redis, &address, COAT_NODE_DATA, &b->node, NULL), 0);
    assert_int_equal(coat_channel_new(&b->channel, b->store, b->node, NULL), 0);
    b->word = (struct coat_arg){"PING", 4};
    b->command = (struct coat_command){.args = &b->word, .count = 1};
    b->hop = (struct coat_hop){
        .kind = COAT_HOP_SEND, .node = b->node, .commands = &b->command, .count = 1};
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    coat_channel_free(b->channel);
    coat_node_release(b->node);
    coat_store_close(b->store);
    free(b);
    return 0;
}

static struct coat_channel_place *queue(struct bench *b, void *owner, int64_t in_ms)
{
    struct coat_channel_place *place;
    assert_int_equal(
        coat_channel_queue(b->channel, &b->hop, coat_monotonic_ms() + in_ms, owner, &place, NULL),
        0);
    return place;
}

/* How many bytes are to be sent. */
static size_t output(struct bench *b)
{
    const char *bytes;
    size_t len;
    assert_true(coat_channel_output(b->channel, &bytes, &len, NULL) >= 0);
    return len;
}

static void input(struct bench *b, const char *bytes)
{
    assert_int_equal(coat_channel_input(b->channel, bytes, strlen(bytes), NULL), 0);
}

static void become_ready(struct bench *b)
{
    assert_int_equal(coat_channel_greet(b->channel, NULL), 0);
    assert_true(output(b) > 0);
    input(b, hello);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_READY);
}

static void assert_next(struct bench *b, const void *owner, long long integer)
{
    struct coat_event event;
    void *whose;
    assert_int_equal(coat_channel_next(b->channel, &event, &whose, NULL), 1);
    assert_ptr_equal(whose, owner);
    assert_int_equal(event.count, 1);
    assert_int_equal(event.replies[0].integer, integer);
}

static void assert_no_next(struct bench *b)
{
    struct coat_event event;
    void *whose;
    assert_int_equal(coat_channel_next(b->channel, &event, &whose, NULL), 0);
}

static struct coat_event assert_lost(struct bench *b, const void *owner, int64_t now_ms)
{
    struct coat_event event;
    void *whose;
    assert_int_equal(coat_channel_lost(b->channel, now_ms, &event, &whose), 1);
    assert_ptr_equal(whose, owner);
    return event;
}

static void assert_none_lost(struct bench *b)
{
    struct coat_event event;
    void *whose;
    assert_int_equal(coat_channel_lost(b->channel, 0, &event, &whose), 0);
}

static char one, two, three; /* owners */

static void nothing_is_sent_before_the_greeting_was_answered(void **state)
{
    struct bench *b = *state;
    queue(b, &one, 1000);
    assert_int_equal(output(b), 0);
    become_ready(b);
    assert_int_equal(output(b), 14);
    assert_int_equal(output(b), 0);
}

static void replies_go_to_their_owners_in_order(void **state)
{
    struct bench *b = *state;
    become_ready(b);
    queue(b, &one, 1000);
    queue(b, &two, 1000);
    assert_int_equal(output(b), 28);
    input(b, ":1\r\n:2");
    assert_next(b, &one, 1);
    assert_no_next(b);
    queue(b, &three, 1000);
    assert_int_equal(output(b), 14);
    input(b, "\r\n:3\r\n");
    assert_next(b, &two, 2);
    assert_next(b, &three, 3);
    assert_no_next(b);
}

static void a_reply_that_nobody_asked_for_is_a_fault(void **state)
{
    struct bench *b = *state;
    struct coat_event event;
    struct coat_error err;
    void *whose;
    become_ready(b);
    assert_int_equal(coat_channel_input(b->channel, ":1\r\n", 4, &err), COAT_EUNAVAILABLE);
    queue(b, &one, 1000);
    assert_int_equal(output(b), 14);
    input(b, ":1\r\n:2\r\n");
    assert_next(b, &one, 1);
    assert_int_equal(coat_channel_next(b->channel, &event, &whose, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "protocol");
}

static void who_leaves_keeps_the_place_that_was_sent_and_no_other(void **state)
{
    struct bench *b = *state;
    become_ready(b);
    struct coat_channel_place *sent = queue(b, &one, 1000);
    assert_int_equal(output(b), 14);
    struct coat_channel_place *unsent = queue(b, &two, 1000);
    queue(b, &three, 1000);
    coat_channel_leave(b->channel, sent);
    coat_channel_leave(b->channel, unsent);
    assert_int_equal(output(b), 14);
    input(b, ":1\r\n:3\r\n");
    assert_next(b, NULL, 1);
    assert_next(b, &three, 3);
}

static void a_deadline_that_passes_loses_what_stands_behind_it(void **state)
{
    struct bench *b = *state;
    int64_t now = coat_monotonic_ms();
    become_ready(b);
    queue(b, &one, 5000);
    queue(b, &two, 100);
    assert_int_equal(output(b), 28);
    queue(b, &three, 5000);
    assert_int_equal(coat_channel_expire(b->channel, now + 50), 0);
    assert_int_equal(coat_channel_expire(b->channel, now + 1000), 1);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_DRAINING);
    assert_false(coat_channel_accepts(b->channel));
    struct coat_event lost = assert_lost(b, &two, now + 1000);
    assert_true(lost.final && lost.maybe_sent && !lost.unreached);
    assert_int_equal(lost.why->code, COAT_ETIMEOUT);
    lost = assert_lost(b, &three, now + 1000);
    assert_true(!lost.final && !lost.maybe_sent);
    assert_none_lost(b);
    input(b, ":1\r\n:2\r\n");
    assert_next(b, &one, 1);
    assert_no_next(b);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_CLOSED);
}

static void what_is_not_sent_yet_is_sent_before_a_later_fault_behind_it(void **state)
{
    struct bench *b = *state;
    int64_t now = coat_monotonic_ms();
    become_ready(b);
    queue(b, &one, 5000);
    queue(b, &two, 100);
    assert_int_equal(coat_channel_expire(b->channel, now + 1000), 1);
    assert_true(!assert_lost(b, &two, now + 1000).maybe_sent);
    assert_int_equal(output(b), 14);
    input(b, ":1\r\n");
    assert_next(b, &one, 1);
}

static void a_deadline_while_it_connects_concerns_nobody_else(void **state)
{
    struct bench *b = *state;
    int64_t now = coat_monotonic_ms();
    queue(b, &one, 5000);
    queue(b, &two, 10);
    assert_int_equal(coat_channel_expire(b->channel, now + 100), 1);
    assert_true(assert_lost(b, &two, now + 100).unreached);
    assert_none_lost(b);
    become_ready(b);
    assert_int_equal(output(b), 14);
}

static void a_connect_that_fails_is_told_to_all_and_to_the_node(void **state)
{
    struct bench *b = *state;
    struct coat_channel *second;
    struct coat_error err;
    queue(b, &one, 1000);
    queue(b, &two, 1000);
    coat_channel_broke(b->channel, ECONNREFUSED);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_CLOSED);
    assert_true(assert_lost(b, &one, 0).unreached);
    assert_string_equal(assert_lost(b, &two, 0).why->reason, "refused");
    assert_int_equal(coat_channel_new(&second, b->store, b->node, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "refused");
}

static void one_of_a_node_that_was_dropped_accepts_no_more(void **state)
{
    struct bench *b = *state;
    become_ready(b);
    assert_true(coat_channel_accepts(b->channel));
    coat_node_drop(b->node);
    assert_false(coat_channel_accepts(b->channel));
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_CLOSED);
}

static void one_that_was_drained_while_it_connects_brings_its_replies_and_closes(void **state)
{
    struct bench *b = *state;
    queue(b, &one, 1000);
    coat_channel_drain(b->channel);
    assert_int_equal(coat_channel_accepts(b->channel), 0);
    assert_int_equal(coat_channel_greet(b->channel, NULL), 0);
    assert_true(output(b) > 0);
    input(b, hello);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_DRAINING);
    assert_true(output(b) > 0);
    input(b, ":1\r\n");
    assert_next(b, &one, 1);
    assert_no_next(b);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_CLOSED);
}

/* UBSan looks on: nothing went wrong, so there is no error to look at. */
static void one_that_was_given_up_while_it_connects_says_nothing_of_its_node(void **state)
{
    struct bench *b = *state;
    struct coat_channel *other;
    coat_channel_drain(b->channel);
    assert_int_equal(coat_channel_state(b->channel), COAT_CHANNEL_CLOSED);
    coat_channel_free(b->channel);
    b->channel = NULL;
    assert_int_equal(coat_channel_new(&other, b->store, b->node, NULL), 0);
    coat_channel_free(other);
}

/* As in an event loop, where a store that is closed leaves it to come to its end. */
static void one_may_outlive_its_store(void **state)
{
    struct bench *b = *state;
    coat_node_release(b->node);
    coat_store_close(b->store);
    b->node = NULL;
    b->store = NULL;
    coat_channel_free(b->channel); /* a sanitizer looks on */
    b->channel = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_sent_before_the_greeting_was_answered),
        TEST(replies_go_to_their_owners_in_order),
        TEST(a_reply_that_nobody_asked_for_is_a_fault),
        TEST(who_leaves_keeps_the_place_that_was_sent_and_no_other),
        TEST(a_deadline_that_passes_loses_what_stands_behind_it),
        TEST(what_is_not_sent_yet_is_sent_before_a_later_fault_behind_it),
        TEST(a_deadline_while_it_connects_concerns_nobody_else),
        TEST(a_connect_that_fails_is_told_to_all_and_to_the_node),
        TEST(one_of_a_node_that_was_dropped_accepts_no_more),
        TEST(one_that_was_drained_while_it_connects_brings_its_replies_and_closes),
        TEST(one_that_was_given_up_while_it_connects_says_nothing_of_its_node),
        TEST(one_may_outlive_its_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
