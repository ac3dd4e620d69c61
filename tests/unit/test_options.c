#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

static const char *const env_names[] = {
    "COATCHECK_URL",       "COATCHECK_PREFIX",   "COATCHECK_IDLE", "COATCHECK_TIMEOUT",
    "COATCHECK_MAX_BYTES", "COATCHECK_PASSWORD", "COATCHECK_IDEL",
};

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof env_names / sizeof env_names[0]; i++)
        unsetenv(env_names[i]);
    return coat_options_new((struct coat_options **)state, NULL);
}

static int teardown(void **state)
{
    coat_options_free(*state);
    return 0;
}

static void set(struct coat_options *o, const char *name, const char *value)
{
    struct coat_error err;
    if (coat_options_set(o, name, value, &err) < 0)
        fail_msg("%s=%s: %s", name, value, err.text);
}

/* ---- Values --------------------------------------------------------------------------------- */

static void defaults_are_those_of_the_header(void **state)
{
    const struct coat_options *o = *state;
    assert_int_equal(o->connect.address.scheme, COAT_SCHEME_NONE);
    assert_null(o->prefix);
    assert_null(o->connect.username);
    assert_null(o->connect.password);
    assert_int_equal(o->idle_s, 1800);
    assert_int_equal(o->lifetime_s, 43200);
    assert_int_equal(o->timeout_ms, 1000);
    assert_int_equal(o->connect_timeout_ms, 500);
    assert_int_equal(o->connect.max_connections, 8);
    assert_true(o->touch_below == 0.9);
    assert_int_equal(o->stale_ms, 30000);
    assert_int_equal(o->on_conflict.always, COAT_CONFLICT_MINE);
    const struct coat_limits standard = COAT_LIMITS_DEFAULT;
    assert_int_equal(o->limits.max_depth, standard.max_depth);
    assert_int_equal(o->limits.max_bytes, standard.max_bytes);
    assert_int_equal(o->limits.max_fields, standard.max_fields);
    assert_int_equal(o->limits.max_items, standard.max_items);
    assert_int_equal(o->allow_root, 0);
    assert_int_equal(o->anonymous_idle_s, 0);
    assert_int_equal(o->preset, COAT_NO_PRESET);
    assert_int_equal(o->not_before_ms, 0);
    assert_int_equal(o->renew_s, 0);
    assert_int_equal(o->grace_ms, 10000);
}

static void req_19_a_preset_says_what_else_was_not_said(void **state)
{
    struct coat_options *o = *state;
    set(o, "preset", "aal1");
    assert_int_equal(o->idle_s, 0);
    assert_int_equal(o->lifetime_s, 30 * 86400);
    set(o, "preset", "aal2");
    assert_int_equal(o->idle_s, 3600);
    assert_int_equal(o->lifetime_s, 86400);
    set(o, "preset", "aal3");
    assert_int_equal(o->idle_s, 900);
    assert_int_equal(o->lifetime_s, 43200);
    set(o, "idle", "60");
    assert_int_equal(o->idle_s, 60);
    assert_int_equal(o->lifetime_s, 43200);
    set(o, "url", "redis://h?lifetime=120");
    assert_int_equal(o->lifetime_s, 120);
}

static void numbers_are_read_in_their_units(void **state)
{
    struct coat_options *o = *state;
    set(o, "idle", "600");
    assert_int_equal(o->idle_s, 600);
    set(o, "idle", "600.00");
    assert_int_equal(o->idle_s, 600);
    set(o, "idle", "2147483647");
    assert_int_equal(o->idle_s, 2147483647);
    set(o, "idle", "none");
    assert_int_equal(o->idle_s, 0);
    set(o, "lifetime", "34560000");
    assert_int_equal(o->lifetime_s, 34560000);
    set(o, "timeout", "0.001");
    assert_int_equal(o->timeout_ms, 1);
    set(o, "timeout", "2.5");
    assert_int_equal(o->timeout_ms, 2500);
    set(o, "timeout", "0.3333333333333333");
    assert_int_equal(o->timeout_ms, 333);
    set(o, "timeout", ".5");
    assert_int_equal(o->timeout_ms, 500);
    set(o, "timeout", "3600");
    assert_int_equal(o->timeout_ms, 3600000);
    set(o, "stale", "0");
    assert_int_equal(o->stale_ms, 0);
    set(o, "touch_below", "0.5");
    assert_true(o->touch_below == 0.5);
    set(o, "touch_below", "1");
    assert_true(o->touch_below == 1.0);
    set(o, "max_connections", "1");
    assert_int_equal(o->connect.max_connections, 1);
    set(o, "max_bytes", "none");
    assert_true(o->limits.max_bytes == SIZE_MAX);
    set(o, "max_depth", "1024");
    assert_int_equal(o->limits.max_depth, 1024);
    set(o, "allow_root", "1");
    assert_int_equal(o->allow_root, 1);
    set(o, "on_conflict", "theirs");
    assert_int_equal(o->on_conflict.always, COAT_CONFLICT_THEIRS);
    set(o, "on_conflict", "raise");
    assert_int_equal(o->on_conflict.always, COAT_CONFLICT_RAISE);
}

