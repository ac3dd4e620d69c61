/* The check, on the files of tests/data and on rows of limits. */
#include "bytes.h"

static int check(const char *hex, const struct coat_limits *limits, unsigned flags,
                 struct coat_error *err)
{
    size_t len;
    unsigned char *bytes = unhex(hex, &len);
    int rc = coat_check(bytes, len, limits, flags, NULL, err);

    free(bytes);
    return rc;
}

static void every_good_value_passes(void **state)
{
    static const char *const files[] = {"good.txt", "long.txt"};
    char line[1024], *value;
    struct coat_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        FILE *f = open_data(files[i]);

        while (next_row(f, line, sizeof line, &value))
            if (check(line, NULL, COAT_CHECK_EQUAL_KEYS, &err) != 0)
                fail_msg("%s (%s): %s", line, value, err.text);
        fclose(f);
    }
}

static void every_beginning_of_a_good_value_is_cut_off(void **state)
{
    FILE *f = open_data("good.txt");
    char line[1024], *value;
    size_t len;

    (void)state;
    while (next_row(f, line, sizeof line, &value)) {
        unsigned char *bytes = unhex(line, &len);

        for (size_t cut = 0; cut < len; cut++) {
            unsigned char *head = malloc(cut + 1);

            memcpy(head, bytes, cut);
            assert_int_equal(coat_check(head, cut, NULL, 0, NULL, NULL), COAT_ECORRUPT);
            free(head);
        }
        free(bytes);
    }
    fclose(f);
}

static void every_bad_value_is_refused_at_its_fault(void **state)
{
    FILE *f = open_data("bad.txt");
    char line[1024], *code, *offset;
    struct coat_error err;

    (void)state;
    while (next_row(f, line, sizeof line, &code)) {
        offset = next_cell(code);
        if (check(line, NULL, 0, &err) == 0)
            fail_msg("%s passes", line);
        if (strcmp(coat_code_name(err.code), code) != 0 || err.offset != strtoul(offset, NULL, 10))
            fail_msg("%s: not %s at %s, but %s at %zu: %s", line, code, offset,
                     coat_code_name(err.code), err.offset, err.text);
        if (err.code == COAT_ECORRUPT)
            assert_non_null(strstr(err.text, " at byte "));
        assert_int_equal(check(line, NULL, 0, NULL), err.code);
    }
    fclose(f);
}

static void equal_keys_are_refused_where_asked_for(void **state)
{
    FILE *f = open_data("equal_keys.txt");
    char line[1024], *offset;
    struct coat_error err;

    (void)state;
    while (next_row(f, line, sizeof line, &offset)) {
        int equal = strcmp(offset, "-") != 0;

        if (check(line, NULL, 0, &err) != 0)
            fail_msg("%s: %s", line, err.text);
        if (check(line, NULL, COAT_CHECK_EQUAL_KEYS, &err) != (equal ? COAT_ECORRUPT : 0))
            fail_msg("%s: wrongly found to have keys that are %s", line,
                     equal ? "unlike" : "equal");
        if (equal && err.offset != strtoul(offset, NULL, 10))
            fail_msg("%s: at %zu instead of %s", line, err.offset, offset);
    }
    fclose(f);
}

/* Whatever passes after one byte was changed is again the one encoding of its value. */
static void no_changed_byte_leads_to_a_second_encoding(void **state)
{
    FILE *f = open_data("good.txt");
    char line[1024], *value;
    size_t len;

    (void)state;
    while (next_row(f, line, sizeof line, &value)) {
        unsigned char *bytes = unhex(line, &len);

        for (size_t i = 0; i < len; i++)
            for (unsigned delta = 1; delta < 256; delta++) {
                bytes[i] = (unsigned char)(bytes[i] + delta);
                if (coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, NULL) == 0)
                    assert_repacks(bytes, len);
                bytes[i] = (unsigned char)(bytes[i] - delta);
            }
        free(bytes);
    }
    fclose(f);
}

/* Whether any ext of this type passes: in each form, with each of these bytes as its content. */
static int an_ext_passes(unsigned type)
{
    static const char *const heads[] = {"d4", "d5",   "d6",     "d7",
                                        "d8", "c701", "c80001", "c900000001"};
    static const unsigned char contents[] = {0x01, 0x90, 0xc0};
    int passes = 0;

    for (size_t i = 0; i < COUNT(heads); i++)
        for (size_t j = 0; j < COUNT(contents); j++) {
            unsigned char bytes[32];
            size_t len = unhex_into(bytes, heads[i]), content = len == 1 ? (size_t)1 << i : 1;

            bytes[len] = (unsigned char)type;
            memset(bytes + len + 1, contents[j], content);
            passes |= coat_check(bytes, len + 1 + content, NULL, 0, NULL, NULL) == 0;
        }
    return passes;
}

static void req_52_an_ext_is_a_tuple_or_a_big_int_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++)
        assert_int_equal(an_ext_passes(type), type == 1 || type == 2);
}

static void items_are_counted_at_all_levels(void **state)
{
    static const struct {
        const char *hex;
        size_t items;
    } rows[] = {{"c0", 1},       {"90", 1},   {"92c0c0", 3},         {"81a161c0", 3},
                {"d5019190", 2}, {"a161", 1}, {"81a16181a162c0", 5}, {"81d5019101c0", 4}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len, items = 99;
        unsigned char *bytes = unhex(rows[i].hex, &len);

        assert_int_equal(coat_check(bytes, len, NULL, 0, &items, NULL), 0);
        assert_int_equal(items, rows[i].items);
        free(bytes);
    }
}

