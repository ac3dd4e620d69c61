/* The greeting of a connection: what is said, and what the replies mean (backend/greeting.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "greeting.h"

#define OK         ((struct coat_reply){.kind = COAT_REPLY_STATUS, .bytes = "OK", .len = 2})
#define TEXT(t)    ((struct coat_reply){.kind = COAT_REPLY_BULK, .bytes = (t), .len = strlen(t)})
#define REFUSED(t) ((struct coat_reply){.kind = COAT_REPLY_ERROR, .bytes = (t), .len = strlen(t)})

/* A greeting, and what it is made for. */
struct hello {
    struct coat_connect connect;
    struct coat_peer peer;
    struct coat_greeting g;
    struct coat_error err;
};

static void hello_begin(struct hello *h)
{
    h->peer.address = (struct coat_address){
        .scheme = COAT_SCHEME_TCP, .host = (char *)"redis.test", .port = 6379};
    h->peer.connect = &h->connect;
    coat_greeting_init(&h->g, &h->peer);
    assert_int_equal(coat_greeting_prepare(&h->g, &h->err), 0);
}

/* All commands in one line. */
static const char *said(const struct hello *h)
{
    static char line[512];
    size_t n = 0;
    line[0] = '\0';
    for (size_t i = 0; i < h->g.count; i++) {
        const struct coat_command *c = &h->g.commands[i];
        for (size_t j = 0; j < c->count; j++)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%.*s",
                                  n == 0 ? ""
                                  : j    ? " "
                                         : "|",
                                  (int)c->args[j].len, (const char *)c->args[j].bytes);
    }
    return line;
}

/* The nth reply is this one, all others are fine: what that means. */
static int answered(struct hello *h, size_t nth, struct coat_reply reply)
{
    struct coat_reply replies[COAT_GREETING_COMMANDS];
    for (size_t i = 0; i < h->g.count; i++)
        replies[i] = i == nth ? reply : OK;
    return coat_greeting_judge(&h->g, replies, h->g.count, &h->err);
}

/* ---- What is said --------------------------------------------------------------------------- */

#define NAMES "CLIENT SETNAME coatcheck|CLIENT SETINFO LIB-NAME coatcheck|CLIENT SETINFO LIB-VER "

static void a_server_without_users_hears_who_we_are(void **state)
{
    (void)state;
    struct hello h = {0};
    hello_begin(&h);
    assert_non_null(strstr(said(&h), NAMES));
    assert_null(strstr(said(&h), "AUTH"));
    assert_null(strstr(said(&h), "SELECT"));
    assert_null(strstr(said(&h), "ROLE"));
    assert_non_null(strstr(said(&h), "|INFO memory"));
    coat_greeting_release(&h.g);
}

static void credentials_come_first_and_then_the_database(void **state)
{
    (void)state;
    static const struct {
        const char *username, *password, *begin;
    } cases[] = {
        {NULL, "secret", "AUTH secret|SELECT 3|CLIENT"},
        {"web", "secret", "AUTH web secret|SELECT 3|CLIENT"},
        {"web", NULL, "AUTH web |SELECT 3|CLIENT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hello h = {.connect = {.username = (char *)cases[i].username,
                                      .password = (char *)cases[i].password,
                                      .address = {.db = 3}}};
        hello_begin(&h);
        assert_memory_equal(said(&h), cases[i].begin, strlen(cases[i].begin));
        coat_greeting_release(&h.g);
    }
}

static void a_sentinel_hears_its_own_credentials_and_of_no_database(void **state)
{
    (void)state;
    struct hello h = {.connect = {.username = (char *)"web",
                                  .password = (char *)"secret",
                                  .sentinel_password = (char *)"watch",
                                  .address = {.db = 3}},
                      .peer = {.is_sentinel = 1}};
    hello_begin(&h);
    assert_memory_equal(said(&h), "AUTH watch|CLIENT", 17);
    assert_null(strstr(said(&h), "SELECT"));
    assert_null(strstr(said(&h), "INFO memory"));
    coat_greeting_release(&h.g);
}

/* ---- What the replies mean ------------------------------------------------------------------ */

static void a_sentinel_that_asks_for_a_password_names_its_own_options(void **state)
{
    (void)state;
    struct hello h = {.peer = {.is_sentinel = 1}};
    hello_begin(&h);
    assert_int_equal(answered(&h, 0, REFUSED("NOAUTH Authentication required.")), COAT_EDENIED);
    assert_string_equal(h.err.reason, "NOAUTH");
    assert_non_null(strstr(h.err.text, "sentinel_username and sentinel_password"));
    coat_greeting_release(&h.g);
}

static void servers_that_know_no_names_are_good_enough(void **state)
{
    (void)state;
    struct hello h = {0};
    hello_begin(&h);
    for (size_t i = 0; i < h.g.count; i++)
        assert_int_equal(answered(&h, i, REFUSED("ERR unknown subcommand")), 0);
    assert_int_equal(answered(&h, 3, REFUSED("NOPERM no")), 0);
    coat_greeting_release(&h.g);
}

static void who_asks_for_a_password_denies(void **state)
{
    (void)state;
    struct hello h = {0};
    hello_begin(&h);
    assert_int_equal(answered(&h, 0, REFUSED("NOAUTH Authentication required.")), COAT_EDENIED);
    coat_greeting_release(&h.g);
}

