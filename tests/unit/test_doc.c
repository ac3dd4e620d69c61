/* Documents. Values are written as hex. */
#include "bytes.h"
#include "coat_doc.h"
#include "api/doc.h"

static struct coat_doc *doc;

static int set_up(void **state)
{
    (void)state;
    return coat_doc_new(&doc, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    coat_doc_free(doc);
    return 0;
}

/* The document is from now on the one of these bytes. */
static void parse(const char *hex)
{
    size_t len;
    unsigned char *bytes = unhex(hex, &len);
    struct coat_error err;

    coat_doc_free(doc);
    doc = NULL;
    if (coat_doc_parse(&doc, bytes, len, NULL, &err) < 0)
        fail_msg("%s: %s", hex, err.text);
    free(bytes);
}

static int set_or_fail(const char *name, const char *hex, struct coat_error *err)
{
    size_t len;
    unsigned char *value = unhex(hex, &len);
    int rc = coat_doc_set(doc, name, strlen(name), value, len, err);

    free(value);
    return rc;
}

static void set(const char *name, const char *hex)
{
    struct coat_error err;

    if (set_or_fail(name, hex, &err) < 0)
        fail_msg("%s%s", err.path, err.text);
}

static int delete (const char *name)
{
    return coat_doc_delete(doc, name, strlen(name), NULL);
}

static void assert_value(const char *name, const char *want)
{
    const void *value;
    size_t len;
    char *hex;

    if (!coat_doc_get(doc, name, strlen(name), &value, &len))
        fail_msg("there is no %s", name);
    hex = to_hex(value, len);
    assert_string_equal(hex, want);
    free(hex);
}

static void assert_none(const char *name)
{
    const void *value;
    size_t len;

    assert_int_equal(coat_doc_get(doc, name, strlen(name), &value, &len), 0);
}

static unsigned char *written(size_t *len)
{
    unsigned char *bytes;

    *len = coat_doc_size(doc);
    bytes = malloc(*len);
    assert_non_null(bytes);
    assert_ptr_equal(coat_doc_write(doc, bytes), bytes + *len);
    return bytes;
}

/* The document encodes to these bytes, which pass the check. */
static void assert_written(const char *want)
{
    size_t len;
    unsigned char *bytes = written(&len);
    char *hex = to_hex(bytes, len);

    assert_string_equal(hex, want);
    assert_int_equal(coat_check(bytes, len, NULL, COAT_CHECK_EQUAL_KEYS, NULL, NULL), 0);
    free(hex);
    free(bytes);
}

/* The changes, as "name:base>mine " with "-" for no value. */
static void assert_changes(const char *want)
{
    struct coat_change change;
    char text[1024] = "";
    size_t at = 0;

    while (coat_doc_next_change(doc, &at, &change)) {
        char *base = to_hex(change.base, change.base_len);
        char *mine = to_hex(change.mine, change.mine_len);
        size_t end = strlen(text);

        snprintf(text + end, sizeof text - end, "%.*s:%s>%s ", (int)change.name_len, change.name,
                 change.base ? base : "-", change.mine ? mine : "-");
        free(base);
        free(mine);
    }
    assert_string_equal(text, want);
    assert_int_equal(coat_doc_modified(doc), want[0] != '\0');
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void a_new_document_is_an_empty_dict(void **state)
{
    (void)state;
    assert_int_equal(coat_doc_count(doc), 0);
    assert_written("80");
    assert_none("a");
    assert_changes("");
    assert_int_equal(delete ("a"), 0);
}

static void what_was_parsed_is_there(void **state)
{
    struct coat_cursor c;
    struct coat_item item;

    (void)state;
    parse("83a16101a0c0a26262929190c2");
    assert_int_equal(coat_doc_count(doc), 3);
    assert_value("a", "01");
    assert_value("", "c0");
    assert_value("bb", "929190c2");
    assert_none("b");
    assert_none("bbb");
    assert_changes("");
    assert_written("83a16101a0c0a26262929190c2");
    assert_int_equal(coat_doc_cursor(doc, "a", &c), 1);
    assert_int_equal(coat_cursor_next(&c, &item), 1);
    assert_int_equal(item.i, 1);
    assert_int_equal(coat_cursor_next(&c, &item), 0);
    assert_int_equal(coat_doc_cursor(doc, "x", &c), 0);
    assert_int_equal(coat_cursor_next(&c, &item), 0);
}

static void fields_come_in_their_order(void **state)
{
    const char *names[] = {"z", "a", "m"}, *name;
    const void *value;
    size_t at = 0, name_len, len;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        set(names[i], "01");
    set("z", "02");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &value, &len), 1);
        assert_int_equal(name_len, 1);
        assert_memory_equal(name, names[i], 1);
        assert_int_equal(*(const unsigned char *)value, i == 0 ? 2 : 1);
        assert_int_equal(len, 1);
    }
    assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &value, &len), 0);
}

