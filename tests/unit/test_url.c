#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "url.h"

/* ---- What is understood --------------------------------------------------------------------- */

struct good {
    const char *text;
    enum coat_scheme scheme;
    const char *host;
    int port;
    const char *path;
    int db;
    const char *username, *password;
};

static const struct good goods[] = {
    {"redis://h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, NULL, NULL},
    {"redis://h/", COAT_SCHEME_TCP, "h", 6379, NULL, 0, NULL, NULL},
    {"REDIS://h:1", COAT_SCHEME_TCP, "h", 1, NULL, 0, NULL, NULL},
    {"valkey://h:65535/15", COAT_SCHEME_TCP, "h", 65535, NULL, 15, NULL, NULL},
    {"redis://h?db=3", COAT_SCHEME_TCP, "h", 6379, NULL, 3, NULL, NULL},
    {"redis://h/2147483647", COAT_SCHEME_TCP, "h", 6379, NULL, 2147483647, NULL, NULL},
    {"redis://127.0.0.1:7000/1", COAT_SCHEME_TCP, "127.0.0.1", 7000, NULL, 1, NULL, NULL},
    {"redis://[::1]", COAT_SCHEME_TCP, "::1", 6379, NULL, 0, NULL, NULL},
    {"redis://[2001:db8::7]:7000/2", COAT_SCHEME_TCP, "2001:db8::7", 7000, NULL, 2, NULL, NULL},
    {"redis://[fe80::1%25eth0]:1", COAT_SCHEME_TCP, "fe80::1%eth0", 1, NULL, 0, NULL, NULL},
    {"redis://u:p@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, "u", "p"},
    {"redis://:p@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, NULL, "p"},
    {"redis://u@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, "u", NULL},
    {"redis://:@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, NULL, NULL},
    {"redis://u:a:b@c@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, "u", "a:b@c"},
    {"redis://%75:p%40%2f%3F%23%25@h", COAT_SCHEME_TCP, "h", 6379, NULL, 0, "u", "p@/?#%"},
    {"redis://h?password=a%26b+c", COAT_SCHEME_TCP, "h", 6379, NULL, 0, NULL, "a&b+c"},
    {"unix:/run/redis.sock", COAT_SCHEME_UNIX, NULL, 0, "/run/redis.sock", 0, NULL, NULL},
    {"unix:///run/redis.sock?db=2", COAT_SCHEME_UNIX, NULL, 0, "/run/redis.sock", 2, NULL, NULL},
    {"unix:/a%20b?username=u&password=p", COAT_SCHEME_UNIX, NULL, 0, "/a b", 0, "u", "p"},
    {"unix:/a?", COAT_SCHEME_UNIX, NULL, 0, "/a", 0, NULL, NULL},
    {"embedded:", COAT_SCHEME_EMBEDDED, NULL, 0, NULL, 0, NULL, NULL},
    {"embedded:/var/x", COAT_SCHEME_EMBEDDED, NULL, 0, "/var/x", 0, NULL, NULL},
    {"embedded:///var/x?db=1", COAT_SCHEME_EMBEDDED, NULL, 0, "/var/x", 1, NULL, NULL},
};

static void assert_text(const char *got, const char *want)
{
    if (want) {
        assert_non_null(got);
        assert_string_equal(got, want);
    } else {
        assert_null(got);
    }
}

static void every_form_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        const struct good *g = &goods[i];
        struct coat_url url;
        struct coat_error err;
        if (coat_url_parse(&url, g->text, &err) < 0)
            fail_msg("%s: %s", g->text, err.text);
        assert_int_equal(url.address.scheme, g->scheme);
        assert_text(url.address.host, g->host);
        assert_int_equal(url.address.port, g->port);
        assert_text(url.address.path, g->path);
        assert_int_equal(url.address.db, g->db);
        assert_text(coat_url_param(&url, "username"), g->username);
        assert_text(coat_url_param(&url, "password"), g->password);
        coat_url_release(&url);
    }
}

static void sentinels_and_nodes_are_listed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum coat_deployment kind;
        const char *hosts, *service;
        int db;
        const char *password;
    } lists[] = {
        {"redis+sentinel://h/main", COAT_SENTINEL, "h:26379", "main", 0, NULL},
        {"redis+sentinel://:p@h1:1,h2,[::1]:3/my%2Fmain/4", COAT_SENTINEL, "h1:1 h2:26379 ::1:3",
         "my/main", 4, "p"},
        {"valkey+sentinel://h/main?db=2", COAT_SENTINEL, "h:26379", "main", 2, NULL},
        {"redis+cluster://h", COAT_CLUSTER, "h:6379", NULL, 0, NULL},
        {"redis+cluster://u:p@h1:1,h2,[::1]", COAT_CLUSTER, "h1:1 h2:6379 ::1:6379", NULL, 0, "p"},
        {"Valkey+Cluster://h/0", COAT_CLUSTER, "h:6379", NULL, 0, NULL},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct coat_url url;
        struct coat_error err;
        char hosts[128] = "";
        if (coat_url_parse(&url, lists[i].text, &err) < 0)
            fail_msg("%s: %s", lists[i].text, err.text);
        assert_int_equal(url.kind, lists[i].kind);
        for (size_t j = 0; j < url.host_count; j++)
            snprintf(hosts + strlen(hosts), sizeof hosts - strlen(hosts), "%s%s:%d", j ? " " : "",
                     url.hosts[j].host, url.hosts[j].port);
        assert_string_equal(hosts, lists[i].hosts);
        assert_text(url.service, lists[i].service);
        assert_int_equal(url.address.db, lists[i].db);
        assert_text(coat_url_param(&url, "password"), lists[i].password);
        coat_url_release(&url);
    }
}

static void more_hosts_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    char text[1024] = "redis+cluster://h";
    for (int i = 1; i <= COAT_HOSTS_MAX; i++)
        strcat(text, ",h");
    struct coat_url url;
    assert_int_equal(coat_url_parse(&url, text, NULL), COAT_ECONFIG);
    text[strlen(text) - 2] = '\0';
    assert_int_equal(coat_url_parse(&url, text, NULL), 0);
    assert_int_equal(url.host_count, COAT_HOSTS_MAX);
    coat_url_release(&url);
}

static void parameters_are_decoded_and_kept_in_order(void **state)
{
    (void)state;
    struct coat_url url;
    assert_int_equal(coat_url_parse(&url, "redis://h/1?idle=6%300&&x=&prefix=a%3Ab", NULL), 0);
    assert_int_equal(url.count, 3);
    assert_string_equal(url.params[0].name, "idle");
    assert_string_equal(url.params[0].value, "600");
    assert_string_equal(url.params[1].value, "");
    assert_string_equal(url.params[2].value, "a:b");
    assert_null(coat_url_param(&url, "db"));
    coat_url_release(&url);
    coat_url_release(&url);
}

/* ---- What is refused ------------------------------------------------------------------------ */

/* Each with a word of its advice. SECRET stands where a password could. */
static const struct {
    const char *text, *advice;
} bads[] = {
    {"", "redis://host"},
    {"SECRET", "redis://host"},
    {"u:SECRET@h", "redis://host"},
    {"http://:SECRET@h", "redis://host"},
    {"redis", "redis://host"},
    {"redis:", "//"},
    {"redis:h", "//"},
    {"redis:/h", "//"},
    {"redis://", "names no host"},
    {"redis://:6379", "names no host"},
    {"redis://:SECRET@", "names no host"},
    {"redis://:SECRET@:1", "names no host"},
    {"redis://:SE/CRET@h", "%2F"},
    {"redis://u:SE/CRET@h", "%2F"},
    {"redis://:SE?CRET@h", "%3F"},
    {"redis://:SE#CRET@h", "%23"},
    {"redis://:SE CRET@h", "%20"},
    {"redis://:SE\nCRET@h", "control"},
    {"redis://:SE%GGCRET@h", "%25"},
    {"redis://:SECRET%@h", "%25"},
    {"redis://:SECRET%0@h", "%25"},
    {"redis://:SECRET%00@h", "%25"},
    {"redis://h:", "port"},
    {"redis://h:0", "port"},
    {"redis://h:65536", "port"},
    {"redis://h:99999999999999999999", "port"},
    {"redis://h:-1", "port"},
    {"redis://h:+1", "port"},
    {"redis://h:1x", "port"},
    {"redis://[::1]:", "port"},
    {"redis://::1", "brackets"},
    {"redis://h:1:2", "brackets"},
    {"redis://[::1", "]"},
    {"redis://[::1]x", "]"},
    {"redis://[127.0.0.1]", "IPv6"},
    {"redis://[]", "IPv6"},
    {"redis://[::1%25]", "IPv6"},
    {"redis://[SECRET]", "IPv6"},
    {"redis://ho_st!", "host name"},
    {"redis://h%41", "host name"},
    {"redis://h/x", "database"},
    {"redis://h/-1", "database"},
    {"redis://h/1/2", "database"},
    {"redis://h/2147483648", "database"},
    {"redis://h?db=", "database"},
    {"redis://h?db=1.0", "database"},
    {"redis://h/0?db=0", "twice"},
    {"redis://h?db=1&db=1", "twice"},
    {"redis://h?idle=1&idle=2", "twice"},
    {"redis://:SECRET@h?password=SECRET", "twice"},
    {"redis://u@h?username=u", "twice"},
    {"redis://h?SECRET", "?name=value"},
    {"redis://h?x=%zz", "%25"},
    {"unix:", "absolute path"},
    {"unix:redis.sock", "absolute path"},
    {"unix:./redis.sock", "absolute path"},
    {"unix://run/redis.sock", "absolute path"},
    {"unix://u:SECRET@/run/redis.sock", "absolute path"},
    {"unix:////x", "absolute path"},
    {"embedded:dir", "absolute directory"},
    {"embedded://dir", "absolute directory"},
    {"redis+sentinel://h", "names no service"},
    {"redis+sentinel://h/", "names no service"},
    {"redis+sentinel://h//0", "names no service"},
    {"redis+sentinel://h,i/s/x", "database"},
    {"redis+sentinel://h,i/s%zz", "%25"},
    {"redis+sentinel:h/s", "//"},
    {"redis+cluster://h/1", "only one"},
    {"redis+cluster://h?db=1", "only one"},
    {"redis+cluster://", "names no host"},
    {"redis+cluster://h,", "names no host"},
    {"redis+cluster://,h", "names no host"},
    {"redis+cluster://h,:SECRET@i:x", "port"},
    {"redis+cluster://h:1,i:0", "port"},
    {"redis://h,i", "redis+cluster://host1"},
    {"sentinel://h/s", "redis+sentinel://host1"},
    {"redis+sentinels://:SECRET@h/s", "redis+sentinel://host1"},
    {"redis-cluster://:SECRET@h", "redis+cluster://host1"},
    {"redis+unix:/SECRET", "unix:/path"},
    {"rediss:/run/SECRET.sock", "no TLS"},
    {"reddis://:SECRET@h", "rediss://"},
};

static void wrong_ones_are_refused_with_advice_and_without_their_secrets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        struct coat_url url;
        struct coat_error err = {0};
        int rc = coat_url_parse(&url, bads[i].text, &err);
        if (rc != COAT_ECONFIG || err.code != COAT_ECONFIG || !strstr(err.text, bads[i].advice))
            fail_msg("%s: %d %s", bads[i].text, rc, err.text);
        if (strstr(err.text, "SE") || strstr(err.text, "CRET"))
            fail_msg("%s: shows it: %s", bads[i].text, err.text);
        assert_null(url.text);
        assert_int_equal(coat_url_parse(&url, bads[i].text, NULL), COAT_ECONFIG);
    }
}

