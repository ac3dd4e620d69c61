#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node_map.h"

static const char *mapped(const char *map, const char *host, int port)
{
    static char text[300];
    struct coat_place place;
    assert_true(coat_place_set(&place, host, strlen(host), port));
    coat_node_map_apply(map, &place);
    snprintf(text, sizeof text, "%s %d", place.host, place.port);
    return text;
}

static void announced_addresses_become_those_of_the_map(void **state)
{
    (void)state;
    const char *map = "10.0.0.1:6379=cache.example:7001,B.example:1=b:2,[fd00::1]:6379=[::1]:7003";
    assert_true(coat_node_map_valid(map));
    assert_string_equal(mapped(map, "10.0.0.1", 6379), "cache.example 7001");
    assert_string_equal(mapped(map, "b.EXAMPLE", 1), "b 2");
    assert_string_equal(mapped(map, "fd00::1", 6379), "::1 7003");
}

static void others_stay(void **state)
{
    (void)state;
    const char *map = "10.0.0.1:6379=cache.example:7001";
    assert_string_equal(mapped(map, "10.0.0.1", 6380), "10.0.0.1 6380");
    assert_string_equal(mapped(map, "10.0.0.2", 6379), "10.0.0.2 6379");
    assert_string_equal(mapped(NULL, "h", 1), "h 1");
}

static void a_mapping_is_not_mapped_again(void **state)
{
    (void)state;
    assert_string_equal(mapped("a:1=b:2,b:2=c:3", "a", 1), "b 2");
}

static void what_is_no_map_is_refused(void **state)
{
    (void)state;
    static const char *const bads[] = {
        "",
        "a",
        "a=b",
        "a:1",
        "a:1=",
        "a:1=b",
        "=b:2",
        "a:1=b:2,",
        ",a:1=b:2",
        "a:1=b:2,,",
        "a:1=b:2=c:3",
        "a:0=b:2",
        "a:1=b:65536",
        "a:x=b:2",
        "a:1=b:123456",
        "a:1 =b:2",
        "::1:1=b:2",
        ":1=b:2",
        "a:1=:2",
        "[]:1=b:2",
        "a:=b:2",
        "a:1=b:2;c:3=d:4",
    };
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++)
        if (coat_node_map_valid(bads[i]))
            fail_msg("%s", bads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announced_addresses_become_those_of_the_map),
        cmocka_unit_test(others_stay),
        cmocka_unit_test(a_mapping_is_not_mapped_again),
        cmocka_unit_test(what_is_no_map_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
