/* The packer: these calls <=> these bytes, its failures, and msgpack-c as an oracle. */
#include "bytes.h"

#include <msgpack.h>

static struct coat_packer packer;

static int set_up(void **state)
{
    (void)state;
    coat_packer_init(&packer, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    coat_packer_release(&packer);
    return 0;
}

/* The packer is done with a value of these bytes, and ready for the next. */
static void assert_packed(const char *want)
{
    const void *bytes;
    struct coat_error err;
    size_t len;
    char *hex;

    if (coat_packer_finish(&packer, &bytes, &len, &err) < 0)
        fail_msg("%s instead of %s", err.text, want);
    hex = to_hex(bytes, len);
    assert_string_equal(hex, want);
    free(hex);
    assert_int_equal(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, &err), 0);
    coat_packer_reset(&packer);
}

static void assert_failed(int code, const char *path, const char *text)
{
    struct coat_error err;
    const void *bytes;
    size_t len;

    assert_int_equal(coat_packer_finish(&packer, &bytes, &len, &err), code);
    assert_int_equal(packer.code, code);
    assert_int_equal(err.code, code);
    assert_string_equal(err.path, path);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", err.text, text);
    coat_packer_reset(&packer);
}

/* ---- Scalars ------------------------------------------------------------------------------- */

static void nil_and_bools_are_one_byte(void **state)
{
    (void)state;
    coat_pack_nil(&packer);
    assert_packed("c0");
    coat_pack_bool(&packer, 0);
    assert_packed("c2");
    coat_pack_bool(&packer, 1);
    assert_packed("c3");
    coat_pack_bool(&packer, 256);
    assert_packed("c3");
}