static void bytes_that_are_no_document_are_refused(void **state)
{
    static const struct {
        const char *hex;
        size_t offset;
    } rows[] = {
        {".", 0},          {"90", 0},
        {"c0", 0},         {"d40190", 0},
        {"81", 0},         {"81a161", 3},
        {"8100c0", 1},     {"81c0c0", 1},
        {"81c40161c0", 1}, {"81a1ffc0", 2},
        {"8190c0", 1},     {"81a161c1", 3},
        {"80c0", 1},       {"82a161c0a161c0", 4},
        {"de0001a0c0", 0}, {"82a0c0a1", 0},
        {"81a161a1", 3},   {"83a161c0a162c0a161c0", 7},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct coat_doc *out = NULL;
        struct coat_error err;
        size_t len;
        unsigned char *bytes = unhex(rows[i].hex, &len);

        if (coat_doc_parse(&out, bytes, len, NULL, &err) != COAT_ECORRUPT)
            fail_msg("%s passes", rows[i].hex);
        if (err.offset != rows[i].offset)
            fail_msg("%s: at %zu", rows[i].hex, err.offset);
        assert_null(out);
        assert_int_equal(coat_doc_parse(&out, bytes, len, NULL, NULL), COAT_ECORRUPT);
        free(bytes);
    }
}

/* ---- Changing ------------------------------------------------------------------------------ */

static void what_was_set_is_there(void **state)
{
    (void)state;
    set("a", "01");
    set("b", "92c0c0");
    assert_value("a", "01");
    assert_value("b", "92c0c0");
    assert_written("82a16101a16292c0c0");
    set("a", "93c0c0c0");
    assert_written("82a16193c0c0c0a16292c0c0");
    assert_changes("a:->93c0c0c0 b:->92c0c0 ");
}

static void what_was_deleted_is_gone(void **state)
{
    (void)state;
    parse("82a16101a16202");
    set("c", "03");
    assert_int_equal(delete ("c"), 1);
    assert_int_equal(delete ("a"), 1);
    assert_int_equal(delete ("a"), 0);
    assert_none("a");
    assert_none("c");
    assert_int_equal(coat_doc_count(doc), 1);
    assert_written("81a16202");
    assert_changes("a:01>- ");
}

static void setting_back_is_unchanged(void **state)
{
    (void)state;
    parse("82a16101a162a178");
    set("a", "05");
    set("b", "c3");
    assert_changes("a:01>05 b:a178>c3 ");
    set("b", "a178");
    assert_changes("a:01>05 ");
    set("a", "01");
    assert_changes("");
    assert_written("82a16101a162a178");
}

static void a_field_that_was_deleted_and_set_comes_last_and_keeps_its_base(void **state)
{
    (void)state;
    parse("83a16101a16202a16303");
    delete ("a");
    assert_changes("a:01>- ");
    set("a", "07");
    assert_changes("a:01>07 ");
    assert_written("83a16202a16303a16107");
    delete ("a");
    set("a", "01");
    assert_changes("");
    assert_written("83a16202a16303a16101");
    delete ("b");
    set("b", "09");
    delete ("b");
    assert_changes("b:02>- ");
}

static void committing_makes_mine_the_base(void **state)
{
    (void)state;
    parse("83a16101a16202a16303");
    set("a", "05");
    delete ("b");
    set("d", "04");
    assert_int_equal(coat_doc_commit(doc, NULL), 0);
    assert_changes("");
    assert_written("83a16105a16303a16404");
    assert_none("b");
    set("b", "02");
    set("a", "01");
    assert_changes("a:05>01 b:->02 ");
    set("a", "05");
    delete ("b");
    assert_changes("");
}

