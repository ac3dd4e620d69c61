/* The cursor: what it reads, as Python writes it, is what tests/data says. */
#include "bytes.h"

struct shown {
    char text[4096];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void show(struct shown *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    s->len += (size_t)vsnprintf(s->text + s->len, sizeof s->text - s->len, format, args);
    va_end(args);
    assert_in_range(s->len, 0, sizeof s->text - 1);
}

/* As Python's ascii(). */
static void show_text(struct shown *s, const unsigned char *text, size_t len)
{
    show(s, "'");
    for (size_t at = 0, width; at < len; at += width) {
        uint32_t c = text[at];

        width = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        c &= width == 1 ? 0x7f : 0x7fu >> width;
        for (size_t i = 1; i < width; i++)
            c = c << 6 | (text[at + i] & 0x3f);
        if (c >= 0x20 && c < 0x7f)
            show(s, "%c", (int)c);
        else
            show(s,
                 c < 0x100     ? "\\x%02" PRIx32
                 : c < 0x10000 ? "\\u%04" PRIx32
                               : "\\U%08" PRIx32,
                 c);
    }
    show(s, "'");
}

static void show_bytes(struct shown *s, const unsigned char *bytes, size_t len)
{
    show(s, "b'");
    for (size_t i = 0; i < len; i++)
        show(s, bytes[i] >= 0x20 && bytes[i] < 0x7f ? "%c" : "\\x%02x", bytes[i]);
    show(s, "'");
}

/* In hex, which Python reads too. */
static void show_big(struct shown *s, const unsigned char *number, size_t len)
{
    unsigned char magnitude[64];
    int negative = number[0] >= 0x80, zeros = 1;
    unsigned carry = 1;

    assert_in_range(len, 1, sizeof magnitude);
    for (size_t i = len; i-- > 0;) {
        carry += (unsigned char)~number[i];
        magnitude[i] = negative ? (unsigned char)carry : number[i];
        carry >>= 8;
    }
    /* -2^n has a magnitude of a bit more than fits */
    show(s, negative ? carry ? "-0x1" : "-0x" : "0x");
    for (size_t i = 0; i < len; i++) {
        if (zeros && magnitude[i] == 0 && !(negative && carry))
            continue;
        show(s, zeros && !(negative && carry) ? "%x" : "%02x", magnitude[i]);
        zeros = 0;
    }
}

static void show_float(struct shown *s, double f)
{
    char text[40];

    if (isnan(f) || isinf(f)) {
        show(s, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f)
            break;
    }
    show(s, strpbrk(text, ".e") != NULL ? "%s" : "%s.0", text);
}

static void show_value(struct shown *s, struct coat_cursor *c)
{
    struct coat_item item;

    assert_int_equal(coat_cursor_next(c, &item), 1);
    switch (item.kind) {
    case COAT_NIL:
        show(s, "None");
        break;
    case COAT_BOOL:
        show(s, item.truth ? "True" : "False");
        break;
    case COAT_INT:
        if (item.is_big)
            show_big(s, item.bytes, item.len);
        else if (item.is_unsigned)
            show(s, "%" PRIu64, item.u);
        else
            show(s, "%" PRId64, item.i);
        break;
    case COAT_FLOAT:
        show_float(s, item.f);
        break;
    case COAT_TEXT:
        show_text(s, item.bytes, item.len);
        break;
    case COAT_BYTES:
        show_bytes(s, item.bytes, item.len);
        break;
    case COAT_LIST:
    case COAT_TUPLE:
        show(s, item.kind == COAT_LIST ? "[" : "(");
        for (size_t i = 0; i < item.count; i++) {
            show(s, i > 0 ? ", " : "");
            show_value(s, c);
        }
        show(s, item.kind == COAT_LIST ? "]" : item.count == 1 ? ",)" : ")");
        break;
    case COAT_DICT:
        show(s, "{");
        for (size_t i = 0; i < item.count; i++) {
            show(s, i > 0 ? ", " : "");
            show_value(s, c);
            show(s, ": ");
            show_value(s, c);
        }
        show(s, "}");
        break;
    }
}

static void every_good_value_reads_as_it_is_written(void **state)
{
    FILE *f = open_data("good.txt");
    char line[1024], *value;

    (void)state;
    while (next_row(f, line, sizeof line, &value)) {
        struct shown s = {.len = 0};
        struct coat_cursor c;
        struct coat_item item;
        size_t len;
        unsigned char *bytes = unhex(line, &len);

        coat_cursor_init(&c, bytes, len);
        show_value(&s, &c);
        assert_string_equal(s.text, value);
        assert_int_equal(coat_cursor_next(&c, &item), 0);
        coat_cursor_init(&c, bytes, len);
        assert_int_equal(coat_cursor_skip(&c), 1);
        assert_ptr_equal(c.at, bytes + len);
        free(bytes);
    }
    fclose(f);
}

static void members_come_after_the_head_of_their_container(void **state)
{
    static const unsigned char bytes[] = "\x82\xa1\x61\x92\x01\x02\xa1\x62\xd4\x01\x90";
    struct coat_cursor c;
    struct coat_item item;

    (void)state;
    coat_cursor_init(&c, bytes, sizeof bytes - 1);
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_int_equal(item.kind, COAT_DICT);
    assert_int_equal(item.count, 2);
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_int_equal(item.kind, COAT_TEXT);
    assert_memory_equal(item.bytes, "a", 1);
    assert_int_equal(coat_cursor_skip(&c), 1);
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_memory_equal(item.bytes, "b", 1);
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_int_equal(item.kind, COAT_TUPLE);
    assert_int_equal(item.count, 0);
    assert_int_equal(coat_cursor_next(&c, &item), 0);
    assert_int_equal(coat_cursor_skip(&c), 0);
}

static void nothing_is_at_its_end(void **state)
{
    struct coat_cursor c;
    struct coat_item item;

    (void)state;
    coat_cursor_init(&c, NULL, 0);
    assert_int_equal(coat_cursor_next(&c, &item), 0);
    assert_int_equal(coat_cursor_skip(&c), 0);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(coat_kind_name(COAT_NIL), "nil");
    assert_string_equal(coat_kind_name(COAT_DICT), "dict");
    assert_string_equal(coat_kind_name((enum coat_kind)(COAT_DICT + 1)), "unknown kind");
    for (int kind = COAT_NIL; kind <= COAT_DICT; kind++)
        assert_string_not_equal(coat_kind_name((enum coat_kind)kind), "unknown kind");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_good_value_reads_as_it_is_written),
        cmocka_unit_test(members_come_after_the_head_of_their_container),
        cmocka_unit_test(nothing_is_at_its_end),
        cmocka_unit_test(kinds_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
