/* An entry of a cache as it lies in Redis, and bytes that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/wire.h"
#include "entry.h"

/* Written and read again, the value has the same bytes; the entry is these. */
static void round_trip(const char *value, size_t len, const char *entry, size_t entry_len)
{
    struct coat_buf buf = COAT_BUF_INIT;
    unsigned char room[COAT_WIRE_SCALAR_MAX];
    const void *again;
    size_t again_len;
    assert_int_equal(coat_entry_put(&buf, value, len), 0);
    assert_int_equal(buf.len, entry_len);
    assert_memory_equal(buf.bytes, entry, entry_len);
    assert_int_equal(coat_entry_value(buf.bytes, buf.len, room, &again, &again_len), 0);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, value, len);
    coat_buf_release(&buf);
}
#define ROUND_TRIP(value, entry) round_trip(value, sizeof(value) - 1, entry, sizeof(entry) - 1)

static void an_int_of_64_bits_is_digits(void **state)
{
    (void)state;
    ROUND_TRIP("\x00", "0");
    ROUND_TRIP("\xff", "-1");
    ROUND_TRIP("\xcd\x01\x00", "256");
    ROUND_TRIP("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", "9223372036854775807");
    ROUND_TRIP("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808");
}

static void all_else_stands_behind_a_head(void **state)
{
    (void)state;
    ROUND_TRIP("\xc0", "\xc1\x00\xc0");
    ROUND_TRIP("\xc3", "\xc1\x00\xc3"); /* True is no 1 */
    ROUND_TRIP("\xa1"
               "1",
               "\xc1\x00\xa1"
               "1");
    ROUND_TRIP("\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
               "\xc1\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00"); /* beyond 64 bits with a sign */
    ROUND_TRIP("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
               "\xc1\x00\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
}

static int read_entry(const char *entry, size_t len)
{
    unsigned char room[COAT_WIRE_SCALAR_MAX];
    const void *value;
    size_t value_len;
    return coat_entry_value(entry, len, room, &value, &value_len);
}
#define READ(entry) read_entry(entry, sizeof(entry) - 1)

static void other_bytes_are_no_entry(void **state)
{
    (void)state;
    assert_int_equal(READ(""), COAT_ECORRUPT);
    assert_int_equal(READ("\xc1"), COAT_ECORRUPT);
    assert_int_equal(READ("\xc1\x00"), COAT_ECORRUPT);     /* and no value */
    assert_int_equal(READ("\xc1\x01\xc0"), COAT_ECORRUPT); /* another format */
    assert_int_equal(READ("\x80\x04pickle"), COAT_ECORRUPT);
    assert_int_equal(READ("hello"), COAT_ECORRUPT);
}

static void only_digits_as_redis_writes_them_are_a_number(void **state)
{
    (void)state;
    static const char *const BAD[] = {"-",
                                      "-0",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1 ",
                                      " 1",
                                      "1.0",
                                      "1e3",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "100000000000000000000"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (read_entry(BAD[i], strlen(BAD[i])) != COAT_ECORRUPT)
            fail_msg("%s counts as a number", BAD[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_int_of_64_bits_is_digits),
        cmocka_unit_test(all_else_stands_behind_a_head),
        cmocka_unit_test(other_bytes_are_no_entry),
        cmocka_unit_test(only_digits_as_redis_writes_them_are_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
