/* Whether a call looks for its reply at first (backend/brief.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "brief.h"

/* Of `count` exchanges, of which every nth misses (1: all, 0: none), how many were tried. */
static int tried(struct coat_brief *brief, int count, int nth)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        if (coat_brief_choose(brief)) {
            n++;
            coat_brief_learn(brief, nth == 0 || n % nth != 0);
        }
    return n;
}

static void fast_replies_are_looked_for(void **state)
{
    (void)state;
    struct coat_brief brief = {0};
    assert_int_equal(tried(&brief, 1000, 0), 1000);
}

static void a_slow_one_now_and_then_changes_nothing(void **state)
{
    (void)state;
    struct coat_brief brief = {0};
    assert_int_equal(tried(&brief, 1000, 5), 1000);
}

static void slow_ones_are_not_looked_for_but_for_a_try_now_and_then(void **state)
{
    (void)state;
    struct coat_brief brief = {0};
    assert_in_range(tried(&brief, 10000, 1), 5, 30);
    assert_in_range(tried(&brief, 102400, 1), 90, 110);
}

static void fast_ones_are_looked_for_again_after_slow_ones(void **state)
{
    (void)state;
    struct coat_brief brief = {0};
    tried(&brief, 10000, 1);
    tried(&brief, 2000, 0);
    assert_int_equal(tried(&brief, 1000, 0), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_replies_are_looked_for),
        cmocka_unit_test(a_slow_one_now_and_then_changes_nothing),
        cmocka_unit_test(slow_ones_are_not_looked_for_but_for_a_try_now_and_then),
        cmocka_unit_test(fast_ones_are_looked_for_again_after_slow_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