static const char *const number_options[] = {
    "idle",  "lifetime",  "timeout",   "connect_timeout", "max_connections", "touch_below",
    "stale", "max_bytes", "max_depth", "max_fields",      "max_items",       "allow_root",
};

static const char *const bad_numbers[] = {
    "",
    "-1",
    "-0",
    "+1",
    " 1",
    "1 ",
    "1,5",
    "1e3",
    ".",
    "1.2.3",
    "0x10",
    "nan",
    "inf",
    "None",
    "many",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
};

static void req_23_lifetimes_and_numbers_out_of_bounds_are_refused(void **state)
{
    struct coat_options *o = *state;
    for (size_t i = 0; i < sizeof number_options / sizeof number_options[0]; i++)
        for (size_t j = 0; j < sizeof bad_numbers / sizeof bad_numbers[0]; j++) {
            struct coat_error err = {0};
            int rc = coat_options_set(o, number_options[i], bad_numbers[j], &err);
            if (rc != COAT_ECONFIG || !strstr(err.text, number_options[i]))
                fail_msg("%s=%s: %d %s", number_options[i], bad_numbers[j], rc, err.text);
        }
}

static void zero_is_refused_where_it_would_mean_never_or_nothing(void **state)
{
    static const char *const names[] = {"idle",      "lifetime",   "timeout",   "connect_timeout",
                                        "max_bytes", "max_fields", "max_items", "max_connections",
                                        "max_depth", "touch_below"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(coat_options_set(*state, names[i], "0", NULL), COAT_ECONFIG);
}

static void other_wrong_values_are_refused(void **state)
{
    static const char *const bads[][2] = {
        {"idle", "0.5"},
        {"lifetime", "none"},
        {"lifetime", "34560001"},
        {"timeout", "none"},
        {"timeout", "0.0001"},
        {"timeout", "3600.001"},
        {"max_connections", "4097"},
        {"touch_below", "1.01"},
        {"touch_below", "0.0009"},
        {"max_depth", "1025"},
        {"max_bytes", "536870913"},
        {"on_conflict", "ours"},
        {"on_conflict", ""},
        {"preset", ""},
        {"anonymous_idle", "0"},
        {"preset", "aal4"},
        {"not_before", "yesterday"},
        {"not_before", "253402300800.001"},
        {"not_before", "1795447307455"}, /* milliseconds */
        {"renew", "0"},
        {"renew", "34560001"},
        {"grace", "3600.001"},
        {"grace", "none"},
        {"allow_root", "yes"},
        {"allow_root", "2"},
        {"stale", "3600.001"},
    };
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++)
        if (coat_options_set(*state, bads[i][0], bads[i][1], NULL) != COAT_ECONFIG)
            fail_msg("%s=%s", bads[i][0], bads[i][1]);
}

static void a_prefix_has_no_braces_no_control_characters_and_at_most_64_bytes(void **state)
{
    static const char *const bads[] = {
        "",      "a{b",
        "a}b",   "a\nb",
        "\x7f",  "\xc2\x85",
        "\xff",  "\xed\xa0\x80",
        "a\xc3", "12345678901234567890123456789012345678901234567890123456789012345",
    };
    struct coat_options *o = *state;
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++)
        assert_int_equal(coat_options_set(o, "prefix", bads[i], NULL), COAT_ECONFIG);
    assert_null(o->prefix);
    set(o, "prefix", "1234567890123456789012345678901234567890123456789012345678901234");
    assert_int_equal(strlen(o->prefix), 64);
    set(o, "prefix", "caf\xc3\xa9 \xc2\xa0:");
    assert_string_equal(o->prefix, "caf\xc3\xa9 \xc2\xa0:");
}

