/* A store without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/call.h"
#include "coatcheck.h"

#define SOME_ID "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static struct coat_options *make_options(const char *url, const char *prefix)
{
    struct coat_options *o;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    if (url)
        assert_int_equal(coat_options_set(o, "url", url, NULL), 0);
    if (prefix)
        assert_int_equal(coat_options_set(o, "prefix", prefix, NULL), 0);
    return o;
}

/* Where nothing listens. */
static struct coat_store *open_nowhere(void)
{
    struct coat_options *o = make_options("unix:/nonexistent/socket", "shop:");
    struct coat_store *store;
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    return store;
}

static void opening_wants_url_and_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *url, *prefix;
    } ROW[] = {{NULL, "shop:"}, {"redis://localhost", NULL}, {NULL, NULL}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_options *o = make_options(ROW[i].url, ROW[i].prefix);
        struct coat_store *store = (struct coat_store *)o;
        struct coat_error err;
        assert_int_equal(coat_store_open(&store, o, &err), COAT_ECONFIG);
        assert_int_equal(err.code, COAT_ECONFIG);
        assert_null(store);
        coat_options_free(o);
    }
}

static void opening_does_not_connect(void **state)
{
    (void)state;
    coat_store_close(open_nowhere());
    coat_store_close(NULL);
}

static void the_options_are_the_stores_own(void **state)
{
    (void)state;
    struct coat_store *store = open_nowhere(); /* its options are freed by now */
    struct coat_session *s;
    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    assert_int_equal(coat_session_idle_s(s), 1800);
    coat_session_close(s);
    coat_store_close(store);
}