static void a_change_tells_its_items(void **state)
{
    struct coat_change change;
    size_t at = 0;

    (void)state;
    set("a", "9292c0c0d40190");
    assert_int_equal(coat_doc_next_change(doc, &at, &change), 1);
    assert_int_equal(change.mine_items, 5);
}

static void names_may_hold_anything_that_is_text(void **state)
{
    struct coat_error err;
    const void *value;
    size_t len;

    (void)state;
    assert_int_equal(coat_doc_set(doc, "a\0b", 3, "\x01", 1, NULL), 0);
    assert_int_equal(coat_doc_set(doc, "a\0c", 3, "\x02", 1, NULL), 0);
    assert_int_equal(coat_doc_get(doc, "a\0b", 3, &value, &len), 1);
    assert_int_equal(*(const unsigned char *)value, 1);
    assert_none("a");
    assert_int_equal(set_or_fail("\xff", "01", &err), COAT_ENOTSTORABLE);
    assert_int_equal(coat_doc_set_checked(doc, "\xff", 1, "\x01", 1, 1, &err), COAT_ENOTSTORABLE);
    assert_int_equal(coat_doc_count(doc), 2);
}

static void an_empty_name_may_be_null(void **state)
{
    struct coat_error err;
    const void *value;
    char name[8];
    size_t len;

    (void)state;
    for (int fields = 0; fields < 40; fields++) {
        assert_int_equal(coat_doc_set(doc, NULL, 0, "\xc1", 1, &err), COAT_ECORRUPT);
        assert_string_equal(err.path, "['']");
        assert_int_equal(coat_doc_get(doc, NULL, 0, &value, &len), 0);
        assert_int_equal(coat_doc_set(doc, NULL, 0, "\xc0", 1, NULL), 0);
        assert_int_equal(coat_doc_get(doc, "", 0, &value, &len), 1);
        assert_int_equal(coat_doc_delete(doc, NULL, 0, NULL), 1);
        snprintf(name, sizeof name, "%d", fields);
        assert_int_equal(coat_doc_set(doc, name, strlen(name), "\xc0", 1, NULL), 0);
    }
}

static void req_56_a_bad_value_leaves_the_document_as_it_was(void **state)
{
    struct coat_error err;

    (void)state;
    parse("81a16101");
    assert_int_equal(set_or_fail("a", "92c0", &err), COAT_ECORRUPT);
    assert_string_equal(err.path, "['a']");
    assert_int_equal(set_or_fail("b", "c0c0", &err), COAT_ECORRUPT);
    assert_string_equal(err.path, "['b']");
    assert_int_equal(err.offset, 1);
    assert_int_equal(set_or_fail("b", ".", &err), COAT_ECORRUPT);
    assert_written("81a16101");
    assert_changes("");
}

static void a_packed_value_is_put(void **state)
{
    struct coat_packer p;
    struct coat_error err;

    (void)state;
    coat_packer_init(&p, NULL);
    coat_pack_list(&p, 1);
    coat_pack_nil(&p);
    coat_pack_end(&p);
    assert_int_equal(coat_doc_put(doc, "a", &p, &err), 0);
    assert_value("a", "91c0");
    coat_pack_list(&p, 1);
    coat_pack_str(&p, "\xff");
    assert_int_equal(coat_doc_put(doc, "a", &p, &err), COAT_ENOTSTORABLE);
    assert_string_equal(err.path, "['a'][0]");
    assert_int_equal(p.code, 0);
    assert_int_equal(coat_doc_put(doc, "a", &p, &err), COAT_EUSAGE);
    assert_string_equal(err.path, "['a']");
    assert_int_equal(coat_doc_put(doc, "a", &p, NULL), COAT_EUSAGE);
    for (int i = 0; i < 64; i++)
        coat_pack_list(&p, i < 63);
    for (int i = 0; i < 64; i++)
        coat_pack_end(&p);
    assert_int_equal(coat_doc_put(doc, "a", &p, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, "max_depth");
    coat_pack_nil(&p);
    assert_int_equal(coat_doc_put(doc, "\xff", &p, &err), COAT_ENOTSTORABLE);
    coat_packer_release(&p);
    assert_written("81a16191c0");
}

static void a_value_of_the_document_itself_can_be_set(void **state)
{
    const void *value;
    const char *name;
    size_t len, name_len, at = 0;
    char hex[2 * 300 + 1];

    (void)state;
    memset(hex, '0', sizeof hex);
    hex[sizeof hex - 1] = '\0';
    memcpy(hex, "dc0129", 6); /* a list of 297 zeros */
    set("a", hex);
    for (int i = 0; i < 40; i++) {
        char copy[24];

        snprintf(copy, sizeof copy, "copy %d", i);
        assert_int_equal(coat_doc_get(doc, "a", 1, &value, &len), 1);
        assert_int_equal(coat_doc_set(doc, copy, strlen(copy), value, len, NULL), 0);
        assert_value(copy, hex);
    }
    assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &value, &len), 1);
    assert_int_equal(coat_doc_delete(doc, name, name_len, NULL), 1);
    assert_none("a");
}

