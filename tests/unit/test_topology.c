/* Which node serves a key, and who is asked about it when. No connection is ever opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node.h"
#include "options.h"
#include "redis.h"
#include "reply_text.h"
#include "topology.h"

/* "b" is in slot 3300, which is served by port 1. */
#define SLOTS "[[0 5460 ['h' 1 'id']] [5461 10922 ['h' 2 'id']] [10923 16383 ['h' 3 'id']]]"
#define B     ((struct coat_arg){"b", 1})

struct fixture {
    struct coat_redis *redis;
    struct coat_topology *t;
};

static struct fixture begin(const char *url)
{
    struct fixture f;
    struct coat_options *options;
    assert_int_equal(coat_options_new(&options, NULL), 0);
    assert_int_equal(coat_options_set(options, "url", url, NULL), 0);
    assert_int_equal(coat_redis_new(&f.redis, &options->connect, NULL), 0);
    coat_options_free(options);
    f.t = f.redis->topology;
    return f;
}

static void end(struct fixture *f)
{
    coat_redis_release(f->redis);
}

static int due(struct fixture *f, int64_t now_ms)
{
    int64_t again_ms;
    return coat_topology_due(f->t, now_ms, &again_ms);
}

/* The port of the nth contact; 0: there is none. */
static int contact(struct fixture *f, size_t nth)
{
    struct coat_node *node = coat_topology_contact(f->t, nth);
    int port = node ? node->peer.address.port : 0;
    coat_node_release(node);
    return port;
}

static int port_of(struct fixture *f, struct coat_arg key)
{
    struct coat_node *node = coat_topology_route(f->t, key);
    int port = node->peer.address.port;
    coat_node_release(node);
    return port;
}

/* The answer of the nth contact. */
static int learn(struct fixture *f, size_t nth, const char *answer, struct coat_error *err)
{
    struct reply_room room = {.count = 0};
    struct coat_reply reply = reply_of(&room, answer);
    struct coat_node *by = coat_topology_contact(f->t, nth);
    int rc = coat_topology_learn(f->t, by, &reply, err);
    coat_node_release(by);
    reply_forget(&room);
    return rc;
}

static void doubt(struct fixture *f, struct coat_arg key, int64_t now_ms)
{
    struct coat_node *node = coat_topology_route(f->t, key);
    coat_topology_doubt(f->t, node, now_ms);
    coat_node_release(node);
}

static void what_is_known_is_not_asked_again(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    assert_false(due(&f, 1000000));
    end(&f);
}