static void a_refused_value_leaves_the_options_as_they_were(void **state)
{
    struct coat_options *o = *state;
    set(o, "url", "redis://u:p@h:1/2?idle=60");
    assert_int_equal(coat_options_set(o, "idle", "x", NULL), COAT_ECONFIG);
    assert_int_equal(coat_options_set(o, "url", "redis://other?idle=x", NULL), COAT_ECONFIG);
    assert_int_equal(coat_options_set(o, "url", "redis://other?color=x", NULL), COAT_ECONFIG);
    assert_string_equal(o->connect.address.host, "h");
    assert_string_equal(o->connect.password, "p");
    assert_int_equal(o->idle_s, 60);
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void a_message_names_the_option_the_value_and_what_is_right(void **state)
{
    struct coat_error err;
    coat_options_set(*state, "idle", "-5", &err);
    assert_string_equal(err.text, "option idle must be whole seconds from 1 to 2147483647, or "
                                  "none, not \"-5\"");
    coat_options_set(*state, "url", "redis://h?timeout=long", &err);
    assert_string_equal(err.text,
                        "the URL: option timeout must be seconds from 0.001 to 3600, not \"long\"");
    setenv("COATCHECK_IDLE", "soon", 1);
    assert_int_equal(coat_options_env(*state, &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "the environment: option idle must be"));
}

static void an_unknown_name_is_answered_with_the_nearest(void **state)
{
    static const char *const pairs[][2] = {
        {"idel", "idle"},          {"idles", "idle"},
        {"prefixes", "prefix"},    {"pass_word", "password"},
        {"max_byte", "max_bytes"}, {"onconflict", "on_conflict"},
        {"timeuot", "timeout"},    {"connect_timeouts", "connect_timeout"},
    };
    struct coat_error err;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(coat_options_set(*state, pairs[i][0], "1", &err), COAT_ECONFIG);
        char want[64] = "did you mean ";
        strcat(strcat(want, pairs[i][1]), "?");
        if (!strstr(err.text, want) || !strstr(err.text, pairs[i][0]))
            fail_msg("%s: %s", pairs[i][0], err.text);
    }
    assert_int_equal(coat_options_set(*state, "url", "redis://h?idel=1", &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "did you mean idle?"));
    assert_int_equal(coat_options_set(*state, "url", "redis://h?url=x", &err), COAT_ECONFIG);
}

static void one_that_is_near_to_none_is_answered_with_where_they_stand(void **state)
{
    static const char *const names[] = {"ttl", "ssl", "db", "secret", "samesite"};
    struct coat_error err;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(coat_options_set(*state, names[i], "1", &err), COAT_ECONFIG);
        assert_null(strstr(err.text, "did you mean"));
        assert_non_null(strstr(err.text, names[i]));
        assert_non_null(strstr(err.text, "coat_options.h"));
    }
}

static void strange_names_are_not_repeated(void **state)
{
    struct coat_error err;
    assert_int_equal(coat_options_set(*state, "", "1", &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "no such option"));
    assert_int_equal(coat_options_set(*state, "Idle\n", "1", &err), COAT_ECONFIG);
    assert_null(strstr(err.text, "\n"));
    char name[1000];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(coat_options_set(*state, name, "1", &err), COAT_ECONFIG);
}

static void req_51_no_message_shows_a_password(void **state)
{
    static const char *const urls[] = {
        "redis://u:SECRET@h?idle=x",     "redis://u:SECRET@h?password=SECRET",
        "redis://u:12?SECRET@h",         "redis://u:12?SECRET=1@h",
        "redis://u:12?secret=SECRET@h",  "redis://u:12?idle=SECRET@h",
        "redis://h?password=SECRET&x=1", "redis://h?SECRET=1",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct coat_error err = {0};
        assert_int_equal(coat_options_set(*state, "url", urls[i], &err), COAT_ECONFIG);
        if (strstr(err.text, "SECRET") || strstr(err.text, "secret"))
            fail_msg("%s: %s", urls[i], err.text);
    }
}