static void a_name_of_the_document_itself_can_be_set(void **state)
{
    const void *value;
    const char *name;
    size_t len, name_len, at = 0;
    char long_name[301];

    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[300] = '\0';
    set(long_name, "01");
    assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &value, &len), 1);
    for (size_t shorter = 1; shorter < 100; shorter++) {
        assert_int_equal(coat_doc_set(doc, name, name_len - shorter, "\xc0", 1, NULL), 0);
        long_name[300 - shorter] = '\0';
        assert_value(long_name, "c0");
        at = 0;
        assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &value, &len), 1);
    }
}

/* ---- Limits -------------------------------------------------------------------------------- */

static void limited(size_t depth, size_t bytes, size_t fields, size_t items)
{
    const struct coat_limits limits = {depth, bytes, fields, items};

    coat_doc_free(doc);
    assert_int_equal(coat_doc_new(&doc, &limits, NULL), 0);
}

static void assert_over(const char *name, const char *hex, const char *reason)
{
    struct coat_error err;
    char path[80];
    size_t len;
    unsigned char *before = written(&len), *after;

    assert_int_equal(set_or_fail(name, hex, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, reason);
    assert_non_null(strstr(err.text, reason));
    snprintf(path, sizeof path, "['%s']", name);
    assert_string_equal(err.path, path);
    assert_int_equal(coat_doc_size(doc), len);
    after = written(&len);
    assert_memory_equal(before, after, len);
    free(before);
    free(after);
}

static void req_57_every_limit_holds_to_the_last_one(void **state)
{
    const size_t max = SIZE_MAX;

    (void)state;
    limited(2, max, max, max);
    set("a", "90");
    assert_over("a", "9190", "max_depth");
    limited(0, max, max, max);
    assert_over("a", "c0", "max_depth");
    limited(max, max, 2, max);
    set("a", "01");
    set("b", "01");
    assert_over("c", "01", "max_fields");
    set("b", "02");
    delete ("a");
    set("c", "01");
    limited(max, 7, max, max);
    set("a", "01");
    set("b", "01");
    assert_over("b", "cc80", "max_bytes");
    assert_over("c", "01", "max_bytes");
    set("a", "02");
    delete ("a");
    set("b", "a3616263");
    limited(max, max, max, 6);
    set("a", "91c0");
    set("b", "c0");
    assert_over("c", "c0", "max_items");
    assert_over("b", "91c0", "max_items");
    set("a", "c0");
    set("b", "91c0");
}

static void limits_hold_when_parsing(void **state)
{
    static const struct {
        const char *reason;
        struct coat_limits fits, small;
    } rows[] = {
#define MAX SIZE_MAX
        {"max_depth", {2, MAX, MAX, MAX}, {1, MAX, MAX, MAX}},
        {"max_depth", {2, MAX, MAX, MAX}, {0, MAX, MAX, MAX}},
        {"max_bytes", {MAX, 8, MAX, MAX}, {MAX, 7, MAX, MAX}},
        {"max_fields", {MAX, MAX, 2, MAX}, {MAX, MAX, 1, MAX}},
        {"max_items", {MAX, MAX, MAX, 6}, {MAX, MAX, MAX, 5}},
        {"max_items", {MAX, MAX, MAX, 6}, {MAX, MAX, MAX, 0}},
#undef MAX
    };
    static const unsigned char bytes[] = "\x82\xa1\x61\x91\x01\xa1\x62\x02";

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct coat_doc *out = NULL;
        struct coat_error err;

        assert_int_equal(coat_doc_parse(&out, bytes, 8, &rows[i].fits, &err), 0);
        coat_doc_free(out);
        out = NULL;
        assert_int_equal(coat_doc_parse(&out, bytes, 8, &rows[i].small, &err), COAT_ELIMIT);
        assert_string_equal(err.reason, rows[i].reason);
        assert_null(out);
    }
}

