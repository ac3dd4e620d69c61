/* Errors and the paths in them. */
#include "bytes.h"
#include "coat_version.h"
#include "api/error.h"
#include "api/utf8.h"

static void every_code_has_its_name(void **state)
{
    (void)state;
    assert_string_equal(coat_code_name(COAT_ENOMEM), "COAT_ENOMEM");
    assert_string_equal(coat_code_name(COAT_ELOCKLOST), "COAT_ELOCKLOST");
    for (int code = COAT_ELOCKLOST; code <= COAT_ENOMEM; code++)
        assert_int_equal(strncmp(coat_code_name(code), "COAT_E", 6), 0);
    assert_string_equal(coat_code_name(0), "unknown code");
    assert_string_equal(coat_code_name(COAT_ELOCKLOST - 1), "unknown code");
}

static void the_library_tells_its_version(void **state)
{
    (void)state;
    assert_string_equal(coat_version(), COAT_VERSION);
}

static void an_error_is_written_as_a_whole(void **state)
{
    struct coat_error err;

    (void)state;
    memset(&err, 'x', sizeof err);
    assert_int_equal(coat_error_set(&err, COAT_ECONFIG, "%s is %d", "it", 5), COAT_ECONFIG);
    assert_int_equal(err.code, COAT_ECONFIG);
    assert_string_equal(err.text, "it is 5");
    assert_string_equal(err.path, "");
    assert_string_equal(err.reason, "");
    assert_int_equal(err.offset, 0);
    assert_int_equal(coat_error_because(&err, COAT_EUNAVAILABLE, "OOM", "full"), COAT_EUNAVAILABLE);
    assert_string_equal(err.reason, "OOM");
    assert_int_equal(coat_error_nomem(&err), COAT_ENOMEM);
    assert_string_equal(err.reason, "");
}

static void control_characters_from_outside_stay_in_their_line(void **state)
{
    struct coat_error err;

    (void)state;
    coat_error_set(&err, COAT_ECONFIG, "file %s cannot be read", "/a\nb\x1b[2J\x7f\xc3\xa4");
    assert_string_equal(err.text, "file /a?b?[2J?\xc3\xa4 cannot be read");
}

static void no_error_is_wanted(void **state)
{
    (void)state;
    assert_int_equal(coat_error_set(NULL, COAT_EUSAGE, "%d", 1), COAT_EUSAGE);
    assert_int_equal(coat_error_because(NULL, COAT_EUSAGE, "r", "%d", 1), COAT_EUSAGE);
    assert_int_equal(coat_error_nomem(NULL), COAT_ENOMEM);
    coat_path_prepend_index(NULL, 1);
    coat_path_prepend_key(NULL, "\xc0");
    coat_path_prepend_text(NULL, "x", 1);
}

static void what_is_too_long_is_cut_at_a_character(void **state)
{
    char text[1024];
    struct coat_error err;

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        coat_error_because(&err, COAT_EUSAGE, text, "%s", text);
        assert_in_range(strlen(err.text), sizeof err.text - 4, sizeof err.text - 1);
        assert_int_equal(coat_utf8_valid(err.text, strlen(err.text)), strlen(err.text));
        assert_int_equal(coat_utf8_valid(err.reason, strlen(err.reason)), strlen(err.reason));
    }
}

/* ---- Paths --------------------------------------------------------------------------------- */