static void an_int_takes_its_smallest_form(void **state)
{
    static const struct {
        int64_t number;
        const char *hex;
    } rows[] = {
        {0, "00"},
        {127, "7f"},
        {128, "cc80"},
        {255, "ccff"},
        {256, "cd0100"},
        {65535, "cdffff"},
        {65536, "ce00010000"},
        {UINT32_MAX, "ceffffffff"},
        {(int64_t)UINT32_MAX + 1, "cf0000000100000000"},
        {INT64_MAX, "cf7fffffffffffffff"},
        {-1, "ff"},
        {-32, "e0"},
        {-33, "d0df"},
        {-128, "d080"},
        {-129, "d1ff7f"},
        {-32768, "d18000"},
        {-32769, "d2ffff7fff"},
        {INT32_MIN, "d280000000"},
        {(int64_t)INT32_MIN - 1, "d3ffffffff7fffffff"},
        {INT64_MIN, "d38000000000000000"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        coat_pack_int(&packer, rows[i].number);
        assert_packed(rows[i].hex);
        if (rows[i].number >= 0) {
            coat_pack_uint(&packer, (uint64_t)rows[i].number);
            assert_packed(rows[i].hex);
        }
    }
    coat_pack_uint(&packer, UINT64_MAX);
    assert_packed("cfffffffffffffffff");
}

static void a_big_int_takes_the_smallest_form_of_its_value(void **state)
{
    static const struct {
        const char *number, *hex;
    } rows[] = {
        {"00", "00"},
        {"ff", "ff"},
        {"80", "d080"},
        {"0080", "cc80"},
        {"ffffffffffffffffffffffff", "ff"},
        {"00000000000000000000ff", "ccff"},
        {"7fffffffffffffff", "cf7fffffffffffffff"},
        {"008000000000000000", "cf8000000000000000"},
        {"00ffffffffffffffff", "cfffffffffffffffff"},
        {"010000000000000000", "c70902010000000000000000"},
        {"00010000000000000000", "c70902010000000000000000"},
        {"8000000000000000", "d38000000000000000"},
        {"ff8000000000000000", "d38000000000000000"},
        {"ff7fffffffffffffff", "c70902ff7fffffffffffffff"},
        {"ffff7fffffffffffffff", "c70902ff7fffffffffffffff"},
        {"ff0000000000000000", "c70902ff0000000000000000"},
        {"0100000000000000000000000000000f", "d8020100000000000000000000000000000f"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len;
        unsigned char *number = unhex(rows[i].number, &len);

        coat_pack_bigint(&packer, number, len);
        assert_packed(rows[i].hex);
        free(number);
    }
    coat_pack_bigint(&packer, "", 0);
    assert_failed(COAT_EUSAGE, "", "no bytes");
}

static void a_float_keeps_its_bits(void **state)
{
    static const struct {
        uint64_t bits;
        const char *hex;
    } rows[] = {
        {0, "cb0000000000000000"},
        {0x8000000000000000u, "cb8000000000000000"},
        {0x3ff0000000000000u, "cb3ff0000000000000"},
        {0x7ff0000000000000u, "cb7ff0000000000000"},
        {0x7ff8000000000000u, "cb7ff8000000000000"},
        {0xfff8000000000001u, "cbfff8000000000001"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        double f;

        memcpy(&f, &rows[i].bits, sizeof f);
        coat_pack_float(&packer, f);
        assert_packed(rows[i].hex);
    }
}

static void text_and_bytes_take_the_smallest_head(void **state)
{
    static const struct {
        size_t len;
        const char *text, *bytes;
    } rows[] = {
        {0, "a0", "c400"},           {1, "a1", "c401"},
        {31, "bf", "c41f"},          {32, "d920", "c420"},
        {255, "d9ff", "c4ff"},       {256, "da0100", "c50100"},
        {65535, "daffff", "c5ffff"}, {65536, "db00010000", "c600010000"},
    };
    char *content = malloc(65536);

    (void)state;
    memset(content, 'x', 65536);
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int text = 0; text < 2; text++) {
            const char *head = text ? rows[i].text : rows[i].bytes;
            const void *bytes;
            size_t len;
            char *hex;

            if (text)
                coat_pack_text(&packer, content, rows[i].len);
            else
                coat_pack_bytes(&packer, content, rows[i].len);
            assert_int_equal(coat_packer_finish(&packer, &bytes, &len, NULL), 0);
            hex = to_hex(bytes, len);
            assert_int_equal(strlen(hex), strlen(head) + 2 * rows[i].len);
            assert_memory_equal(hex, head, strlen(head));
            assert_int_equal(strspn(hex + strlen(head), "78"), 2 * rows[i].len);
            free(hex);
            coat_packer_reset(&packer);
        }
    free(content);
}

static void text_may_hold_a_nul(void **state)
{
    (void)state;
    coat_pack_text(&packer, "a\0b", 3);
    assert_packed("a3610062");
    coat_pack_str(&packer, "");
    assert_packed("a0");
    coat_pack_text(&packer, NULL, 0);
    assert_packed("a0");
}

/* ---- Containers ---------------------------------------------------------------------------- */

static void containers_hold_their_members(void **state)
{
    (void)state;
    coat_pack_list(&packer, 2);
    coat_pack_nil(&packer);
    coat_pack_list(&packer, 0);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    assert_packed("92c090");

    coat_pack_dict(&packer, 2);
    coat_pack_str(&packer, "sku");
    coat_pack_str(&packer, "A-17");
    coat_pack_str(&packer, "size");
    coat_pack_tuple(&packer, 2);
    coat_pack_int(&packer, 40);
    coat_pack_int(&packer, 42);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    assert_packed("82a3736b75a4412d3137a473697a65c7030192282a");
}

/* A tuple whose content, head and members, is of exactly `len` bytes: nils and one text. */
static void pack_tuple_of(size_t len, const char *text)
{
    size_t head = len < 3 + 31 ? 1 : len < 4 + 255 ? 2 : len < 5 + 65535 ? 3 : 5;

    coat_pack_tuple(&packer, 2);
    coat_pack_nil(&packer);
    coat_pack_text(&packer, text, len - 2 - head);
    coat_pack_end(&packer);
}

static void a_tuple_takes_the_smallest_ext(void **state)
{
    static const struct {
        size_t len;
        const char *head;
    } rows[] = {
        {3, "c70301"},     {4, "d601"},         {5, "c70501"},           {7, "c70701"},
        {8, "d701"},       {9, "c70901"},       {15, "c70f01"},          {16, "d801"},
        {17, "c71101"},    {33, "c72101"},      {255, "c7ff01"},         {256, "c8010001"},
        {257, "c8010101"}, {65535, "c8ffff01"}, {65536, "c90001000001"}, {70000, "c90001117001"},
    };
    char *text = malloc(70000);

    (void)state;
    memset(text, 'x', 70000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const void *bytes;
        size_t len;
        char *hex;

        pack_tuple_of(rows[i].len, text);
        assert_int_equal(coat_packer_finish(&packer, &bytes, &len, NULL), 0);
        assert_int_equal(len, strlen(rows[i].head) / 2 + rows[i].len);
        assert_int_equal(coat_check(bytes, len, NULL, 0, NULL, NULL), 0);
        assert_repacks(bytes, len);
        hex = to_hex(bytes, len);
        assert_memory_equal(hex, rows[i].head, strlen(rows[i].head));
        free(hex);
        coat_packer_reset(&packer);
    }
    free(text);
}

static void an_empty_tuple_and_tuples_within_tuples(void **state)
{
    (void)state;
    coat_pack_tuple(&packer, 0);
    coat_pack_end(&packer);
    assert_packed("d40190");
    for (int i = 0; i < 5; i++)
        coat_pack_tuple(&packer, i < 4);
    for (int i = 0; i < 5; i++)
        coat_pack_end(&packer);
    assert_packed("c70f0191c70b0191c7070191d60191d40190");
}

static void every_good_value_packs_to_its_bytes(void **state)
{
    static const char *const files[] = {"good.txt", "long.txt"};
    char line[1024], *value;
    size_t len;

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        FILE *f = open_data(files[i]);

        while (next_row(f, line, sizeof line, &value)) {
            unsigned char *bytes = unhex(line, &len);

            assert_repacks(bytes, len);
            free(bytes);
        }
        fclose(f);
    }
}

/* ---- Keys ---------------------------------------------------------------------------------- */

static void what_cannot_be_a_key_is_refused_at_its_dict(void **state)
{
    (void)state;
    coat_pack_list(&packer, 1);
    coat_pack_dict(&packer, 1);
    coat_pack_list(&packer, 0);
    assert_failed(COAT_ENOTSTORABLE, "[0]", "a key cannot be a list");
    coat_pack_dict(&packer, 1);
    coat_pack_tuple(&packer, 2);
    coat_pack_nil(&packer);
    coat_pack_dict(&packer, 0);
    assert_failed(COAT_ENOTSTORABLE, "", "a key cannot be a dict");
    coat_pack_dict(&packer, 1);
    coat_pack_float(&packer, (double)NAN);
    assert_failed(COAT_ENOTSTORABLE, "", "NaN");
    coat_pack_dict(&packer, 1);
    coat_pack_float(&packer, -(double)INFINITY);
    assert_failed(COAT_ENOTSTORABLE, "", "infinite");
    coat_pack_dict(&packer, 1);
    coat_pack_bigint(&packer, "\1\0\0\0\0\0\0\0\0", 9);
    assert_failed(COAT_ENOTSTORABLE, "", "64 bits");
}

static void equal_keys_are_refused_at_the_end(void **state)
{
    (void)state;
    coat_pack_list(&packer, 1);
    coat_pack_dict(&packer, 3);
    coat_pack_float(&packer, 1.0);
    coat_pack_nil(&packer);
    coat_pack_str(&packer, "1");
    coat_pack_nil(&packer);
    coat_pack_bool(&packer, 1);
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    assert_failed(COAT_ENOTSTORABLE, "[0][True]", "twice");
    coat_pack_dict(&packer, 2);
    coat_pack_str(&packer, "a");
    coat_pack_nil(&packer);
    coat_pack_str(&packer, "a");
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    assert_failed(COAT_ENOTSTORABLE, "['a']", "twice");
}

static void keys_of_inner_dicts_are_their_own(void **state)
{
    (void)state;
    coat_pack_dict(&packer, 2);
    coat_pack_str(&packer, "a");
    coat_pack_dict(&packer, 1);
    coat_pack_str(&packer, "a");
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    coat_pack_str(&packer, "b");
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    assert_packed("82a16181a161c0a162c0");
}

static void more_odd_keys_than_4096_are_refused(void **state)
{
    (void)state;
    for (unsigned pairs = 4096; pairs <= 4097; pairs++) {
        coat_pack_dict(&packer, pairs);
        for (unsigned i = 0; i < pairs; i++) {
            coat_pack_uint(&packer, i);
            coat_pack_nil(&packer);
        }
        coat_pack_end(&packer);
        assert_int_equal(packer.code, pairs == 4096 ? 0 : COAT_ELIMIT);
        if (pairs == 4096)
            coat_packer_reset(&packer);
    }
    assert_failed(COAT_ELIMIT, "", "max_odd_keys");
}

static void members_of_a_key_count_as_odd_keys(void **state)
{
    (void)state;
    for (unsigned members = 4095; members <= 4096; members++) {
        coat_pack_dict(&packer, 1);
        coat_pack_tuple(&packer, 2);
        coat_pack_nil(&packer);
        coat_pack_tuple(&packer, members - 2);
        for (unsigned i = 0; i < members - 2; i++)
            coat_pack_str(&packer, "");
        coat_pack_end(&packer);
        coat_pack_end(&packer);
        assert_int_equal(packer.code, members == 4095 ? 0 : COAT_ELIMIT);
        if (members == 4095)
            coat_packer_reset(&packer);
    }
    assert_failed(COAT_ELIMIT, "", "max_odd_keys");
}

/* ---- Failures ------------------------------------------------------------------------------ */

static void text_that_is_not_utf8_is_refused_with_its_path(void **state)
{
    struct coat_error err;
    const void *bytes;
    size_t len;

    (void)state;
    coat_pack_dict(&packer, 1);
    coat_pack_str(&packer, "cart");
    coat_pack_list(&packer, 3);
    coat_pack_nil(&packer);
    coat_pack_nil(&packer);
    coat_pack_dict(&packer, 2);
    coat_pack_str(&packer, "sku");
    coat_pack_nil(&packer);
    coat_pack_str(&packer, "price");
    coat_pack_text(&packer, "9.99\xff", 5);
    assert_int_equal(coat_packer_finish(&packer, &bytes, &len, &err), COAT_ENOTSTORABLE);
    assert_string_equal(err.path, "['cart'][2]['price']");
    assert_int_equal(err.offset, 4);
    assert_non_null(strstr(err.text, "pack it as bytes"));
}

static void the_first_failure_stays(void **state)
{
    (void)state;
    coat_pack_list(&packer, 3);
    coat_pack_nil(&packer);
    coat_pack_str(&packer, "\x80");
    coat_pack_dict(&packer, 1);
    coat_pack_list(&packer, 1);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    assert_failed(COAT_ENOTSTORABLE, "[1]", "UTF-8");
    coat_pack_nil(&packer);
    assert_packed("c0");
}

static void a_failure_is_told_without_an_error_too(void **state)
{
    const void *bytes;
    size_t len;

    (void)state;
    coat_pack_str(&packer, "\x80");
    assert_int_equal(coat_packer_finish(&packer, &bytes, &len, NULL), COAT_ENOTSTORABLE);
}

static void calls_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_failed(COAT_EUSAGE, "", "nothing was packed");
    coat_pack_end(&packer);
    assert_failed(COAT_EUSAGE, "", "without an open container");
    coat_pack_nil(&packer);
    coat_pack_nil(&packer);
    assert_failed(COAT_EUSAGE, "", "second value");
    coat_pack_list(&packer, 1);
    coat_pack_list(&packer, 1);
    coat_pack_nil(&packer);
    assert_failed(COAT_EUSAGE, "[0]", "still open");
    coat_pack_list(&packer, 1);
    coat_pack_list(&packer, 2);
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    assert_failed(COAT_EUSAGE, "[0]", "announced with 2 members and has 1");
    coat_pack_list(&packer, 1);
    coat_pack_nil(&packer);
    coat_pack_nil(&packer);
    assert_failed(COAT_EUSAGE, "", "more members");
    coat_pack_dict(&packer, 2);
    coat_pack_nil(&packer);
    coat_pack_nil(&packer);
    coat_pack_bool(&packer, 0);
    coat_pack_end(&packer);
    assert_failed(COAT_EUSAGE, "", "announced with 2 pairs and has 1 and a key");
}

