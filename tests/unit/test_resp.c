#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resp.h"

#define MAX_BYTES ((size_t)1 << 20)

/* ---- Commands ------------------------------------------------------------------------------- */

static void a_pipeline_is_formatted_byte_by_byte(void **state)
{
    (void)state;
    const struct coat_arg get[] = {{"GET", 3}, {"a\0b", 3}};
    const struct coat_arg set[] = {{"SET", 3}, {"", 0}, {NULL, 0}};
    const struct coat_command commands[] = {{.args = get, .count = 2}, {.args = set, .count = 3}};
    static const char want[] = "*2\r\n$3\r\nGET\r\n$3\r\na\0b\r\n"
                               "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n";
    struct coat_bytes out = {0};
    assert_int_equal(coat_resp_format(&out, commands, 2, NULL), 0);
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.at, want, out.len);
    assert_int_equal(coat_resp_format(&out, commands, 1, NULL), 0);
    assert_int_equal(out.len, 22);
    coat_bytes_wipe(&out);
    assert_null(out.at);
    coat_bytes_wipe(&out);
}

static void req_55_sizes_that_would_overflow_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 40, SIZE_MAX / 2, (size_t)1 << 31,
                                   ((size_t)1 << 30) - 10};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct coat_arg args[] = {{"x", sizes[i]}, {"x", sizes[i]}};
        const struct coat_command command = {.args = args, .count = 2};
        struct coat_bytes out = {0};
        struct coat_error err;
        assert_int_equal(coat_resp_format(&out, &command, 1, &err), COAT_ELIMIT);
        assert_null(out.at);
    }
}

static void a_large_buffer_is_given_back(void **state)
{
    (void)state;
    const size_t len = 1 << 20;
    char *big = calloc(1, len);
    struct coat_arg arg = {big, len};
    const struct coat_command command = {.args = &arg, .count = 1};
    struct coat_bytes out = {0};
    assert_int_equal(coat_resp_format(&out, &command, 1, NULL), 0);
    arg.len = 10;
    assert_int_equal(coat_resp_format(&out, &command, 1, NULL), 0);
    assert_true(out.size < 1000);
    coat_bytes_wipe(&out);
    free(big);
}

/* ---- Replies -------------------------------------------------------------------------------- */

/* A reply as text: nil, 7, "bulk", +status, -error, [a, b]. */
static void show(char *to, size_t size, const struct coat_reply *r)
{
    size_t n = 0;
    switch (r->kind) {
    case COAT_REPLY_NIL:
        snprintf(to, size, "nil");
        break;
    case COAT_REPLY_INTEGER:
        snprintf(to, size, "%lld", r->integer);
        break;
    case COAT_REPLY_BULK:
        snprintf(to, size, "\"%.*s\"", (int)r->len, r->bytes);
        break;
    case COAT_REPLY_STATUS:
        snprintf(to, size, "+%.*s", (int)r->len, r->bytes);
        break;
    case COAT_REPLY_ERROR:
        snprintf(to, size, "-%.*s", (int)r->len, r->bytes);
        break;
    case COAT_REPLY_ARRAY:
        n = (size_t)snprintf(to, size, "[");
        for (size_t i = 0; i < r->count; i++) {
            show(to + n, size - n, &r->items[i]);
            n += strlen(to + n);
            if (i + 1 < r->count)
                n += (size_t)snprintf(to + n, size - n, " ");
        }
        snprintf(to + n, size - n, "]");
        break;
    }
}

static const struct {
    const char *wire, *shown;
} replies[] = {
    {"+OK\r\n", "+OK"},
    {"+\r\n", "+"},
    {"-ERR no\r\n", "-ERR no"},
    {":0\r\n", "0"},
    {":-9223372036854775808\r\n", "-9223372036854775808"},
    {":9223372036854775807\r\n", "9223372036854775807"},
    {"$-1\r\n", "nil"},
    {"*-1\r\n", "nil"},
    {"$0\r\n\r\n", "\"\""},
    {"$5\r\nhe\r\nl\r\n", "\"he\r\nl\""},
    {"*0\r\n", "[]"},
    {"*3\r\n:1\r\n$1\r\na\r\n$-1\r\n", "[1 \"a\" nil]"},
    {"*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n*1\r\n-E\r\n", "[[+a []] [[-E]]]"},
};

enum { REPLIES = sizeof replies / sizeof replies[0] };

static void assert_shown(const struct coat_reply *reply, const char *want)
{
    char got[256];
    show(got, sizeof got, reply);
    assert_string_equal(got, want);
}