static void parameters_beyond_the_room_for_them_are_refused(void **state)
{
    (void)state;
    char text[1024] = "redis://h?";
    for (int i = 0; i <= COAT_URL_PARAMS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "p%d=1&", i);
    struct coat_url url;
    assert_int_equal(coat_url_parse(&url, text, NULL), COAT_ECONFIG);
    char *last = strstr(text, "p32=");
    *last = '\0';
    assert_int_equal(coat_url_parse(&url, text, NULL), 0);
    coat_url_release(&url);
}

static void an_s_asks_for_tls(void **state)
{
    (void)state;
    static const char *const with[] = {"rediss://h", "valkeys://h", "rediss+sentinel://h/s",
                                       "REDISS+cluster://h"};
    static const char *const without[] = {"redis://h", "valkey://h", "redis+cluster://h",
                                          "unix:/a"};
    struct coat_url url;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(coat_url_parse(&url, with[i], NULL), 0);
        assert_int_equal(url.tls, 1);
        coat_url_release(&url);
        assert_int_equal(coat_url_parse(&url, without[i], NULL), 0);
        assert_int_equal(url.tls, 0);
        coat_url_release(&url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_understood),
        cmocka_unit_test(sentinels_and_nodes_are_listed),
        cmocka_unit_test(an_s_asks_for_tls),
        cmocka_unit_test(more_hosts_than_there_is_room_for_are_refused),
        cmocka_unit_test(parameters_are_decoded_and_kept_in_order),
        cmocka_unit_test(wrong_ones_are_refused_with_advice_and_without_their_secrets),
        cmocka_unit_test(parameters_beyond_the_room_for_them_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