static void req_57_every_limit_holds_to_the_last_one(void **state)
{
    (void)state;
    coat_packer_release(&packer);
    coat_packer_init(&packer, &(struct coat_limits){2, 7, 0, 4});
    coat_pack_list(&packer, 3);
    coat_pack_nil(&packer);
    coat_pack_list(&packer, 0);
    coat_pack_end(&packer);
    coat_pack_text(&packer, "abc", 3);
    coat_pack_end(&packer);
    assert_packed("93c090a3616263");
    coat_pack_list(&packer, 1);
    coat_pack_list(&packer, 1);
    coat_pack_list(&packer, 0);
    assert_failed(COAT_ELIMIT, "[0][0]", "max_depth");
    coat_pack_list(&packer, 4);
    assert_failed(COAT_ELIMIT, "", "max_items");
    coat_pack_dict(&packer, 2);
    assert_failed(COAT_ELIMIT, "", "max_items");
    coat_pack_list(&packer, 2);
    coat_pack_list(&packer, 1);
    coat_pack_nil(&packer);
    coat_pack_end(&packer);
    coat_pack_int(&packer, 65536);
    assert_failed(COAT_ELIMIT, "[1]", "max_bytes");
    coat_pack_bytes(&packer, "1234567", 7);
    assert_failed(COAT_ELIMIT, "", "max_bytes");
    coat_pack_bytes(&packer, "123456", 6);
    assert_failed(COAT_ELIMIT, "", "max_bytes");
    coat_pack_list(&packer, SIZE_MAX);
    assert_failed(COAT_ELIMIT, "", "max_items");
    coat_pack_dict(&packer, SIZE_MAX / 2 + 2);
    assert_failed(COAT_ELIMIT, "", "max_items");
}