static void every_kind_is_read(void **state)
{
    (void)state;
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    for (size_t i = 0; i < REPLIES; i++) {
        assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
        assert_int_equal(coat_resp_feed(&resp, replies[i].wire, strlen(replies[i].wire), NULL), 1);
        assert_shown(&resp.replies[0], replies[i].shown);
    }
    coat_resp_release(&resp);
    coat_resp_release(&resp);
}

/* All of them as one pipeline, in pieces of every size. */
static void a_pipeline_may_come_in_pieces_of_any_size(void **state)
{
    (void)state;
    char all[1024] = "";
    for (size_t i = 0; i < REPLIES; i++)
        strcat(all, replies[i].wire);
    const size_t len = strlen(all);
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    for (size_t piece = 1; piece <= len; piece++) {
        assert_int_equal(coat_resp_begin(&resp, REPLIES, NULL), 0);
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;
            assert_int_equal(coat_resp_feed(&resp, all + at, n, NULL), at + n == len);
        }
        for (size_t i = 0; i < REPLIES; i++)
            assert_shown(&resp.replies[i], replies[i].shown);
    }
    coat_resp_release(&resp);
}

static const char *const malformed[] = {
    "x\r\n",
    "HTTP/1.1 400 Bad Request\r\n",
    "\r\n",
    ":\r\n",
    ":1x\r\n",
    ":9223372036854775808\r\n",
    "$x\r\n",
    "$-2\r\n",
    "$99999999999999999999\r\n",
    "$3\r\nabcde",
    "$3\r\nabc\n\n",
    "$3\r\nabcd\r\n",
    "*x\r\n",
    "*-2\r\n",
    "*9999999999\r\n",
    "*65537\r\n",
    "*2\r\n*65000\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "%1\r\n+a\r\n+b\r\n",
    "~1\r\n+a\r\n",
    ">1\r\n+a\r\n",
    ",1.5\r\n",
    "#t\r\n",
    "_\r\n",
    "(123\r\n",
    "=5\r\ntxt:a\r\n",
    "*1\r\n,1.5\r\n",
    "+OK\r\n+OK\r\n",
    "+OK\r\n$",
};

static void req_58_what_is_not_the_protocol_ends_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        struct coat_resp resp;
        struct coat_error err = {0};
        coat_resp_init(&resp, MAX_BYTES);
        assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
        int rc = coat_resp_feed(&resp, malformed[i], strlen(malformed[i]), &err);
        if (rc == 0) /* the array's other members make it wrong */
            rc = coat_resp_feed(&resp, "*65000\r\n", 8, &err);
        /* A newer reader knows RESP3's nil, which is as good as the other. */
        if (strcmp(malformed[i], "_\r\n") == 0 && rc == 1)
            rc = COAT_EUNAVAILABLE, strcpy(err.reason, "protocol");
        if (rc != COAT_EUNAVAILABLE || strcmp(err.reason, "protocol") != 0)
            fail_msg("%s: %d %s", malformed[i], rc, err.text);
        coat_resp_release(&resp);
    }
}

static void req_58_all_replies_together_stay_below_the_cap(void **state)
{
    (void)state;
    struct coat_resp resp;
    struct coat_error err;
    char bytes[100];
    memset(bytes, 'x', sizeof bytes);
    coat_resp_init(&resp, 1000);
    assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
    assert_int_equal(coat_resp_feed(&resp, "$100000\r\n", 9, NULL), 0);
    for (int i = 0; i < 9; i++)
        assert_int_equal(coat_resp_feed(&resp, bytes, 100, NULL), 0);
    int rc = coat_resp_feed(&resp, bytes, 100, &err);
    assert_int_equal(rc, COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "protocol");
    coat_resp_release(&resp);
}

static void req_58_arrays_of_a_pipeline_share_one_cap(void **state)
{
    (void)state;
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    assert_int_equal(coat_resp_begin(&resp, 2, NULL), 0);
    assert_int_equal(coat_resp_feed(&resp, "*40000\r\n", 8, NULL), 0);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(coat_resp_feed(&resp, ":1\r\n", 4, NULL), 0);
    assert_int_equal(coat_resp_feed(&resp, "*40000\r\n", 8, NULL), COAT_EUNAVAILABLE);
    coat_resp_release(&resp);
}