/* ---- Precedence ----------------------------------------------------------------------------- */

static void by_name(struct coat_options *o)
{
    set(o, "idle", "1");
}

static void by_url(struct coat_options *o)
{
    set(o, "url", "redis://h?idle=2&timeout=2");
}

static void by_env(struct coat_options *o)
{
    setenv("COATCHECK_IDLE", "3", 1);
    setenv("COATCHECK_TIMEOUT", "3", 1);
    setenv("COATCHECK_MAX_BYTES", "3", 1);
    setenv("COATCHECK_PREFIX", "", 1);
    assert_int_equal(coat_options_env(o, NULL), 0);
}

static void name_wins_over_url_over_environment_in_every_order(void **state)
{
    void (*const steps[])(struct coat_options *) = {by_name, by_url, by_env};
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t i = 0; i < 6; i++) {
        teardown(state);
        setup(state);
        struct coat_options *o = *state;
        for (size_t j = 0; j < 3; j++)
            steps[orders[i][j]](o);
        assert_int_equal(o->idle_s, 1);
        assert_int_equal(o->timeout_ms, 2000);
        assert_int_equal(o->limits.max_bytes, 3);
        assert_null(o->prefix);
    }
}

static void another_url_brings_back_what_its_parameters_hid(void **state)
{
    struct coat_options *o = *state;
    by_env(o);
    by_url(o);
    set(o, "url", "redis://:p@h");
    assert_int_equal(o->idle_s, 3);
    set(o, "url", "redis://h");
    assert_null(o->connect.password);
}

static void the_url_may_come_from_the_environment(void **state)
{
    struct coat_options *o = *state;
    setenv("COATCHECK_URL", "redis://:p@from-env:7/1?idle=9", 1);
    setenv("COATCHECK_IDLE", "8", 1);
    assert_int_equal(coat_options_env(o, NULL), 0);
    assert_string_equal(o->connect.address.host, "from-env");
    assert_string_equal(o->connect.password, "p");
    assert_int_equal(o->idle_s, 9);
    set(o, "url", "redis://by-name");
    assert_string_equal(o->connect.address.host, "by-name");
    assert_int_equal(o->idle_s, 8);
    assert_int_equal(coat_options_env(o, NULL), 0);
    assert_string_equal(o->connect.address.host, "by-name");
    unsetenv("COATCHECK_IDLE");
    assert_int_equal(coat_options_env(o, NULL), 0);
    assert_int_equal(o->idle_s, 1800);
}

static void the_environment_is_read_only_when_asked(void **state)
{
    setenv("COATCHECK_IDLE", "7", 1);
    struct coat_options *o;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    set(o, "url", "redis://h");
    assert_int_equal(o->idle_s, 1800);
    coat_options_free(o);
    (void)state;
}

static void a_variable_that_is_no_options_is_refused_with_the_nearest(void **state)
{
    struct coat_options *o = *state;
    struct coat_error err;
    setenv("COATCHECK_IDEL", "", 1);
    assert_int_equal(coat_options_env(o, &err), 0);
    setenv("COATCHECK_IDEL", "SECRET", 1);
    setenv("COATCHECK_IDLE", "7", 1);
    assert_int_equal(coat_options_env(o, &err), COAT_ECONFIG);
    unsetenv("COATCHECK_IDEL");
    assert_non_null(strstr(err.text, "COATCHECK_IDEL"));
    assert_non_null(strstr(err.text, "did you mean idle?"));
    assert_null(strstr(err.text, "SECRET"));
    assert_int_equal(o->idle_s, 1800);
}

static void an_empty_password_by_name_takes_the_urls_away(void **state)
{
    struct coat_options *o = *state;
    set(o, "url", "redis://:p@h");
    set(o, "password", "");
    assert_null(o->connect.password);
}

/* ---- Together ------------------------------------------------------------------------------- */

