/* Failing fast, by a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "health.h"

static const struct coat_error refused = {.code = COAT_EUNAVAILABLE, .reason = "refused"};

static void a_node_without_a_failure_may_be_tried_by_all(void **state)
{
    (void)state;
    struct coat_health h = {0};
    assert_int_equal(coat_health_ask(&h, 0, NULL), 0);
    assert_int_equal(coat_health_ask(&h, 0, NULL), 0);
}

static void a_failure_is_repeated_until_the_pause_is_over(void **state)
{
    (void)state;
    struct coat_health h = {0};
    struct coat_error err;
    assert_int_equal(coat_health_bad(&h, 1000, UINT32_MAX, &refused), 1);
    assert_in_range(h.down_until_ms, 1000, 1000 + COAT_DOWN_MIN_MS);
    assert_int_equal(coat_health_ask(&h, h.down_until_ms - 1, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "refused");
    assert_int_equal(coat_health_ask(&h, h.down_until_ms, &err), 0);
}

static void one_probes_and_all_others_fail(void **state)
{
    (void)state;
    struct coat_health h = {0};
    struct coat_error err;
    coat_health_bad(&h, 0, 0, &refused);
    assert_int_equal(coat_health_ask(&h, 5000, &err), 0);
    assert_int_equal(coat_health_ask(&h, 5000, &err), COAT_EUNAVAILABLE);
    coat_health_unknown(&h);
    assert_int_equal(coat_health_ask(&h, 5000, &err), 0);
}

static void no_pause_is_longer_than_two_seconds(void **state)
{
    (void)state;
    struct coat_health h = {0};
    uint32_t random = 1;
    for (int i = 0; i < 10000; i++) {
        coat_health_bad(&h, 0, random = random * 1664525u + 1013904223u, &refused);
        assert_in_range(h.down_until_ms, 0, COAT_DOWN_MAX_MS);
    }
}

static void that_it_is_down_and_up_again_is_news_once(void **state)
{
    (void)state;
    struct coat_health h = {0};
    assert_int_equal(coat_health_bad(&h, 0, 0, &refused), 1);
    assert_int_equal(coat_health_bad(&h, 0, 0, &refused), 0);
    assert_int_equal(coat_health_good(&h), 1);
    assert_int_equal(coat_health_good(&h), 0);
    assert_int_equal(coat_health_ask(&h, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_without_a_failure_may_be_tried_by_all),
        cmocka_unit_test(a_failure_is_repeated_until_the_pause_is_over),
        cmocka_unit_test(one_probes_and_all_others_fail),
        cmocka_unit_test(no_pause_is_longer_than_two_seconds),
        cmocka_unit_test(that_it_is_down_and_up_again_is_news_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