static void memory_of_a_large_reply_is_given_back(void **state)
{
    (void)state;
    const size_t len = 500000;
    char head[32];
    char *body = malloc(len + 2);
    memset(body, 'x', len);
    memcpy(body + len, "\r\n", 2);
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
        int n = snprintf(head, sizeof head, "$%zu\r\n", len);
        assert_int_equal(coat_resp_feed(&resp, head, (size_t)n, NULL), 0);
        assert_int_equal(coat_resp_feed(&resp, body, len + 2, NULL), 1);
        assert_int_equal(resp.replies[0].len, len);
        assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
        assert_int_equal(coat_resp_feed(&resp, "+OK\r\n", 5, NULL), 1);
        assert_shown(&resp.replies[0], "+OK");
    }
    coat_resp_release(&resp);
    free(body);
}

static void a_pipeline_of_too_many_commands_is_refused(void **state)
{
    (void)state;
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    assert_int_equal(coat_resp_begin(&resp, SIZE_MAX / 2, NULL), COAT_EUSAGE);
    coat_resp_release(&resp);
}

/* ---- Pipelines that overlap ----------------------------------------------------------------- */

static void appended_commands_stand_behind_the_others(void **state)
{
    (void)state;
    const struct coat_arg ping = {"PING", 4};
    const struct coat_command command = {.args = &ping, .count = 1};
    struct coat_bytes out = {0};
    for (size_t i = 1; i <= 100; i++) {
        assert_int_equal(coat_resp_append(&out, &command, 1, NULL), 0);
        assert_int_equal(out.len, 14 * i);
        assert_memory_equal(out.at + out.len - 14, "*1\r\n$4\r\nPING\r\n", 14);
    }
    coat_bytes_wipe(&out);
}

static void what_came_too_early_is_for_the_next_pipeline(void **state)
{
    (void)state;
    static const char wire[] = "+a\r\n:1\r\n$3\r\nxyz\r\n";
    for (size_t cut = 1; cut < sizeof wire; cut++) {
        struct coat_resp resp;
        coat_resp_init(&resp, MAX_BYTES);
        resp.overlaps = 1;
        assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
        int rc = coat_resp_feed(&resp, wire, cut, NULL);
        if (rc == 0)
            rc = coat_resp_feed(&resp, wire + cut, sizeof wire - 1 - cut, NULL);
        else
            assert_true(cut >= 4);
        assert_int_equal(rc, 1);
        assert_int_equal(resp.replies[0].kind, COAT_REPLY_STATUS);
        assert_int_equal(coat_resp_begin(&resp, 2, NULL), 0);
        rc = coat_resp_feed(&resp, NULL, 0, NULL);
        if (rc == 0)
            rc = coat_resp_feed(&resp, wire + cut, sizeof wire - 1 - cut, NULL);
        assert_int_equal(rc, 1);
        assert_int_equal(resp.replies[0].integer, 1);
        assert_memory_equal(resp.replies[1].bytes, "xyz", 3);
        assert_int_equal(coat_resp_rest(&resp), 0);
        coat_resp_release(&resp);
    }
}

static void what_came_too_early_counts_for_the_cap(void **state)
{
    (void)state;
    char wire[200] = "+a\r\n$1000\r\n";
    struct coat_error err;
    struct coat_resp resp;
    coat_resp_init(&resp, 300);
    resp.overlaps = 1;
    assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
    assert_int_equal(coat_resp_feed(&resp, wire, sizeof wire, &err), 1);
    assert_int_equal(coat_resp_begin(&resp, 1, NULL), 0);
    assert_int_equal(coat_resp_feed(&resp, NULL, 0, &err), 0);
    assert_int_equal(coat_resp_feed(&resp, wire, 105, &err), COAT_EUNAVAILABLE);
    coat_resp_release(&resp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_formatted_byte_by_byte),
        cmocka_unit_test(req_55_sizes_that_would_overflow_are_refused),
        cmocka_unit_test(a_large_buffer_is_given_back),
        cmocka_unit_test(every_kind_is_read),
        cmocka_unit_test(a_pipeline_may_come_in_pieces_of_any_size),
        cmocka_unit_test(req_58_what_is_not_the_protocol_ends_the_connection),
        cmocka_unit_test(req_58_all_replies_together_stay_below_the_cap),
        cmocka_unit_test(req_58_arrays_of_a_pipeline_share_one_cap),
        cmocka_unit_test(memory_of_a_large_reply_is_given_back),
        cmocka_unit_test(a_pipeline_of_too_many_commands_is_refused),
        cmocka_unit_test(appended_commands_stand_behind_the_others),
        cmocka_unit_test(what_came_too_early_is_for_the_next_pipeline),
        cmocka_unit_test(what_came_too_early_counts_for_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