static void it_is_described_without_secrets(void **state)
{
    static const struct {
        const char *url, *text;
    } ROW[] = {
        {"redis://u:SECRET@h/2?idle=60", "redis://h:6379/2, prefix shop:"},
        {"redis://[::1]:7", "redis://[::1]:7/0, prefix shop:"},
        {"valkeys://:SECRET@h", "rediss://h:6379/0, prefix shop:"},
        {"unix:/run/redis.sock?db=3", "unix:/run/redis.sock?db=3, prefix shop:"},
        {"redis+sentinel://u:SECRET@a,b:7/main/1",
         "redis+sentinel://a:26379,b:7/main/1, prefix shop:"},
        {"rediss+cluster://a,[::1]:7", "rediss+cluster://a:6379,[::1]:7, prefix shop:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_options *o = make_options(ROW[i].url, "shop:");
        struct coat_store *store;
        char text[256], start[8];
        assert_int_equal(coat_store_open(&store, o, NULL), 0);
        coat_options_free(o);
        assert_string_equal(coat_store_describe(store, text, sizeof text), ROW[i].text);
        assert_memory_equal(coat_store_describe(store, start, sizeof start), text, 7);
        assert_int_equal(start[7], '\0');
        coat_store_close(store);
    }
}

static void req_03_a_malformed_id_needs_no_server(void **state)
{
    (void)state;
    struct coat_store *store = open_nowhere();
    struct coat_session *s = (struct coat_session *)store;
    assert_int_equal(coat_store_load(store, "not an id", &s, NULL), 0);
    assert_null(s);
    assert_int_equal(coat_store_destroy(store, "", NULL), 0);
    assert_int_equal(coat_store_count(store, COAT_COUNT_MALFORMED_ID), 2);
    coat_store_close(store);
}

static void req_69_no_server_is_not_no_session(void **state)
{
    (void)state;
    struct coat_store *store = open_nowhere();
    struct coat_session *s = (struct coat_session *)store;
    struct coat_error err;
    assert_int_equal(coat_store_ping(store, &err), COAT_EUNAVAILABLE);
    assert_int_equal(coat_store_load(store, SOME_ID, &s, &err), COAT_EUNAVAILABLE);
    assert_int_equal(err.code, COAT_EUNAVAILABLE);
    assert_null(s);
    assert_int_equal(coat_store_destroy(store, SOME_ID, NULL), COAT_EUNAVAILABLE);
    assert_int_equal(coat_store_count(store, COAT_COUNT_UNKNOWN_ID), 0);

    assert_int_equal(coat_session_new(store, &s, NULL), 0);
    assert_int_equal(coat_session_login(s, "user:42", NULL, 0, NULL), 0);
    assert_int_equal(coat_session_save(s, NULL), COAT_EUNAVAILABLE);
    assert_null(coat_session_id(s));
    coat_session_close(s);
    coat_session_close(NULL);
    coat_store_close(store);
}

static void an_unknown_count_is_0(void **state)
{
    (void)state;
    struct coat_store *store = open_nowhere();
    for (int i = -1; i <= COAT_COUNTS + 1; i++)
        assert_int_equal(coat_store_count(store, (enum coat_count)i), 0);
    coat_store_close(store);
}

static void only_an_embedded_server_is_stopped(void **state)
{
    (void)state;
    struct coat_store *store = open_nowhere();
    assert_int_equal(coat_store_stop_embedded(store, NULL), COAT_EUSAGE);
    coat_store_close(store);
}

/* ---- Ping, by the script ------------------------------------------------------------------- */

static struct coat_step ping_step(struct coat_ping *ping, struct coat_event event,
                                  struct coat_error *err)
{
    struct coat_step step;
    ping->op.step(&ping->op, &event, &step, err);
    return step;
}

static struct coat_step ping_start(struct coat_ping *ping)
{
    coat_ping_op(ping);
    return ping_step(ping, (struct coat_event){.kind = COAT_EVENT_START}, NULL);
}

static void a_ping_is_answered_by_a_status(void **state)
{
    (void)state;
    static const struct {
        struct coat_reply reply;
        int rc;
    } ROW[] = {
        {{.kind = COAT_REPLY_STATUS, .bytes = "PONG", .len = 4}, 0},
        {{.kind = COAT_REPLY_ERROR, .bytes = "NOAUTH no", .len = 9}, COAT_EDENIED},
        {{.kind = COAT_REPLY_INTEGER}, COAT_EFOREIGN},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_ping ping;
        struct coat_step step = ping_start(&ping);
        assert_int_equal(step.count, 1);
        assert_int_equal(step.commands->count, 1);
        assert_memory_equal(step.commands->args->bytes, "PING", 4);
        step = ping_step(
            &ping,
            (struct coat_event){.kind = COAT_EVENT_REPLIES, .replies = &ROW[i].reply, .count = 1},
            NULL);
        assert_int_equal(step.kind, COAT_STEP_DONE);
        assert_int_equal(step.rc, ROW[i].rc);
        assert_int_equal(step.close, ROW[i].rc == COAT_EFOREIGN);
    }
}

static void a_lost_ping_is_sent_three_times_at_most(void **state)
{
    (void)state;
    const struct coat_error why = {.code = COAT_ETIMEOUT, .text = "too late"};
    const struct coat_event lost = {.kind = COAT_EVENT_LOST, .maybe_sent = 1, .why = &why};
    struct coat_event last = lost;
    struct coat_error err;
    struct coat_ping ping;
    ping_start(&ping);
    assert_int_equal(ping_step(&ping, lost, &err).kind, COAT_STEP_SEND);
    assert_int_equal(ping_step(&ping, lost, &err).kind, COAT_STEP_SEND);
    assert_int_equal(ping_step(&ping, lost, &err).rc, COAT_ETIMEOUT);
    assert_string_equal(err.text, "too late");
    ping_start(&ping);
    last.final = 1;
    assert_int_equal(ping_step(&ping, last, NULL).kind, COAT_STEP_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_wants_url_and_prefix),
        cmocka_unit_test(opening_does_not_connect),
        cmocka_unit_test(the_options_are_the_stores_own),
        cmocka_unit_test(it_is_described_without_secrets),
        cmocka_unit_test(req_03_a_malformed_id_needs_no_server),
        cmocka_unit_test(req_69_no_server_is_not_no_session),
        cmocka_unit_test(an_unknown_count_is_0),
        cmocka_unit_test(only_an_embedded_server_is_stopped),
        cmocka_unit_test(a_ping_is_answered_by_a_status),
        cmocka_unit_test(a_lost_ping_is_sent_three_times_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