/* ---- Many fields --------------------------------------------------------------------------- */

/* A plain model beside the document: what each name holds, and what it held. */
enum { NAMES = 60 };

struct model {
    int base[NAMES], mine[NAMES]; /* 0: none */
    int order[NAMES], count;
};

static void name_of(int i, char *name)
{
    static const char *const heads[] = {"", "same beginning ", "k"};

    sprintf(name, "%s%d", heads[i % 3], i / 3);
}

static void model_delete(struct model *m, int i)
{
    int kept = 0;

    for (int k = 0; k < m->count; k++)
        if (m->order[k] != i)
            m->order[kept++] = m->order[k];
    m->count = kept;
    m->mine[i] = 0;
}

/* Values of some length, so that garbage grows. */
static size_t value_of(int n, unsigned char *value)
{
    size_t len = (size_t)n % 90 + 1;
    unsigned char *to = coat_wire_put_bytes_head(value, len);

    memset(to, n, len);
    return (size_t)(to + len - value);
}

static void assert_span(const void *bytes, size_t len, int n)
{
    unsigned char want[128];

    if (n == 0) {
        assert_null(bytes);
        return;
    }
    assert_int_equal(len, value_of(n, want));
    assert_memory_equal(bytes, want, len);
}

static void assert_as_model(const struct model *m)
{
    struct coat_change change;
    const char *got;
    const void *value;
    size_t at = 0, name_len, len;
    char name[40];
    int changes = 0;

    assert_int_equal(coat_doc_count(doc), m->count);
    for (int k = 0; k < m->count; k++) {
        name_of(m->order[k], name);
        assert_int_equal(coat_doc_next(doc, &at, &got, &name_len, &value, &len), 1);
        assert_int_equal(name_len, strlen(name));
        assert_memory_equal(got, name, name_len);
        assert_span(value, len, m->mine[m->order[k]]);
    }
    assert_int_equal(coat_doc_next(doc, &at, &got, &name_len, &value, &len), 0);
    at = 0;
    while (coat_doc_next_change(doc, &at, &change)) {
        int i;

        for (i = 0; i < NAMES; i++) {
            name_of(i, name);
            if (strlen(name) == change.name_len && memcmp(name, change.name, change.name_len) == 0)
                break;
        }
        assert_in_range(i, 0, NAMES - 1);
        assert_int_not_equal(m->base[i], m->mine[i]);
        assert_span(change.base, change.base_len, m->base[i]);
        assert_span(change.mine, change.mine_len, m->mine[i]);
        changes++;
    }
    for (int i = 0; i < NAMES; i++) {
        changes -= m->base[i] != m->mine[i];
        name_of(i, name);
        value = NULL;
        coat_doc_get(doc, name, strlen(name), &value, &len);
        assert_span(value, len, m->mine[i]);
    }
    assert_int_equal(changes, 0);
}

static void a_document_is_what_a_plain_model_is(void **state)
{
    struct model m = {.count = 0};
    unsigned char value[128];
    unsigned seed = 12345;
    char name[40];

    (void)state;
    for (int round = 0; round < 6000; round++) {
        int names = round / 1000 % 2 ? NAMES : 12; /* fewer and more than are indexed */
        int i, n;

        seed = seed * 1103515245 + 12345;
        i = (int)(seed >> 16) % names;
        n = (int)(seed >> 8) % 5 + 1 + round / 3000;
        name_of(i, name);
        if (round % 701 == 700) {
            assert_int_equal(coat_doc_commit(doc, NULL), 0);
            memcpy(m.base, m.mine, sizeof m.base);
        } else if (round % 1203 == 1202) {
            size_t len;
            unsigned char *bytes = written(&len);

            coat_doc_free(doc);
            assert_int_equal(coat_doc_parse(&doc, bytes, len, NULL, NULL), 0);
            free(bytes);
            memcpy(m.base, m.mine, sizeof m.base);
        } else if (seed >> 30 == 0 || (round / 500) % 3 == 2) {
            assert_int_equal(coat_doc_delete(doc, name, strlen(name), NULL), m.mine[i] != 0);
            model_delete(&m, i);
        } else {
            assert_int_equal(coat_doc_set(doc, name, strlen(name), value, value_of(n, value), NULL),
                             0);
            if (m.mine[i] == 0)
                m.order[m.count++] = i;
            m.mine[i] = n;
        }
        if (round % 7 == 0)
            assert_as_model(&m);
    }
    assert_as_model(&m);
}