static void a_container_whose_head_has_no_room_is_at_fault_itself(void **state)
{
    static void (*const open[])(struct coat_packer *, size_t) = {coat_pack_list, coat_pack_tuple,
                                                                 coat_pack_dict};

    (void)state;
    for (size_t i = 0; i < COUNT(open); i++) {
        coat_packer_release(&packer);
        coat_packer_init(&packer, &(struct coat_limits){4, 0, 0, 9});
        open[i](&packer, 1);
        assert_failed(COAT_ELIMIT, "", "max_bytes");
        coat_packer_release(&packer);
        coat_packer_init(&packer, &(struct coat_limits){4, 5, 0, 9});
        coat_pack_dict(&packer, 1);
        coat_pack_str(&packer, "abc");
        open[i](&packer, 0);
        assert_failed(COAT_ELIMIT, "['abc']", "max_bytes");
    }
}

static void no_items_allowed_is_no_value_at_all(void **state)
{
    (void)state;
    coat_packer_release(&packer);
    coat_packer_init(&packer, &(struct coat_limits){2, 7, 0, 0});
    coat_pack_nil(&packer);
    assert_failed(COAT_ELIMIT, "", "max_items");
}

static void lifted_limits_leave_what_is_possible(void **state)
{
    (void)state;
    coat_packer_release(&packer);
    coat_packer_init(&packer, &(struct coat_limits){SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX});
    coat_pack_list(&packer, SIZE_MAX - 1);
    assert_failed(COAT_ELIMIT, "", "max_bytes");
    coat_pack_dict(&packer, SIZE_MAX - 1);
    assert_failed(COAT_ELIMIT, "", "max_items");
    coat_pack_text(&packer, "", SIZE_MAX);
    assert_failed(COAT_ELIMIT, "", "max_bytes");
    for (size_t i = 0; i < COAT_DEPTH_MAX; i++)
        coat_pack_tuple(&packer, i + 1 < COAT_DEPTH_MAX);
    for (size_t i = 0; i < COAT_DEPTH_MAX; i++)
        coat_pack_end(&packer);
    assert_int_equal(packer.code, 0);
    coat_packer_reset(&packer);
    for (size_t i = 0; i <= COAT_DEPTH_MAX; i++)
        coat_pack_list(&packer, 1);
    assert_int_equal(packer.code, COAT_ELIMIT);
}

