#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/error.h"
#include "cluster.h"
#include "reply_text.h"
#include "sentinel.h"

/* ---- Who serves what ------------------------------------------------------------------------ */

struct seen {
    char text[1024];
    int stop;
};

static int see(void *user, const struct coat_serving *serving)
{
    struct seen *seen = user;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%u-%u %s:%d;", serving->first,
             serving->last, serving->place.host, serving->place.port);
    return seen->stop;
}

enum how { SLOTS, SHARDS, SHARDS_TLS };

static int read_text(const char *text, enum how how, struct seen *seen, struct coat_error *err)
{
    struct reply_room room = {.count = 0};
    struct coat_reply reply = reply_of(&room, text);
    *seen = (struct seen){.stop = seen->stop};
    int rc = how == SLOTS ? coat_cluster_slots(&reply, see, seen, err)
                          : coat_cluster_shards(&reply, how == SHARDS_TLS, see, seen, err);
    reply_forget(&room);
    return rc;
}

static void ranges_are_read_with_their_masters(void **state)
{
    (void)state;
    static const struct {
        enum how how;
        const char *text, *seen;
    } goods[] = {
        {SLOTS, "[]", ""},
        {SLOTS, "[[0 5460 ['10.0.0.1' 7000 'id'] ['10.0.0.4' 7003 'id']] [5461 16383 ['h' 1]]]",
         "0-5460 10.0.0.1:7000;5461-16383 h:1;"},
        {SLOTS, "[[7 7 ['::1' 7000 'id' []]]]", "7-7 ::1:7000;"},
        {SLOTS, "[[0 1 ['a.example' 7000 'id' ['ip' '10.0.0.1']]]]", "0-1 a.example:7000;"},
        {SLOTS, "[[0 1 [nil 7000 'id' ['ip' '10.0.0.1']]]]", "0-1 :7000;"},
        {SLOTS, "[[0 1 ['' 7000 'id']]]", "0-1 :7000;"},
        {SLOTS, "[[0 1 ['?' 7000 'id' ['hostname' '' 'ip' '10.0.0.1']]]]", "0-1 10.0.0.1:7000;"},
        {SLOTS, "[[0 1 ['?' 7000 'id' []]]]", "0-1 :7000;"},
        {SLOTS, "[[0 1 ['?' 7000]]]", "0-1 :7000;"},
        {SHARDS, "[]", ""},
        {SHARDS,
         "[['slots' [0 1 5 6] 'nodes' [['id' 'x' 'port' 7003 'ip' '10.0.0.4' 'role' 'replica']"
         " ['id' 'y' 'port' 7000 'ip' '10.0.0.1' 'endpoint' 'a.example' 'role' 'master' 'health' "
         "'online']]]]",
         "0-1 a.example:7000;5-6 a.example:7000;"},
        {SHARDS_TLS,
         "[['slots' [0 1] 'nodes' [['port' 7000 'tls-port' 7500 'ip' '10.0.0.1' 'role' "
         "'master']]]]",
         "0-1 10.0.0.1:7500;"},
        {SHARDS,
         "[['slots' [0 1] 'nodes' [['port' 7000 'ip' 'x' 'role' 'master' 'health' 'fail']]]]", ""},
        {SHARDS, "[['slots' [] 'nodes' [['port' 7000 'ip' 'x' 'endpoint' nil 'role' 'master']]]]",
         ""},
        {SHARDS,
         "[['slots' [3 3] 'nodes' [['port' 7000 'ip' 'x' 'endpoint' nil 'role' 'master']]]]",
         "3-3 :7000;"},
    };
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        struct seen seen = {.stop = 0};
        assert_int_equal(read_text(goods[i].text, goods[i].how, &seen, NULL), 0);
        assert_string_equal(seen.text, goods[i].seen);
    }
}

static void what_is_no_listing_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum how how;
        const char *text;
    } bads[] = {
        {SLOTS, "nil"},
        {SLOTS, "5"},
        {SLOTS, "['x']"},
        {SLOTS, "[[0 1]]"},
        {SLOTS, "[[0 1 'x']]"},
        {SLOTS, "[[0 1 []]]"},
        {SLOTS, "[[0 1 ['h' 'x']]]"},
        {SLOTS, "[[0 1 [5 7000]]]"},
        {SLOTS, "[[-1 1 ['h' 7000]]]"},
        {SLOTS, "[[2 1 ['h' 7000]]]"},
        {SLOTS, "[[0 16384 ['h' 7000]]]"},
        {SLOTS, "[['0' 1 ['h' 7000]]]"},
        {SLOTS, "[[0 1 ['h' 0]]]"},
        {SLOTS, "[[0 1 ['h' 65536]]]"},
        {SLOTS, "[[0 1 ['a b' 1]]]"},
        {SHARDS, "nil"},
        {SHARDS, "['x']"},
        {SHARDS, "[['slots' [0 1]]]"},
        {SHARDS, "[['slots' 'x' 'nodes' []]]"},
        {SHARDS, "[['slots' [0] 'nodes' []]]"},
        {SHARDS, "[['slots' [0 1] 'nodes' 'x']]"},
        {SHARDS, "[['slots' [1 0] 'nodes' [['port' 7000 'ip' 'x' 'role' 'master']]]]"},
        {SHARDS, "[['slots' [0 1] 'nodes' [['ip' 'x' 'role' 'master']]]]"},
        {SHARDS_TLS, "[['slots' [0 1] 'nodes' [['port' 7000 'ip' 'x' 'role' 'master']]]]"},
    };
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        struct seen seen = {.stop = 0};
        struct coat_error err = {0};
        if (read_text(bads[i].text, bads[i].how, &seen, &err) != COAT_EUNAVAILABLE)
            fail_msg("%s", bads[i].text);
        assert_string_equal(err.reason, "protocol");
    }
}

