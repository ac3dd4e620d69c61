#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "slot.h"

static unsigned slot(const char *key)
{
    return coat_slot(key, strlen(key));
}

/* The check value of CRC-16/XMODEM, which the specification of Redis Cluster names. */
static void the_crc_has_its_check_value(void **state)
{
    (void)state;
    assert_int_equal(coat_crc16("123456789", 9), 0x31c3);
    assert_int_equal(coat_crc16("", 0), 0);
}

/* As CLUSTER KEYSLOT of Redis 7.0 answers. */
static void slots_are_those_of_a_server(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        unsigned slot;
    } vectors[] = {{"", 0},
                   {"foo", 12182},
                   {"bar", 5061},
                   {"123456789", 12739},
                   {"shop:s:{AAAAAAAAAAAAAAAAAAAAAA}", 4813},
                   {"{user1000}.following", 3443},
                   {"foo{}{bar}", 8363},
                   {"foo{{bar}}zap", 4015},
                   {"foo{bar}{zap}", 5061},
                   {"p:{", 15786},
                   {"\xc3\xa9", 10180},
                   {"somekey", 11058},
                   {"hello", 866}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        if (slot(vectors[i].key) != vectors[i].slot)
            fail_msg("%s: %u", vectors[i].key, slot(vectors[i].key));
}

static void a_hash_tag_alone_decides(void **state)
{
    (void)state;
    assert_int_equal(slot("shop:s:{abc}"), slot("shop:l:{abc}"));
    assert_int_equal(slot("shop:s:{abc}"), slot("abc"));
    assert_int_equal(slot("{a}{b}"), slot("a"));
    assert_int_equal(slot("x{a{b}}y"), slot("a{b"));
}

static void an_empty_or_open_tag_is_none(void **state)
{
    (void)state;
    static const char *const keys[] = {"{}a", "a{}{b}", "{a", "a}b", "}{"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(slot(keys[i]), coat_crc16(keys[i], strlen(keys[i])) % COAT_SLOTS);
}

static void bytes_beyond_ascii_and_zeros_count(void **state)
{
    (void)state;
    assert_int_not_equal(coat_slot("a\0b", 3), coat_slot("a", 1));
    assert_int_equal(coat_slot("x{\0\xff}", 5), coat_crc16("\0\xff", 2) % COAT_SLOTS);
    assert_int_equal(coat_slot(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_crc_has_its_check_value),
        cmocka_unit_test(slots_are_those_of_a_server),
        cmocka_unit_test(a_hash_tag_alone_decides),
        cmocka_unit_test(an_empty_or_open_tag_is_none),
        cmocka_unit_test(bytes_beyond_ascii_and_zeros_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