static void a_key_is_written_as_python_does(void **state)
{
    static const struct {
        const char *hex, *path;
    } rows[] = {
        {"c0", "[None]"},
        {"c3", "[True]"},
        {"c2", "[False]"},
        {"00", "[0]"},
        {"d38000000000000000", "[-9223372036854775808]"},
        {"cfffffffffffffffff", "[18446744073709551615]"},
        {"cb3ff0000000000000", "[1.0]"},
        {"cb8000000000000000", "[-0.0]"},
        {"cb3fb999999999999a", "[0.1]"},
        {"cb3fd5555555555555", "[0.3333333333333333]"},
        {"cb40f86a0000000000", "[100000.0]"},
        {"cb4341c37937e08000", "[1e+16]"},
        {"cb430c6bf526340000", "[1000000000000000.0]"},
        {"cb3f1a36e2eb1c432d", "[0.0001]"},
        {"cb3ee4f8b588e368f1", "[1e-05]"},
        {"cb0000000000000001", "[5e-324]"},
        {"cbffefffffffffffff", "[-1.7976931348623157e+308]"},
        {"cb405edd2f1a9fbe77", "[123.456]"},
        {"a0", "['']"},
        {"a27827", "[\"x'\"]"},
        {"a3782722", "['x\\'\"']"},
        {"a3785c22", "['x\\\\\"']"},
        {"a40a0d0900", "['\\n\\r\\t\\x00']"},
        {"a27f1b", "['\\x7f\\x1b']"},
        {"a3c3bc21", "['\xc3\xbc!']"},
        {"a2c285", "['\\x85']"},
        {"a3e280ae", "['\\u202e']"},
        {"a4f3a08081", "['\\U000e0001']"},
        {"a4f09f9880", "['\xf0\x9f\x98\x80']"},
        {"c40300ff27", "[b\"\\x00\\xff'\"]"},
        {"d40190", "[()]"},
        {"d5019101", "[(1,)]"},
        {"c705019201a16b", "[(1, 'k')]"},
        {"c7070192d40190d40190", "[((), ())]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len;
        unsigned char *key = unhex(rows[i].hex, &len);
        struct coat_error err;

        coat_error_set(&err, COAT_EUSAGE, "x");
        coat_path_prepend_key(&err, key);
        assert_string_equal(err.path, rows[i].path);
        free(key);
    }
}

static void steps_go_in_front(void **state)
{
    struct coat_error err;

    (void)state;
    coat_error_set(&err, COAT_EUSAGE, "x");
    coat_path_prepend_text(&err, "price", 5);
    coat_path_prepend_index(&err, 2);
    coat_path_prepend_text(&err, "cart", 4);
    assert_string_equal(err.path, "['cart'][2]['price']");
}

static void a_long_key_is_shortened_in_its_middle(void **state)
{
    char text[5000];
    struct coat_error err;

    (void)state;
    memset(text, '-', sizeof text);
    memcpy(text, "begin", 5);
    memcpy(text + sizeof text - 3, "end", 3);
    coat_error_set(&err, COAT_EUSAGE, "x");
    coat_path_prepend_text(&err, text, sizeof text);
    assert_string_equal(err.path,
                        "['begin-----------------...--------------------------------end']");
    coat_error_set(&err, COAT_EUSAGE, "x");
    coat_path_prepend_text(&err, text, 60);
    assert_int_equal(strlen(err.path), 64);
    assert_null(strstr(err.path, "..."));
}

/* Characters and escapes are kept or left out whole, whatever their length and place. */
static void a_shortened_key_is_valid_text(void **state)
{
    static const char *const units[] = {"\xc3\xbc", "\xf0\x9f\x98\x80", "\xe2\x80\xae", "\n",
                                        "'\""};
    char text[300];
    struct coat_error err;

    (void)state;
    for (size_t u = 0; u < COUNT(units); u++)
        for (size_t shift = 0; shift < 8; shift++) {
            size_t len = shift;

            memset(text, 'x', shift);
            while (len + strlen(units[u]) < sizeof text) {
                memcpy(text + len, units[u], strlen(units[u]));
                len += strlen(units[u]);
            }
            coat_error_set(&err, COAT_EUSAGE, "x");
            coat_path_prepend_text(&err, text, len);
            assert_int_equal(coat_utf8_valid(err.path, strlen(err.path)), strlen(err.path));
            assert_in_range(strlen(err.path), 50, 64);
            assert_non_null(strstr(err.path, "..."));
            assert_int_equal(strncmp(err.path, "['", 2), 0);
            assert_string_equal(err.path + strlen(err.path) - 2, "']");
        }
}

static void a_deep_tuple_in_a_key_is_cut(void **state)
{
    unsigned char buf[64], *to = buf, *starts[7];
    struct coat_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++) {
        starts[i] = to;
        to = coat_wire_tuple_begin(to, 1);
    }
    to = coat_wire_put_nil(to);
    for (size_t i = COUNT(starts); i-- > 0;)
        to = coat_wire_tuple_end(starts[i], to);
    coat_error_set(&err, COAT_EUSAGE, "x");
    coat_path_prepend_key(&err, buf);
    assert_string_equal(err.path, "[(((((...),),),),)]");
}

static void a_long_path_is_shortened_in_its_middle(void **state)
{
    struct coat_error err;

    (void)state;
    coat_error_set(&err, COAT_EUSAGE, "x");
    for (size_t i = 100; i-- > 0;) {
        coat_path_prepend_index(&err, i);
        coat_path_prepend_text(&err, i % 2 ? "]...[" : "a'\"", i % 2 ? 5 : 3);
        assert_in_range(strlen(err.path), 1, sizeof err.path - 1);
    }
    assert_int_equal(strncmp(err.path, "['a\\'\"'][0][']...['][1]", 23), 0);
    assert_string_equal(err.path + strlen(err.path) - 13, "[']...['][99]");
}

static void a_path_of_the_longest_steps_fits(void **state)
{
    char text[200];
    struct coat_error err;

    (void)state;
    for (size_t steps = 1; steps < 10; steps++) {
        coat_error_set(&err, COAT_EUSAGE, "x");
        for (size_t i = 0; i < steps; i++) {
            memset(text, (int)('a' + i), sizeof text);
            coat_path_prepend_text(&err, text, sizeof text);
        }
        assert_in_range(strlen(err.path), 64, sizeof err.path - 1);
        assert_string_equal(err.path + strlen(err.path) - 5, "aaa']");
        assert_int_equal(err.path[2], 'a' + (char)steps - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_name),
        cmocka_unit_test(the_library_tells_its_version),
        cmocka_unit_test(an_error_is_written_as_a_whole),
        cmocka_unit_test(control_characters_from_outside_stay_in_their_line),
        cmocka_unit_test(no_error_is_wanted),
        cmocka_unit_test(what_is_too_long_is_cut_at_a_character),
        cmocka_unit_test(a_key_is_written_as_python_does),
        cmocka_unit_test(steps_go_in_front),
        cmocka_unit_test(a_long_key_is_shortened_in_its_middle),
        cmocka_unit_test(a_shortened_key_is_valid_text),
        cmocka_unit_test(a_deep_tuple_in_a_key_is_cut),
        cmocka_unit_test(a_long_path_is_shortened_in_its_middle),
        cmocka_unit_test(a_path_of_the_longest_steps_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