static size_t *limit_of(struct coat_limits *limits, const char *name)
{
    if (strcmp(name, "max_bytes") == 0)
        return &limits->max_bytes;
    if (strcmp(name, "max_depth") == 0)
        return &limits->max_depth;
    assert_string_equal(name, "max_items");
    return &limits->max_items;
}

static void req_57_every_limit_holds_to_the_last_one(void **state)
{
    FILE *f = open_data("limits.txt");
    char line[1024], *name, *least, *offset;
    struct coat_error err;

    (void)state;
    while (next_row(f, line, sizeof line, &name)) {
        struct coat_limits limits = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
        size_t *limit;

        least = next_cell(name);
        offset = next_cell(least);
        limit = limit_of(&limits, name);
        *limit = strtoul(least, NULL, 10);
        assert_int_equal(check(line, &limits, 0, &err), 0);
        --*limit;
        assert_int_equal(check(line, &limits, 0, &err), COAT_ELIMIT);
        assert_string_equal(err.reason, name);
        assert_int_equal(err.offset, strtoul(offset, NULL, 10));
        assert_non_null(strstr(err.text, name));
    }
    fclose(f);
}

/* `pairs` times an int and nil. */
static unsigned char *int_keys(unsigned pairs, size_t *len)
{
    unsigned char *bytes = malloc(3 + (size_t)pairs * 4), *to = bytes;

    to = coat_wire_put_dict_head(to, pairs);
    for (unsigned i = 0; i < pairs; i++)
        to = coat_wire_put_nil(coat_wire_put_uint(to, i));
    *len = (size_t)(to - bytes);
    return bytes;
}

static void more_odd_keys_than_4096_are_refused(void **state)
{
    struct coat_error err;
    size_t len;
    unsigned char *bytes = int_keys(4096, &len);

    (void)state;
    assert_int_equal(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, &err), 0);
    free(bytes);
    bytes = int_keys(4097, &len);
    assert_int_equal(coat_check(bytes, len, NULL, 0, NULL, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, "max_odd_keys");
    assert_int_equal(err.offset, len - 4);
    free(bytes);
}

static void members_of_a_key_count_as_odd_keys(void **state)
{
    /* A dict whose key is a tuple of nils. */
    unsigned char bytes[8 + 4096 + 1] = {0x81, 0xc8, 0, 0, 0x01, 0xdc};
    struct coat_error err;

    (void)state;
    memset(bytes + 8, 0xc0, 4096 + 1);
    for (unsigned members = 4095; members <= 4096; members++) {
        bytes[2] = (unsigned char)((members + 3) >> 8);
        bytes[3] = (unsigned char)(members + 3);
        bytes[6] = (unsigned char)(members >> 8);
        bytes[7] = (unsigned char)members;
        assert_int_equal(coat_check(bytes, 8 + members + 1, NULL, 0, NULL, &err),
                         members == 4095 ? 0 : COAT_ELIMIT);
    }
    assert_string_equal(err.reason, "max_odd_keys");
    assert_int_equal(err.offset, 8 + 4095);
}

static void req_53_a_million_lists_within_each_other_are_an_error(void **state)
{
    const struct coat_limits none = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    const size_t len = 1000000;
    unsigned char *bytes = malloc(len);
    struct coat_error err;

    (void)state;
    memset(bytes, 0x91, len);
    assert_int_equal(coat_check(bytes, len, NULL, 0, NULL, &err), COAT_ELIMIT);
    assert_int_equal(err.offset, 64);
    assert_int_equal(coat_check(bytes, len, &none, 0, NULL, &err), COAT_ELIMIT);
    assert_int_equal(err.offset, COAT_DEPTH_MAX);
    bytes[COAT_DEPTH_MAX - 1] = 0x90;
    assert_int_equal(coat_check(bytes, COAT_DEPTH_MAX, &none, 0, NULL, &err), 0);
    free(bytes);
}

static void keys_at_every_level_are_compared_at_once(void **state)
{
    /* {"0": {"0": {..., "1": None}, "1": None}, "1": None}: as many keys open as levels */
    unsigned char bytes[6 * 60];
    struct coat_error err;
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        memcpy(bytes + len, "\x82\xa1\x30", 3);
        len += 3;
    }
    len -= 2;
    bytes[len - 1] = 0x80; /* the innermost is empty */
    for (int i = 0; i < 59; i++) {
        memcpy(bytes + len, "\xa1\x31\xc0", 3);
        len += 3;
    }
    assert_int_equal(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, &err), 0);
    bytes[len - 2] = 0x30;
    assert_int_equal(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, &err),
                     COAT_ECORRUPT);
    assert_int_equal(err.offset, len - 3);
}

static void nothing_is_no_value(void **state)
{
    (void)state;
    assert_int_equal(coat_check(NULL, 0, NULL, 0, NULL, NULL), COAT_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_good_value_passes),
        cmocka_unit_test(every_beginning_of_a_good_value_is_cut_off),
        cmocka_unit_test(every_bad_value_is_refused_at_its_fault),
        cmocka_unit_test(equal_keys_are_refused_where_asked_for),
        cmocka_unit_test(no_changed_byte_leads_to_a_second_encoding),
        cmocka_unit_test(req_52_an_ext_is_a_tuple_or_a_big_int_and_nothing_else),
        cmocka_unit_test(items_are_counted_at_all_levels),
        cmocka_unit_test(req_57_every_limit_holds_to_the_last_one),
        cmocka_unit_test(more_odd_keys_than_4096_are_refused),
        cmocka_unit_test(members_of_a_key_count_as_odd_keys),
        cmocka_unit_test(req_53_a_million_lists_within_each_other_are_an_error),
        cmocka_unit_test(keys_at_every_level_are_compared_at_once),
        cmocka_unit_test(nothing_is_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
