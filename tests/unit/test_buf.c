/* The buffer that grows. */
#include "bytes.h"

static void appended_bytes_are_all_there(void **state)
{
    struct coat_buf b = COAT_BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        unsigned char c = (unsigned char)(i * 7);

        assert_int_equal(coat_buf_append(&b, &c, 1), 0);
    }
    assert_int_equal(b.len, 3000);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(b.bytes[i], (unsigned char)(i * 7));
    coat_buf_release(&b);
}

static void nothing_can_be_appended(void **state)
{
    struct coat_buf b = COAT_BUF_INIT;

    (void)state;
    assert_int_equal(coat_buf_append(&b, NULL, 0), 0);
    assert_int_equal(coat_buf_reserve(&b, 0), 0);
    assert_null(b.bytes);
    coat_buf_release(&b);
}

static void reserved_room_is_written_unchecked(void **state)
{
    struct coat_buf b = COAT_BUF_INIT;

    (void)state;
    assert_int_equal(coat_buf_append(&b, "ab", 2), 0);
    assert_int_equal(coat_buf_reserve(&b, 1000), 0);
    assert_in_range(b.cap - b.len, 1000, SIZE_MAX);
    memset(coat_buf_end(&b), 'c', 1000);
    coat_buf_took(&b, coat_buf_end(&b) + 1000);
    assert_int_equal(b.len, 1002);
    coat_buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_non_null(b.bytes);
    coat_buf_release(&b);
}

static void req_55_a_size_that_overflows_is_refused(void **state)
{
    struct coat_buf b = COAT_BUF_INIT;

    (void)state;
    assert_int_equal(coat_buf_append(&b, "ab", 2), 0);
    assert_int_equal(coat_buf_reserve(&b, SIZE_MAX), COAT_ENOMEM);
    assert_int_equal(coat_buf_reserve(&b, SIZE_MAX - 1), COAT_ENOMEM);
    assert_int_equal(b.len, 2);
    assert_memory_equal(b.bytes, "ab", 2);
    coat_buf_release(&b);
}

static void a_released_buffer_is_fit_for_use(void **state)
{
    struct coat_buf b = COAT_BUF_INIT;

    (void)state;
    assert_int_equal(coat_buf_append(&b, "abc", 3), 0);
    coat_buf_release(&b);
    coat_buf_release(&b);
    assert_int_equal(coat_buf_append(&b, "d", 1), 0);
    assert_int_equal(b.len, 1);
    coat_buf_release(&b);
}

static void sums_and_products_tell_when_they_do_not_fit(void **state)
{
    size_t n;

    (void)state;
    assert_true(coat_size_add(SIZE_MAX - 1, 1, &n));
    assert_true(n == SIZE_MAX);
    assert_false(coat_size_add(SIZE_MAX, 1, &n));
    assert_true(coat_size_mul(SIZE_MAX / 2, 2, &n));
    assert_false(coat_size_mul(SIZE_MAX / 2 + 1, 2, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_are_all_there),
        cmocka_unit_test(nothing_can_be_appended),
        cmocka_unit_test(reserved_room_is_written_unchecked),
        cmocka_unit_test(req_55_a_size_that_overflows_is_refused),
        cmocka_unit_test(a_released_buffer_is_fit_for_use),
        cmocka_unit_test(sums_and_products_tell_when_they_do_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
