/* UTF-8, against a decoder that is written from the definition. */
#include "bytes.h"
#include "api/utf8.h"

/* The length of the first character, or 0: decode, and ask whether encoding gives that back. */
static size_t plain_sequence(const unsigned char *s, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t width = s[0] < 0x80       ? 1
                   : s[0] >> 5 == 6  ? 2
                   : s[0] >> 4 == 14 ? 3
                   : s[0] >> 3 == 30 ? 4
                                     : 0;
    uint32_t c = width == 1 ? s[0] : s[0] & (0x7fu >> width);

    if (width == 0 || width > len)
        return 0;
    for (size_t i = 1; i < width; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[width] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff ? 0 : width;
}

static size_t plain_valid(const unsigned char *s, size_t len)
{
    size_t at = 0, step;

    while (at < len && (step = plain_sequence(s + at, len - at)) > 0)
        at += step;
    return at;
}

static void every_sequence_of_three_bytes_is_judged_rightly(void **state)
{
    unsigned char s[3];

    (void)state;
    for (unsigned i = 0; i < 1u << 24; i++) {
        if ((i & 0x800000) == 0 && (i & 0xffff) != 0) /* few of those that begin with ASCII */
            i |= 0xffff;
        s[0] = (unsigned char)(i >> 16);
        s[1] = (unsigned char)(i >> 8);
        s[2] = (unsigned char)i;
        if (coat_utf8_valid(s, 3) != plain_valid(s, 3))
            fail_msg("%02x%02x%02x", s[0], s[1], s[2]);
    }
}

static void every_beginning_of_four_bytes_is_judged_rightly(void **state)
{
    static const unsigned char last[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    unsigned char s[5] = {0};

    (void)state;
    for (unsigned i = 0xe00000; i < 1u << 24; i++) {
        s[0] = (unsigned char)(i >> 16);
        s[1] = (unsigned char)(i >> 8);
        s[2] = (unsigned char)i;
        if (s[0] < 0xf0 && s[2] % 16 != 0)
            continue;
        for (size_t k = 0; k < COUNT(last); k++) {
            s[3] = last[k];
            assert_int_equal(coat_utf8_valid(s, 4), plain_valid(s, 4));
        }
    }
}

static void a_high_byte_is_seen_at_every_place_and_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        unsigned char *s = malloc(len + 1);

        memset(s, 'x', len);
        assert_true(coat_is_ascii(s, len));
        assert_int_equal(coat_utf8_valid(s, len), len);
        for (size_t i = 0; i < len; i++) {
            s[i] = 0x80;
            assert_false(coat_is_ascii(s, len));
            assert_int_equal(coat_utf8_valid(s, len), i);
            s[i] = 'x';
        }
        free(s);
    }
}

static void long_text_is_followed_to_its_fault(void **state)
{
    unsigned char s[200];

    (void)state;
    for (size_t at = 0; at + 4 < sizeof s; at++) {
        memset(s, 'x', sizeof s);
        memcpy(s, "\xc3\xbc", 2);
        memcpy(s + at, "\xf0\x9f\x98\x80", 4);
        assert_int_equal(coat_utf8_valid(s, sizeof s), plain_valid(s, sizeof s));
        s[at + 3] = 'x';
        assert_int_equal(coat_utf8_valid(s, sizeof s), plain_valid(s, sizeof s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_three_bytes_is_judged_rightly),
        cmocka_unit_test(every_beginning_of_four_bytes_is_judged_rightly),
        cmocka_unit_test(a_high_byte_is_seen_at_every_place_and_length),
        cmocka_unit_test(long_text_is_followed_to_its_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