/* While a tuple is open it may be a byte longer than it will be. */
static void a_tuple_may_fill_the_limit_on_bytes_exactly(void **state)
{
    (void)state;
    for (size_t room = 4; room <= 5; room++) {
        coat_packer_release(&packer);
        coat_packer_init(&packer, &(struct coat_limits){2, room, 0, 9});
        coat_pack_tuple(&packer, 1);
        coat_pack_tuple(&packer, 0);
        coat_pack_end(&packer);
        coat_pack_end(&packer);
        assert_int_equal(packer.code, COAT_ELIMIT);
    }
    coat_packer_release(&packer);
    coat_packer_init(&packer, &(struct coat_limits){2, 4, 0, 9});
    coat_pack_list(&packer, 2);
    coat_pack_tuple(&packer, 0);
    coat_pack_end(&packer);
    coat_pack_nil(&packer);
    assert_failed(COAT_ELIMIT, "[1]", "max_bytes");
    coat_packer_release(&packer);
    coat_packer_init(&packer, &(struct coat_limits){2, 6, 0, 9});
    coat_pack_tuple(&packer, 1);
    coat_pack_tuple(&packer, 0);
    coat_pack_end(&packer);
    coat_pack_end(&packer);
    assert_packed("d60191d40190");
}

static void releasing_is_always_legal(void **state)
{
    (void)state;
    coat_packer_release(&packer);
    coat_packer_release(&packer);
    coat_packer_reset(&packer);
    coat_pack_list(&packer, 1);
    coat_packer_release(&packer);
    coat_pack_nil(&packer);
    assert_packed("c0");
}