static void thousands_of_fields_are_found(void **state)
{
    static const char *const heads[] = {"", "the same eight bytes "};
    char name[48];

    (void)state;
    for (size_t h = 0; h < COUNT(heads); h++) {
        size_t len;
        unsigned char *bytes;

        limited(64, 1 << 20, 16384, 262144);
        for (int i = 0; i < 16384; i++) {
            sprintf(name, "%s%d", heads[h], i * 7919 % 16384);
            set(name, "01");
        }
        bytes = written(&len);
        coat_doc_free(doc);
        assert_int_equal(coat_doc_parse(&doc, bytes, len, NULL, NULL), 0);
        for (int i = 0; i < 16384; i += 5) {
            sprintf(name, "%s%d", heads[h], i);
            assert_value(name, "01");
        }
        sprintf(name, "%s%d", heads[h], 16384);
        assert_none(name);
        free(bytes);
    }
}

static void a_name_that_is_there_twice_is_found_among_many(void **state)
{
    unsigned char bytes[3 + 40 * 4], *to;

    (void)state;
    for (int twice = 0; twice < 39; twice++) {
        struct coat_doc *out = NULL;
        struct coat_error err;

        to = coat_wire_put_dict_head(bytes, 40);
        for (int i = 0; i < 40; i++) {
            int n = i == 39 ? twice : i;

            to = coat_wire_put_text_head(to, 2);
            *to++ = (unsigned char)('a' + n / 10);
            *to++ = (unsigned char)('a' + n % 10);
            to = coat_wire_put_nil(to);
        }
        assert_int_equal(coat_doc_parse(&out, bytes, (size_t)(to - bytes), NULL, &err),
                         COAT_ECORRUPT);
        assert_int_equal(err.offset, to - bytes - 4);
    }
}

/* The first and the last field are near each other, in the bytes and in the order. */
static void assert_compact(void)
{
    const void *first, *last;
    const char *name;
    size_t at = 0, name_len, len, steps;

    assert_int_equal(coat_doc_next(doc, &at, &name, &name_len, &first, &len), 1);
    do
        steps = at;
    while (coat_doc_next(doc, &at, &name, &name_len, &last, &len));
    assert_in_range((uintptr_t)last - (uintptr_t)first + 10000, 0, 20000);
    assert_in_range(steps, 1, 100);
}

/* Names come and go for ever, and what they leave behind does not pile up. */
static void garbage_is_cleared_away(void **state)
{
    char name[24];

    (void)state;
    set("stays", "c0");
    for (int i = 0; i < 50000; i++) {
        snprintf(name, sizeof name, "name %d", i);
        assert_int_equal(coat_doc_set(doc, name, strlen(name), "\xa3xyz", 4, NULL), 0);
        assert_int_equal(delete (name), 1);
    }
    set("after", "c0");
    assert_compact();
    assert_written("82a57374617973c0a56166746572c0");
}

static void garbage_of_commits_is_cleared_away(void **state)
{
    (void)state;
    set("stays", "c0");
    for (int i = 0; i < 50000; i++) {
        unsigned char value[9];
        size_t len = (size_t)(coat_wire_put_int(value, i) - value);

        assert_int_equal(coat_doc_set(doc, "counter", 7, value, len, NULL), 0);
        assert_int_equal(coat_doc_commit(doc, NULL), 0);
    }
    assert_compact();
    assert_written("82a57374617973c0a7636f756e746572cdc34f");
}

static void freeing_nothing_is_legal(void **state)
{
    (void)state;
    coat_doc_free(NULL);
}

/* ---- Adding -------------------------------------------------------------------------------- */

static void add(const char *name, int64_t by)
{
    assert_int_equal(coat_doc_add(doc, name, strlen(name), by, NULL), 0);
}

/* The only change there is adds so much; -1: it is none that adds. */
static void assert_adds(int64_t want)
{
    struct coat_change change;
    size_t at = 0;

    assert_int_equal(coat_doc_next_change(doc, &at, &change), 1);
    assert_int_equal(change.adds ? change.added : -1, want);
    assert_int_equal(coat_doc_adds(doc), want != -1);
    assert_int_equal(coat_doc_next_change(doc, &at, &change), 0);
}

