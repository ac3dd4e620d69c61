#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "refusal.h"

static struct coat_reply error(const char *text)
{
    return (struct coat_reply){.kind = COAT_REPLY_ERROR, .bytes = text, .len = strlen(text)};
}

static void every_error_has_its_code_and_word(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
        int code;
    } ROW[] = {
        {"NOAUTH Authentication required.", "NOAUTH", COAT_EDENIED},
        {"WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS",
         COAT_EDENIED},
        {"NOPERM this user has no permissions to run the 'get' command", "NOPERM", COAT_EDENIED},
        {"WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE",
         COAT_ECORRUPT},
        {"OOM command not allowed when used memory > 'maxmemory'.", "OOM", COAT_EUNAVAILABLE},
        {"READONLY You can't write against a read only replica.", "READONLY", COAT_EUNAVAILABLE},
        {"LOADING Redis is loading the dataset in memory", "LOADING", COAT_EUNAVAILABLE},
        {"BUSY Redis is busy running a script.", "BUSY", COAT_EUNAVAILABLE},
        {"MASTERDOWN Link with MASTER is down", "MASTERDOWN", COAT_EUNAVAILABLE},
        {"CLUSTERDOWN The cluster is down", "CLUSTERDOWN", COAT_EUNAVAILABLE},
        {"MISCONF Redis is configured to save RDB snapshots", "MISCONF", COAT_EUNAVAILABLE},
        {"NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", COAT_EUNAVAILABLE},
        {"ERR max number of clients reached", "ERR", COAT_EUNAVAILABLE},
        {"BUSYGROUP Consumer Group name already exists", "BUSYGROUP", COAT_EUNAVAILABLE},
        {"TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", COAT_EUNAVAILABLE},
        {"", "", COAT_EUNAVAILABLE},
        {"no word of its own", "", COAT_EUNAVAILABLE},
        {"AWORDTHATISLONGERTHANANYTHATREDISHASEVERSENT", "AWORDTHATISLONGERTHANAN",
         COAT_EUNAVAILABLE},
        /* met by a script, before Redis 7 */
        {"ERR Error running script (call to f_02d3): @user_script:5: @user_script: 5: -OOM command "
         "not allowed when used memory > 'maxmemory'.",
         "OOM", COAT_EUNAVAILABLE},
        {"ERR Error running script (call to f_02d3): @user_script:2: WRONGTYPE Operation against a "
         "key holding the wrong kind of value",
         "WRONGTYPE", COAT_ECORRUPT},
        {"ERR Error running script (call to f_02d3): @user_script:5: @user_script: 5: -READONLY "
         "You can't write against a read only replica.",
         "READONLY", COAT_EUNAVAILABLE},
        {"ERR Error running script (call to f_02d3): @user_script:2: The user executing the script "
         "can't run this command or subcommand",
         "NOPERM", COAT_EDENIED},
        /* and in Redis 7 */
        {"ERR The user executing the script can't access at least one of the keys mentioned in the "
         "command arguments script: 02d3, on @user_script:2.",
         "NOPERM", COAT_EDENIED},
        {"ERR ACL failure in script: User u has no permissions to run the 'get' command script: "
         "02d3, on @user_script:2.",
         "NOPERM", COAT_EDENIED},
        {"WRONGTYPE Operation against a key holding the wrong kind of value script: 02d3, on "
         "@user_script:2.",
         "WRONGTYPE", COAT_ECORRUPT},
    };
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
        struct coat_reply reply = error(ROW[i].text);
        struct coat_error err;
        assert_int_equal(coat_refusal(&reply, &err), ROW[i].code);
        assert_int_equal(err.code, ROW[i].code);
        assert_string_equal(err.reason, ROW[i].word);
        assert_true(strlen(err.text) > 20);
        assert_int_equal(coat_refusal(&reply, NULL), ROW[i].code);
    }
}

static void what_the_server_quotes_is_not_repeated(void **state)
{
    (void)state;
    struct coat_reply reply = error("ERR wrong number for `EVALSHA`, with args beginning with: x");
    struct coat_error err;
    coat_refusal(&reply, &err);
    assert_non_null(strstr(err.text, "\"ERR wrong number for \""));
    assert_null(strstr(err.text, "EVALSHA"));
}

static void a_server_that_lacks_a_command_may_be_a_sentinel(void **state)
{
    (void)state;
    struct coat_reply reply = error("ERR unknown command `GET`, with args beginning with: x");
    struct coat_error err;
    assert_int_equal(coat_refusal(&reply, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "command");
    assert_non_null(strstr(err.text, "redis+sentinel://"));
}

static void a_word_is_compared_whole(void **state)
{
    (void)state;
    struct coat_reply reply = error("NOSCRIPT No matching script. Please use EVAL.");
    struct coat_reply longer = error("NOSCRIPTS"), shorter = error("NOSCRIP");
    struct coat_reply status = {.kind = COAT_REPLY_STATUS, .bytes = "NOSCRIPT", .len = 8};
    assert_int_equal(coat_refusal_is(&reply, "NOSCRIPT"), 1);
    assert_int_equal(coat_refusal_is(&longer, "NOSCRIPT"), 0);
    assert_int_equal(coat_refusal_is(&shorter, "NOSCRIPT"), 0);
    assert_int_equal(coat_refusal_is(&status, "NOSCRIPT"), 0);
}

static void a_cluster_is_called_one(void **state)
{
    (void)state;
    struct coat_reply reply = error("MOVED 3999 127.0.0.1:6381");
    struct coat_error err;
    assert_int_equal(coat_refusal(&reply, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "MOVED");
    assert_non_null(strstr(err.text, "cluster"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_code_and_word),
        cmocka_unit_test(what_the_server_quotes_is_not_repeated),
        cmocka_unit_test(a_server_that_lacks_a_command_may_be_a_sentinel),
        cmocka_unit_test(a_word_is_compared_whole),
        cmocka_unit_test(a_cluster_is_called_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