/* ---- msgpack-c as an oracle ---------------------------------------------------------------- */

static void assert_same_as(msgpack_sbuffer *theirs)
{
    char *hex = to_hex(theirs->data, theirs->size);

    assert_packed(hex);
    free(hex);
    msgpack_sbuffer_clear(theirs);
}

static void the_oracle_packs_numbers_to_the_same_bytes(void **state)
{
    msgpack_sbuffer theirs;
    msgpack_packer pk;

    (void)state;
    msgpack_sbuffer_init(&theirs);
    msgpack_packer_init(&pk, &theirs, msgpack_sbuffer_write);
    for (int shift = 0; shift < 64; shift++)
        for (int64_t near = -2; near <= 2; near++) {
            uint64_t u = ((uint64_t)1 << shift) + (uint64_t)near;
            int64_t i = (int64_t)(0 - u);
            double f = ldexp((double)near + 0.5, shift - 32);

            coat_pack_uint(&packer, u);
            msgpack_pack_uint64(&pk, u);
            assert_same_as(&theirs);
            coat_pack_int(&packer, i);
            msgpack_pack_int64(&pk, i);
            assert_same_as(&theirs);
            coat_pack_float(&packer, f);
            msgpack_pack_double(&pk, f);
            assert_same_as(&theirs);
        }
    msgpack_sbuffer_destroy(&theirs);
}