static void a_refused_password_says_which_options_to_look_at(void **state)
{
    (void)state;
    struct hello h = {
        .connect = {.password = (char *)"hunter2", .sentinel_password = (char *)"hunter2"}};
    hello_begin(&h);
    assert_int_equal(answered(&h, 0, REFUSED("WRONGPASS hunter2")), COAT_EDENIED);
    assert_null(strstr(h.err.text, "hunter2"));
    assert_null(strstr(h.err.text, "sentinel"));
    coat_greeting_release(&h.g);
    h.peer.is_sentinel = 1;
    hello_begin(&h);
    assert_int_equal(answered(&h, 0, REFUSED("WRONGPASS hunter2")), COAT_EDENIED);
    assert_non_null(strstr(h.err.text, "sentinel_password"));
    coat_greeting_release(&h.g);
}

static void a_server_that_is_full_is_unavailable(void **state)
{
    (void)state;
    struct hello h = {0};
    hello_begin(&h);
    assert_int_equal(answered(&h, 0, REFUSED("ERR max number of clients reached")),
                     COAT_EUNAVAILABLE);
    assert_string_equal(h.err.reason, "clients");
    coat_greeting_release(&h.g);
}

static void only_a_master_is_good_where_one_is_wanted(void **state)
{
    (void)state;
    struct hello h = {.peer = {.must_be_master = 1}};
    struct coat_reply role = TEXT("master");
    struct coat_reply reply = {.kind = COAT_REPLY_ARRAY, .items = &role, .count = 1};
    hello_begin(&h);
    assert_non_null(strstr(said(&h), "|ROLE|"));
    assert_int_equal(answered(&h, 3, reply), 0);
    assert_int_equal(answered(&h, 3, REFUSED("NOPERM no")), 0);
    role = TEXT("slave");
    assert_int_equal(answered(&h, 3, reply), COAT_EUNAVAILABLE);
    assert_string_equal(h.err.reason, "replica");
    coat_greeting_release(&h.g);
}

static void the_policy_for_full_memory_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *info, *policy;
    } cases[] = {
        {"# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:volatile-ttl\r\nx:1\r\n", "volatile-ttl"},
        {"# Memory\r\nmaxmemory_policy:noeviction", "noeviction"},
        {"# Memory\r\nold_maxmemory_policy:allkeys-lru\r\n", ""},
        {"# Memory\r\nmaxmemory_policy:%n%n\r\n", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hello h = {0};
        hello_begin(&h);
        assert_int_equal(answered(&h, 3, TEXT(cases[i].info)), 0);
        assert_string_equal(h.g.eviction, cases[i].policy);
        coat_greeting_release(&h.g);
    }
}

/* ---- Passwords from a file ------------------------------------------------------------------ */

static char path[64];

static int make_path(void **state)
{
    (void)state;
    strcpy(path, "/tmp/coatcheck-password.XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void the_first_line_of_the_file_is_the_password_at_that_time(void **state)
{
    (void)state;
    struct hello h = {.connect = {.password_file = path}};
    write_file("one\r\ncomment\n", 13);
    hello_begin(&h);
    assert_memory_equal(said(&h), "AUTH one|", 9);
    write_file("two", 3);
    assert_int_equal(answered(&h, 0, REFUSED("WRONGPASS")), 1);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), 0);
    assert_memory_equal(said(&h), "AUTH two|", 9);
    assert_int_equal(answered(&h, 0, REFUSED("WRONGPASS")), COAT_EDENIED); /* once is enough */
    coat_greeting_release(&h.g);
}

static void a_file_that_is_no_password_is_a_mistake(void **state)
{
    (void)state;
    static char large[8192];
    memset(large, 'x', sizeof large);
    struct hello h = {.connect = {.password_file = path}};
    h.peer.connect = &h.connect;
    coat_greeting_init(&h.g, &h.peer);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG); /* empty */
    write_file("\n", 1);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG);
    write_file("half\0rest\n", 10);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG);
    assert_null(strstr(h.err.text, "half"));
    write_file(large, sizeof large);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG);
    assert_null(strstr(h.err.text, "xxx"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody would ever write to it */
    assert_int_equal(coat_greeting_prepare(&h.g, &h.err), COAT_ECONFIG);
    coat_greeting_release(&h.g);
}

#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, make_path, remove_path)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_without_users_hears_who_we_are),
        cmocka_unit_test(credentials_come_first_and_then_the_database),
        cmocka_unit_test(a_sentinel_hears_its_own_credentials_and_of_no_database),
        cmocka_unit_test(a_sentinel_that_asks_for_a_password_names_its_own_options),
        cmocka_unit_test(servers_that_know_no_names_are_good_enough),
        cmocka_unit_test(who_asks_for_a_password_denies),
        cmocka_unit_test(a_refused_password_says_which_options_to_look_at),
        cmocka_unit_test(a_server_that_is_full_is_unavailable),
        cmocka_unit_test(only_a_master_is_good_where_one_is_wanted),
        cmocka_unit_test(the_policy_for_full_memory_is_read),
        WITH_FILE(the_first_line_of_the_file_is_the_password_at_that_time),
        WITH_FILE(a_file_that_is_no_password_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