static void connect_timeout_is_refused_where_both_were_asked_for_and_do_not_fit(void **state)
{
    struct coat_options *o = *state;
    set(o, "url", "redis://h");
    set(o, "prefix", "p:");
    set(o, "timeout", "0.2");
    set(o, "connect_timeout", "0.3");
    struct coat_error err;
    assert_int_equal(coat_options_complete(o, &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "connect_timeout"));
    set(o, "timeout", "0.4");
    assert_int_equal(o->connect_timeout_ms, 300);
    assert_int_equal(coat_options_complete(o, NULL), 0);
}

static void connecting_gets_half_of_the_time_at_most(void **state)
{
    static const struct {
        const char *timeout;
        int connect_ms;
    } cases[] = {{"0.2", 100}, {"0.999", 500}, {"0.003", 2}, {"0.001", 1}, {"10", 500}};
    struct coat_options *o = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set(o, "timeout", cases[i].timeout);
        assert_int_equal(o->connect_timeout_ms, cases[i].connect_ms);
    }
}

static void connect_timeout_alone_is_clamped(void **state)
{
    struct coat_options *o = *state;
    set(o, "connect_timeout", "5");
    assert_int_equal(o->connect_timeout_ms, 1000);
}

static void without_url_or_prefix_they_are_not_complete(void **state)
{
    struct coat_options *o = *state;
    struct coat_error err;
    assert_int_equal(coat_options_complete(o, &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "COATCHECK_URL"));
    set(o, "url", "redis://h");
    assert_int_equal(coat_options_complete(o, &err), COAT_ECONFIG);
    assert_non_null(strstr(err.text, "prefix"));
    set(o, "prefix", "shop:");
    assert_int_equal(coat_options_complete(o, &err), 0);
}

static void embedded_needs_no_prefix_and_takes_no_password(void **state)
{
    struct coat_options *o = *state;
    set(o, "url", "embedded:");
    assert_int_equal(coat_options_complete(o, NULL), 0);
    set(o, "password", "x");
    assert_int_equal(coat_options_complete(o, NULL), COAT_ECONFIG);
}

static void a_copy_has_strings_of_its_own(void **state)
{
    struct coat_options *o = *state;
    set(o, "url", "redis://u:p@h:5/3?idle=60");
    set(o, "prefix", "shop:");
    struct coat_options *copy = coat_options_copy(o);
    assert_non_null(copy);
    set(o, "url", "unix:/x");
    set(o, "prefix", "other:");
    assert_string_equal(copy->connect.address.host, "h");
    assert_int_equal(copy->connect.address.port, 5);
    assert_int_equal(copy->connect.address.db, 3);
    assert_string_equal(copy->connect.username, "u");
    assert_string_equal(copy->connect.password, "p");
    assert_string_equal(copy->prefix, "shop:");
    assert_int_equal(copy->idle_s, 60);
    coat_options_free(copy);
    coat_options_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_those_of_the_header),
        TEST(req_19_a_preset_says_what_else_was_not_said),
        TEST(numbers_are_read_in_their_units),
        TEST(req_23_lifetimes_and_numbers_out_of_bounds_are_refused),
        TEST(zero_is_refused_where_it_would_mean_never_or_nothing),
        TEST(other_wrong_values_are_refused),
        TEST(a_prefix_has_no_braces_no_control_characters_and_at_most_64_bytes),
        TEST(a_refused_value_leaves_the_options_as_they_were),
        TEST(a_message_names_the_option_the_value_and_what_is_right),
        TEST(an_unknown_name_is_answered_with_the_nearest),
        TEST(one_that_is_near_to_none_is_answered_with_where_they_stand),
        TEST(strange_names_are_not_repeated),
        TEST(req_51_no_message_shows_a_password),
        TEST(name_wins_over_url_over_environment_in_every_order),
        TEST(another_url_brings_back_what_its_parameters_hid),
        TEST(the_url_may_come_from_the_environment),
        TEST(the_environment_is_read_only_when_asked),
        TEST(a_variable_that_is_no_options_is_refused_with_the_nearest),
        TEST(an_empty_password_by_name_takes_the_urls_away),
        TEST(connect_timeout_is_refused_where_both_were_asked_for_and_do_not_fit),
        TEST(connecting_gets_half_of_the_time_at_most),
        TEST(connect_timeout_alone_is_clamped),
        TEST(without_url_or_prefix_they_are_not_complete),
        TEST(embedded_needs_no_prefix_and_takes_no_password),
        TEST(a_copy_has_strings_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