static void a_doubt_from_before_the_question_is_settled_by_the_answer(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    doubt(&f, B, 2000);
    assert_true(due(&f, 2000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    assert_false(due(&f, 1000000));
    end(&f);
}

static void a_doubt_that_came_while_the_question_was_out_is_asked_about(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    doubt(&f, B, 2000);
    assert_true(due(&f, 2000));
    doubt(&f, B, 2010); /* the answer may be older than this */
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    assert_false(due(&f, 2010));
    assert_true(due(&f, 2030));
    end(&f);
}

static void a_redirect_that_came_while_the_question_was_out_is_asked_about(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    doubt(&f, B, 2000);
    assert_true(due(&f, 2000));
    struct coat_node *to = coat_topology_contact(f.t, 1);
    coat_topology_moved(f.t, 3300, to);
    coat_node_release(to);
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    assert_false(due(&f, 2900));
    assert_true(due(&f, 3000));
    end(&f);
}

static void a_cluster_is_asked_first_at_who_answered_last(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7,h:8");
    assert_true(due(&f, 1000));
    assert_int_equal(contact(&f, 1), 8);
    assert_int_equal(learn(&f, 1, SLOTS, NULL), 0);
    assert_int_equal(contact(&f, 0), 8);
    end(&f);
}

static void sentinels_are_asked_first_at_who_answered_last(void **state)
{
    (void)state;
    struct fixture f = begin("redis+sentinel://h:7,h:8,h:9/main");
    assert_int_equal(learn(&f, 1, "['h' '1']", NULL), 0);
    assert_int_equal(contact(&f, 0), 8);
    end(&f);
}

static void every_contact_is_asked_once(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7,h:8");
    assert_int_equal(learn(&f, 1, SLOTS, NULL), 0);
    int seen[10] = {0};
    size_t count = 0;
    for (int port; (port = contact(&f, count)) != 0; count++)
        assert_int_equal(seen[port]++, 0);
    assert_int_equal(count, 5);
    end(&f);
}

#define NOPERM "-NOPERM this user has no permissions to run the 'cluster|slots' command"

static void who_may_not_ask_is_led_by_redirects(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7,h:8");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, NOPERM, NULL), 0);
    struct coat_node *to = coat_topology_contact(f.t, 0);
    coat_topology_moved(f.t, 3300, to);
    assert_int_equal(port_of(&f, B), to->peer.address.port);
    coat_node_release(to);
    doubt(&f, (struct coat_arg){"c", 1}, 3000);
    assert_false(due(&f, 10999));
    end(&f);
}

static void who_may_not_ask_tries_another_node_later_and_keeps_what_is_known(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7,h:8");
    assert_true(due(&f, 1000));
    assert_int_equal(contact(&f, 0), 7);
    assert_int_equal(learn(&f, 0, NOPERM, NULL), 0);
    assert_int_equal(contact(&f, 0), 8);
    struct coat_node *to = coat_topology_contact(f.t, 1);
    coat_topology_moved(f.t, 3300, to);
    coat_node_release(to);
    assert_true(due(&f, 11000));
    assert_int_equal(learn(&f, 0, NOPERM, NULL), 0);
    assert_int_equal(port_of(&f, B), 7);
    assert_false(due(&f, 20999));
    end(&f);
}

static void who_may_ask_again_learns_the_map(void **state)
{
    (void)state;
    struct fixture f = begin("redis+cluster://h:7");
    assert_true(due(&f, 1000));
    assert_int_equal(learn(&f, 0, NOPERM, NULL), 0);
    assert_true(due(&f, 11000));
    assert_int_equal(learn(&f, 0, SLOTS, NULL), 0);
    assert_int_equal(port_of(&f, B), 1);
    assert_false(due(&f, 1000000));
    doubt(&f, B, 1000000);
    assert_true(due(&f, 1000000));
    end(&f);
}

static void messages_name_who_answered(void **state)
{
    (void)state;
    struct coat_error err;
    struct fixture f = begin("redis+cluster://h:7,h:8");
    assert_int_equal(learn(&f, 1, "-ERR This instance has cluster support disabled", &err),
                     COAT_ECONFIG);
    assert_non_null(strstr(err.text, "h:8 belongs to no cluster"));
    end(&f);
    f = begin("redis+sentinel://h:7,h:8,h:9/main");
    assert_int_equal(learn(&f, 2, "nil", &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "h:9 watches no service main"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_is_not_asked_again),
        cmocka_unit_test(a_doubt_from_before_the_question_is_settled_by_the_answer),
        cmocka_unit_test(a_doubt_that_came_while_the_question_was_out_is_asked_about),
        cmocka_unit_test(a_redirect_that_came_while_the_question_was_out_is_asked_about),
        cmocka_unit_test(a_cluster_is_asked_first_at_who_answered_last),
        cmocka_unit_test(sentinels_are_asked_first_at_who_answered_last),
        cmocka_unit_test(every_contact_is_asked_once),
        cmocka_unit_test(who_may_not_ask_is_led_by_redirects),
        cmocka_unit_test(who_may_not_ask_tries_another_node_later_and_keeps_what_is_known),
        cmocka_unit_test(who_may_ask_again_learns_the_map),
        cmocka_unit_test(messages_name_who_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
