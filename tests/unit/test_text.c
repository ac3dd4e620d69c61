#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

static void equal_means_the_same_letters(void **state)
{
    char a[] = "shop", b[] = "shop";
    (void)state;
    assert_true(coat_text_equal(a, b));
    assert_false(coat_text_equal(a, "shops"));
}

static void one_that_is_missing_equals_only_another_that_is(void **state)
{
    (void)state;
    assert_true(coat_text_equal(NULL, NULL));
    assert_false(coat_text_equal(NULL, ""));
    assert_false(coat_text_equal("", NULL));
}

static void a_copy_is_its_own(void **state)
{
    char from[] = "shop", *to = NULL;
    (void)state;
    assert_true(coat_text_copy(&to, from));
    from[0] = 'c';
    assert_string_equal(to, "shop");
    free(to);
}

static void a_copy_of_none_is_none(void **state)
{
    char *to = "what it was";
    (void)state;
    assert_true(coat_text_copy(&to, NULL));
    assert_null(to);
}

static void what_was_wiped_is_gone(void **state)
{
    char *secret = strdup("secret"), *none = NULL;
    (void)state;
    coat_text_wipe(&secret);
    coat_text_wipe(&none);
    assert_null(secret);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_means_the_same_letters),
        cmocka_unit_test(one_that_is_missing_equals_only_another_that_is),
        cmocka_unit_test(a_copy_is_its_own),
        cmocka_unit_test(a_copy_of_none_is_none),
        cmocka_unit_test(what_was_wiped_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