static void a_host_of_any_length_is_refused_where_none_can_be_so_long(void **state)
{
    (void)state;
    char host[COAT_HOST_MAX + 2];
    struct coat_place place;
    memset(host, 'a', sizeof host);
    assert_true(coat_place_set(&place, host, COAT_HOST_MAX, 1));
    assert_false(coat_place_set(&place, host, COAT_HOST_MAX + 1, 1));
}

static void reading_ends_where_the_reader_says_so(void **state)
{
    (void)state;
    struct seen seen = {.stop = COAT_ENOMEM};
    assert_int_equal(read_text("[[0 1 ['h' 1]] [2 3 ['h' 1]]]", SLOTS, &seen, NULL), COAT_ENOMEM);
    assert_string_equal(seen.text, "0-1 h:1;");
    assert_int_equal(
        read_text("[['slots' [0 1 2 3] 'nodes' [['port' 1 'ip' 'h' 'role' 'master']]]]", SHARDS,
                  &seen, NULL),
        COAT_ENOMEM);
    assert_string_equal(seen.text, "0-1 h:1;");
}

/* ---- Redirects ------------------------------------------------------------------------------ */

static void redirects_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind;
        unsigned slot;
        const char *host;
        int port;
    } redirects[] = {
        {"-MOVED 3999 127.0.0.1:6381", COAT_REDIRECT_MOVED, 3999, "127.0.0.1", 6381},
        {"-ASK 16383 a.example:1", COAT_REDIRECT_ASK, 16383, "a.example", 1},
        {"-MOVED 0 ::1:6381", COAT_REDIRECT_MOVED, 0, "::1", 6381},
        {"-MOVED 0 [fd00::1]:6381", COAT_REDIRECT_MOVED, 0, "fd00::1", 6381},
        {"-MOVED 3999 :6381", COAT_REDIRECT_MOVED, 3999, "", 6381},
        {"-MOVED 3999 ?:6381", COAT_REDIRECT_MOVED, 3999, "", 6381},
        {"-MOVED", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED ", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 3999", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 3999 ", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED x h:1", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 16384 h:1", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 99999999999999999999 h:1", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 1 h", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 1 h:", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 1 h:0", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 1 h:65536", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVED 1 h:1x", COAT_REDIRECT_NONE, 0, "", 0},
        {"-MOVEDX 1 h:1", COAT_REDIRECT_NONE, 0, "", 0},
        {"-ERR MOVED 1 h:1", COAT_REDIRECT_NONE, 0, "", 0},
        {"+MOVED 1 h:1", COAT_REDIRECT_NONE, 0, "", 0},
    };
    for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++) {
        struct reply_room room = {.count = 0};
        struct coat_reply reply = reply_of(&room, redirects[i].text);
        struct coat_redirect r = coat_cluster_redirect(&reply);
        if ((int)r.kind != redirects[i].kind)
            fail_msg("%s", redirects[i].text);
        if (r.kind != COAT_REDIRECT_NONE) {
            assert_int_equal(r.slot, redirects[i].slot);
            assert_string_equal(r.place.host, redirects[i].host);
            assert_int_equal(r.place.port, redirects[i].port);
        }
    }
}

/* ---- Sentinel ------------------------------------------------------------------------------- */

static void the_answers_of_a_sentinel_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *word; /* of the host, or of the failure */
    } answers[] = {
        {"['10.0.0.1' '6379']", 0, "10.0.0.1"},
        {"['a.example' '1']", 0, "a.example"},
        {"nil", COAT_ECONFIG, "service"},
        {"-NOAUTH Authentication required.", COAT_EDENIED, "NOAUTH"},
        {"-NOPERM this user has no permissions", COAT_EDENIED, "NOPERM"},
        {"-ERR unknown command 'SENTINEL'", COAT_EUNAVAILABLE, "protocol"},
        {"[]", COAT_EUNAVAILABLE, "protocol"},
        {"['h']", COAT_EUNAVAILABLE, "protocol"},
        {"['' '1']", COAT_EUNAVAILABLE, "protocol"},
        {"['h' 'x']", COAT_EUNAVAILABLE, "protocol"},
        {"['h' '']", COAT_EUNAVAILABLE, "protocol"},
        {"['h' '123456']", COAT_EUNAVAILABLE, "protocol"},
        {"['h' '65536']", COAT_EUNAVAILABLE, "protocol"},
        {"['h' 1]", COAT_EUNAVAILABLE, "protocol"},
        {"[5 '1']", COAT_EUNAVAILABLE, "protocol"},
        {"5", COAT_EUNAVAILABLE, "protocol"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct reply_room room = {.count = 0};
        struct coat_reply reply = reply_of(&room, answers[i].text);
        struct coat_error err = {0};
        struct coat_place place;
        if (coat_sentinel_master(&reply, "h:1", "main", &place, &err) != answers[i].rc)
            fail_msg("%s", answers[i].text);
        assert_string_equal(answers[i].rc == 0 ? place.host : err.reason, answers[i].word);
        reply_forget(&room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_with_their_masters),
        cmocka_unit_test(what_is_no_listing_is_refused),
        cmocka_unit_test(a_host_of_any_length_is_refused_where_none_can_be_so_long),
        cmocka_unit_test(reading_ends_where_the_reader_says_so),
        cmocka_unit_test(redirects_are_read),
        cmocka_unit_test(the_answers_of_a_sentinel_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
