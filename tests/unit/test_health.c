/* Failing fast, by a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "health.h"

static const struct coat_error refused = {.code = COAT_EUNAVAILABLE, .reason = "refused"};

static coat_trial trial;

static int ask(struct coat_health *h, int64_t now_ms)
{
    return coat_health_ask(h, now_ms, &trial, NULL);
}

/* The connect that was asked for last fails. */
static int fail_at(struct coat_health *h, int64_t now_ms, uint32_t random)
{
    return coat_health_bad(h, trial, now_ms, random, &refused);
}

/* Down at 0, and by 5000 ms it may be probed. */
static struct coat_health down(void)
{
    struct coat_health h = {0};
    assert_int_equal(ask(&h, 0), 0);
    assert_int_equal(fail_at(&h, 0, 0), 1);
    return h;
}

static void a_node_without_a_failure_may_be_tried_by_all(void **state)
{
    (void)state;
    struct coat_health h = {0};
    assert_int_equal(ask(&h, 0), 0);
    assert_int_equal(ask(&h, 0), 0);
}

static void a_failure_is_repeated_until_the_pause_is_over(void **state)
{
    (void)state;
    struct coat_health h = down();
    struct coat_error err;
    assert_int_equal(coat_health_ask(&h, h.down_until_ms - 1, &trial, &err), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "refused");
    assert_int_equal(ask(&h, h.down_until_ms), 0);
}

static void one_probes_and_all_others_fail(void **state)
{
    (void)state;
    struct coat_health h = down();
    assert_int_equal(ask(&h, 5000), 0);
    assert_int_equal(ask(&h, 5000), COAT_EUNAVAILABLE);
    coat_health_unknown(&h, trial);
    assert_int_equal(ask(&h, 5000), 0);
}

/* Two connect at once; the second one ends when the first one's failure is being probed. */
static struct coat_health probed(coat_trial *late)
{
    struct coat_health h = {0};
    assert_int_equal(ask(&h, 0), 0);
    *late = trial;
    assert_int_equal(ask(&h, 0), 0);
    assert_int_equal(fail_at(&h, 0, 0), 1);
    assert_int_equal(ask(&h, 5000), 0);
    return h;
}

static void a_probe_of_which_nothing_is_heard_is_followed_by_another(void **state)
{
    (void)state;
    coat_trial late;
    struct coat_health h = probed(&late);
    assert_int_equal(ask(&h, 5000 + COAT_PROBE_MS - 1), COAT_EUNAVAILABLE);
    assert_int_equal(ask(&h, 5000 + COAT_PROBE_MS), 0);
    assert_int_equal(ask(&h, 5000 + COAT_PROBE_MS), COAT_EUNAVAILABLE);
}

static void one_that_began_before_the_failure_and_gave_up_does_not_end_the_probe(void **state)
{
    (void)state;
    coat_trial late;
    struct coat_health h = probed(&late);
    coat_health_unknown(&h, late);
    assert_int_equal(ask(&h, 5000), COAT_EUNAVAILABLE);
}

static void one_that_began_before_the_failure_and_failed_too_is_no_second_failure(void **state)
{
    (void)state;
    coat_trial late;
    struct coat_health h = probed(&late);
    assert_int_equal(coat_health_bad(&h, late, 5000, 0, &refused), 0);
    assert_int_equal(h.failures, 1);
    assert_int_equal(ask(&h, 5000 + COAT_PROBE_MS - 1), COAT_EUNAVAILABLE);
}

static void one_that_began_before_the_failure_and_connected_ends_it(void **state)
{
    (void)state;
    coat_trial late;
    struct coat_health h = probed(&late);
    assert_int_equal(coat_health_good(&h), 1);
    assert_int_equal(ask(&h, 5000), 0);
}

static void pauses_are_drawn_from_the_floor_to_a_bound_that_doubles(void **state)
{
    (void)state;
    static const int64_t longest[] = {100, 200, 400, 800, 1600, 2000, 2000};
    struct coat_health h = {0};
    int64_t now = 0;
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++) {
        int64_t span = longest[i] - COAT_DOWN_FLOOR_MS;
        struct coat_health other = h;
        assert_int_equal(ask(&h, now), 0);
        fail_at(&h, now, 0);
        assert_int_equal(h.down_until_ms - now, COAT_DOWN_FLOOR_MS);
        assert_int_equal(ask(&other, now), 0);
        fail_at(&other, now, (uint32_t)span);
        assert_int_equal(other.down_until_ms - now, longest[i]);
        now += 5000;
    }
}

static void that_it_is_down_and_up_again_is_news_once(void **state)
{
    (void)state;
    struct coat_health h = down();
    assert_int_equal(ask(&h, 5000), 0);
    assert_int_equal(fail_at(&h, 5000, 0), 0);
    assert_int_equal(coat_health_good(&h), 1);
    assert_int_equal(coat_health_good(&h), 0);
    assert_int_equal(ask(&h, 5000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_without_a_failure_may_be_tried_by_all),
        cmocka_unit_test(a_failure_is_repeated_until_the_pause_is_over),
        cmocka_unit_test(one_probes_and_all_others_fail),
        cmocka_unit_test(a_probe_of_which_nothing_is_heard_is_followed_by_another),
        cmocka_unit_test(one_that_began_before_the_failure_and_gave_up_does_not_end_the_probe),
        cmocka_unit_test(one_that_began_before_the_failure_and_failed_too_is_no_second_failure),
        cmocka_unit_test(one_that_began_before_the_failure_and_connected_ends_it),
        cmocka_unit_test(pauses_are_drawn_from_the_floor_to_a_bound_that_doubles),
        cmocka_unit_test(that_it_is_down_and_up_again_is_news_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
