/* Whether a connection looks for its reply or sleeps until it comes (backend/spin.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spin.h"

enum { BOUND_US = 50 };

static void one_that_knows_nothing_looks(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    assert_int_equal(coat_spin_budget_us(&spin, BOUND_US), BOUND_US);
}

static void fast_round_trips_are_looked_for(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(coat_spin_budget_us(&spin, BOUND_US), BOUND_US);
        coat_spin_learn(&spin, 20 + i % 10);
    }
}

static void a_rare_slow_one_changes_nothing(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    for (int i = 0; i < 1000; i++) {
        coat_spin_learn(&spin, i % 10 == 9 ? 200 : 20);
        assert_int_equal(coat_spin_budget_us(&spin, BOUND_US), BOUND_US);
    }
}

static void slow_round_trips_are_slept_through_but_for_a_try_now_and_then(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    int looked = 0;
    for (int i = 0; i < 20; i++)
        coat_spin_learn(&spin, 400);
    for (int i = 0; i < 640; i++) {
        looked += coat_spin_budget_us(&spin, BOUND_US) > 0;
        coat_spin_learn(&spin, 400);
    }
    assert_int_equal(looked, 10);
}

static void a_few_slow_ones_in_a_row_are_learnt_from(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    int n = 0;
    coat_spin_learn(&spin, 20);
    while (coat_spin_budget_us(&spin, BOUND_US) > 0 && n < 100) {
        coat_spin_learn(&spin, 1000);
        n++;
    }
    assert_in_range(n, 1, 8);
}

static void one_fast_round_trip_is_enough_to_look_again(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    for (int i = 0; i < 20; i++)
        coat_spin_learn(&spin, 400);
    coat_spin_learn(&spin, 30);
    assert_int_equal(coat_spin_budget_us(&spin, BOUND_US), BOUND_US);
}

static void a_bound_of_zero_never_looks(void **state)
{
    (void)state;
    struct coat_spin spin = {0};
    for (int i = 0; i < 200; i++) {
        assert_int_equal(coat_spin_budget_us(&spin, 0), 0);
        coat_spin_learn(&spin, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_knows_nothing_looks),
        cmocka_unit_test(fast_round_trips_are_looked_for),
        cmocka_unit_test(a_rare_slow_one_changes_nothing),
        cmocka_unit_test(slow_round_trips_are_slept_through_but_for_a_try_now_and_then),
        cmocka_unit_test(a_few_slow_ones_in_a_row_are_learnt_from),
        cmocka_unit_test(one_fast_round_trip_is_enough_to_look_again),
        cmocka_unit_test(a_bound_of_zero_never_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