static void what_is_added_is_there(void **state)
{
    (void)state;
    parse("81a16105");
    add("a", 3);
    assert_value("a", "08");
    add("a", -9);
    assert_value("a", "ff");
    add("b", 300);
    assert_value("b", "cd012c");
    assert_written("82a161ffa162cd012c");
    assert_changes("a:05>ff b:->cd012c ");
}

static void an_addition_is_known_as_such_until_the_field_is_set(void **state)
{
    (void)state;
    parse("81a16105");
    assert_int_equal(coat_doc_adds(doc), 0);
    add("a", 3);
    add("a", 4);
    assert_adds(7);
    set("a", "0c"); /* what it is */
    assert_adds(-1);
    add("a", 1);
    assert_adds(-1);
    set("a", "05");
    add("a", 2);
    assert_adds(2);
    add("a", -2);
    assert_changes("");
    add("a", 1);
    assert_int_equal(delete ("a"), 1);
    add("a", 1);
    assert_value("a", "01");
    assert_adds(-1);

    parse("80");
    add("n", 0);
    assert_adds(0);
    assert_int_equal(coat_doc_commit(doc, NULL), 0);
    assert_int_equal(coat_doc_adds(doc), 0);
    add("n", 6);
    assert_adds(6);
}

static void what_is_not_a_whole_number_of_64_bits_is_not_added_to(void **state)
{
    static const char *const others[] = {"c0",
                                         "c3",
                                         "cb3ff0000000000000",
                                         "a131",
                                         "9101",
                                         "cfffffffffffffffff",
                                         "c70902010000000000000000"};
    struct coat_error err;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        set("a", others[i]);
        assert_int_equal(coat_doc_add(doc, "a", 1, 1, &err), COAT_ENOTSTORABLE);
        assert_string_equal(err.path, "['a']");
        assert_value("a", others[i]);
    }
    assert_int_equal(coat_doc_add(doc, "\xff", 1, 1, &err), COAT_ENOTSTORABLE);
}

static void a_sum_that_has_no_room_is_refused(void **state)
{
    struct coat_error err;

    (void)state;
    add("a", INT64_MAX);
    assert_int_equal(coat_doc_add(doc, "a", 1, 1, &err), COAT_ELIMIT);
    assert_string_equal(err.reason, "int64");
    assert_value("a", "cf7fffffffffffffff");
    /* -9 is in the record, and what was added to it would need 65 bits */
    parse("81a161f7");
    add("a", INT64_MAX);
    assert_int_equal(coat_doc_add(doc, "a", 1, 1, &err), COAT_ELIMIT);
    parse("81a161d38000000000000000");
    assert_int_equal(coat_doc_add(doc, "a", 1, -1, &err), COAT_ELIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_document_is_an_empty_dict),
        TEST(what_was_parsed_is_there),
        TEST(fields_come_in_their_order),
        TEST(bytes_that_are_no_document_are_refused),
        TEST(what_was_set_is_there),
        TEST(what_was_deleted_is_gone),
        TEST(setting_back_is_unchanged),
        TEST(a_field_that_was_deleted_and_set_comes_last_and_keeps_its_base),
        TEST(committing_makes_mine_the_base),
        TEST(a_change_tells_its_items),
        TEST(names_may_hold_anything_that_is_text),
        TEST(an_empty_name_may_be_null),
        TEST(what_is_added_is_there),
        TEST(an_addition_is_known_as_such_until_the_field_is_set),
        TEST(what_is_not_a_whole_number_of_64_bits_is_not_added_to),
        TEST(a_sum_that_has_no_room_is_refused),
        TEST(req_56_a_bad_value_leaves_the_document_as_it_was),
        TEST(a_packed_value_is_put),
        TEST(a_value_of_the_document_itself_can_be_set),
        TEST(a_name_of_the_document_itself_can_be_set),
        TEST(req_57_every_limit_holds_to_the_last_one),
        TEST(limits_hold_when_parsing),
        TEST(a_document_is_what_a_plain_model_is),
        TEST(thousands_of_fields_are_found),
        TEST(a_name_that_is_there_twice_is_found_among_many),
        TEST(garbage_is_cleared_away),
        TEST(garbage_of_commits_is_cleared_away),
        TEST(freeing_nothing_is_legal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