static void the_oracle_packs_a_nested_value_to_the_same_bytes(void **state)
{
    static const size_t counts[] = {0, 1, 15, 16, 300};
    msgpack_sbuffer theirs;
    msgpack_packer pk;

    (void)state;
    msgpack_sbuffer_init(&theirs);
    msgpack_packer_init(&pk, &theirs, msgpack_sbuffer_write);
    for (size_t i = 0; i < COUNT(counts); i++) {
        coat_pack_list(&packer, 3);
        msgpack_pack_array(&pk, 3);
        coat_pack_dict(&packer, counts[i]);
        msgpack_pack_map(&pk, counts[i]);
        for (size_t k = 0; k < counts[i]; k++) {
            char key[24];
            size_t len = (size_t)snprintf(key, sizeof key, "key %zu", k);

            coat_pack_text(&packer, key, len);
            msgpack_pack_str_with_body(&pk, key, len);
            coat_pack_bytes(&packer, key, k % 3);
            msgpack_pack_bin_with_body(&pk, key, k % 3);
        }
        coat_pack_end(&packer);
        coat_pack_tuple(&packer, 1);
        coat_pack_bool(&packer, 1);
        coat_pack_end(&packer);
        msgpack_pack_ext_with_body(&pk, "\x91\xc3", 2, 1);
        coat_pack_list(&packer, counts[i]);
        msgpack_pack_array(&pk, counts[i]);
        for (size_t k = 0; k < counts[i]; k++) {
            coat_pack_nil(&packer);
            msgpack_pack_nil(&pk);
        }
        coat_pack_end(&packer);
        coat_pack_end(&packer);
        assert_same_as(&theirs);
    }
    msgpack_sbuffer_destroy(&theirs);
}

/* What the oracle reads of these bytes, and writes again. */
static void assert_oracle_repacks(const unsigned char *bytes, size_t len)
{
    msgpack_unpacked unpacked;
    msgpack_sbuffer again;
    msgpack_packer pk;
    size_t at = 0;

    msgpack_unpacked_init(&unpacked);
    msgpack_sbuffer_init(&again);
    msgpack_packer_init(&pk, &again, msgpack_sbuffer_write);
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, len, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, len);
    assert_int_equal(msgpack_pack_object(&pk, unpacked.data), 0);
    assert_int_equal(again.size, len);
    assert_memory_equal(again.data, bytes, len);
    msgpack_sbuffer_destroy(&again);
    msgpack_unpacked_destroy(&unpacked);
}

static void the_oracle_reads_every_good_value_and_writes_the_same_bytes(void **state)
{
    static const char *const files[] = {"good.txt", "long.txt"};
    char line[1024], *value;
    size_t len;

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        FILE *f = open_data(files[i]);

        while (next_row(f, line, sizeof line, &value)) {
            unsigned char *bytes = unhex(line, &len);

            assert_oracle_repacks(bytes, len);
            free(bytes);
        }
        fclose(f);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nil_and_bools_are_one_byte),
        TEST(an_int_takes_its_smallest_form),
        TEST(a_big_int_takes_the_smallest_form_of_its_value),
        TEST(a_float_keeps_its_bits),
        TEST(text_and_bytes_take_the_smallest_head),
        TEST(text_may_hold_a_nul),
        TEST(containers_hold_their_members),
        TEST(a_tuple_takes_the_smallest_ext),
        TEST(an_empty_tuple_and_tuples_within_tuples),
        TEST(every_good_value_packs_to_its_bytes),
        TEST(what_cannot_be_a_key_is_refused_at_its_dict),
        TEST(equal_keys_are_refused_at_the_end),
        TEST(keys_of_inner_dicts_are_their_own),
        TEST(more_odd_keys_than_4096_are_refused),
        TEST(members_of_a_key_count_as_odd_keys),
        TEST(text_that_is_not_utf8_is_refused_with_its_path),
        TEST(the_first_failure_stays),
        TEST(a_failure_is_told_without_an_error_too),
        TEST(calls_that_make_no_sense_are_refused),
        TEST(req_57_every_limit_holds_to_the_last_one),
        TEST(a_container_whose_head_has_no_room_is_at_fault_itself),
        TEST(no_items_allowed_is_no_value_at_all),
        TEST(lifted_limits_leave_what_is_possible),
        TEST(a_tuple_may_fill_the_limit_on_bytes_exactly),
        TEST(releasing_is_always_legal),
        TEST(the_oracle_packs_numbers_to_the_same_bytes),
        TEST(the_oracle_packs_a_nested_value_to_the_same_bytes),
        TEST(the_oracle_reads_every_good_value_and_writes_the_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
