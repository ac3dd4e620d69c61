/*
 * A document from any bytes, then any changes to it, beside a model that is a plain array. The
 * input: a byte that chooses the limits, the length of the document in two bytes, the document,
 * and changes: a byte for what is done, one for the field, and for a new value what it is.
 */
#include <string.h>

#include "input.h"
#include "must.h"
#include "plain.h"
#include "api/doc.h"

/* ---- The model ----------------------------------------------------------------------------- */

/* Bytes of the input, or of a constant; NULL: there are none. */
struct bytes {
    const uint8_t *at;
    size_t len;
};

struct entry {
    struct bytes name;
    struct bytes base, mine;
};

enum { ENTRIES = 4096 };

struct model {
    struct coat_limits limits;
    struct entry entries[ENTRIES]; /* in order; those that were deleted have a base and no mine */
    size_t count;
};

static int same(struct bytes a, struct bytes b)
{
    if (a.at == NULL || b.at == NULL)
        return a.at == b.at;
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static struct entry *find(struct model *m, struct bytes name)
{
    for (size_t i = 0; i < m->count; i++)
        if (same(m->entries[i].name, name))
            return &m->entries[i];
    return NULL;
}

static void drop(struct model *m, const struct entry *e)
{
    size_t i = (size_t)(e - m->entries);

    memmove(&m->entries[i], &m->entries[i + 1], (--m->count - i) * sizeof *e);
}

static size_t text_size(size_t len)
{
    return len + (len < 32 ? 1 : len < 256 ? 2 : len < 65536 ? 3 : 5);
}

static size_t dict_head_size(size_t pairs)
{
    return pairs < 16 ? 1 : pairs < 65536 ? 3 : 5;
}

static size_t count_of(const struct model *m)
{
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++)
        count += m->entries[i].mine.at != NULL;
    return count;
}

static size_t size_of(const struct model *m)
{
    size_t size = dict_head_size(count_of(m));

    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].mine.at != NULL)
            size += text_size(m->entries[i].name.len) + m->entries[i].mine.len;
    return size;
}

static size_t items_in(struct bytes value)
{
    struct plain plain;

    plain_check(&plain, value.at, value.len, &(struct coat_limits){1024, SIZE_MAX, 0, SIZE_MAX}, 0);
    must(plain.code == 0);
    return plain.items;
}

static size_t items_of(const struct model *m)
{
    size_t items = 1;

    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].mine.at != NULL)
            items += 1 + items_in(m->entries[i].mine);
    return items;
}

/* The fields of these bytes; 1, or 0 if they are no document. */
static int model_parse(struct model *m, const uint8_t *bytes, size_t len)
{
    struct coat_cursor c;
    struct coat_item head, item;
    struct plain plain;

    m->count = 0;
    plain_check(&plain, bytes, len, &m->limits, 0);
    if (plain.code < 0)
        return 0;
    coat_cursor_init(&c, bytes, len);
    must(coat_cursor_next(&c, &head) == 1);
    if (head.kind != COAT_DICT || head.count > m->limits.max_fields)
        return 0;
    while (coat_cursor_next(&c, &item)) {
        struct bytes name = {item.bytes, item.len}, value = {c.at, 0};

        if (item.kind != COAT_TEXT || find(m, name) != NULL)
            return 0;
        must(m->count < ENTRIES && coat_cursor_skip(&c) == 1);
        value.len = (size_t)(c.at - value.at);
        m->entries[m->count++] = (struct entry){name, value, value};
    }
    must(m->count == head.count);
    return 1;
}

/* 0, or the code of its failure, and then nothing has changed. */
static int model_set(struct model *m, struct bytes name, struct bytes value)
{
    struct coat_limits limits = m->limits;
    struct entry *e = find(m, name), before, now = {.name = name};
    struct plain plain;

    limits.max_depth--;
    if (plain_utf8(name.at, name.len) < name.len)
        return COAT_ENOTSTORABLE;
    plain_check(&plain, value.at, value.len, &limits, 0);
    if (plain.code < 0)
        return plain.code;
    if (e != NULL && e->mine.at != NULL) {
        before = *e;
        e->mine = value;
    } else {
        before = e != NULL ? *e : now;
        if (e != NULL)
            drop(m, e);
        now.base = before.base;
        now.mine = value;
        e = &m->entries[m->count++];
        *e = now;
    }
    if (count_of(m) <= m->limits.max_fields && size_of(m) <= m->limits.max_bytes &&
        items_of(m) <= m->limits.max_items)
        return 0;
    if (before.mine.at == NULL && before.base.at == NULL)
        drop(m, e);
    else
        *e = before; /* one that was deleted is elsewhere now, where nobody sees it */
    return COAT_ELIMIT;
}

static int model_delete(struct model *m, struct bytes name)
{
    struct entry *e = find(m, name);

    if (e == NULL || e->mine.at == NULL)
        return 0;
    e->mine.at = NULL;
    if (e->base.at == NULL)
        drop(m, e);
    return 1;
}

static void model_commit(struct model *m)
{
    for (size_t i = m->count; i-- > 0;) {
        m->entries[i].base = m->entries[i].mine;
        if (m->entries[i].mine.at == NULL)
            drop(m, &m->entries[i]);
    }
}

/* ---- Comparing ----------------------------------------------------------------------------- */

/* The same fields in the same order, each found by its name. */
static void compare_fields(const struct coat_doc *doc, const struct model *m)
{
    struct bytes name, value, got;
    const char *name_at;
    const void *value_at;
    size_t at = 0, i = 0;

    must(coat_doc_count(doc) == count_of(m));
    must(coat_doc_size(doc) == size_of(m));
    for (; coat_doc_next(doc, &at, &name_at, &name.len, &value_at, &value.len); i++) {
        while (i < m->count && m->entries[i].mine.at == NULL)
            i++;
        name.at = (const uint8_t *)name_at;
        value.at = value_at;
        must(i < m->count && same(m->entries[i].name, name) && same(m->entries[i].mine, value));
        must(coat_doc_get(doc, name_at, name.len, &value_at, &got.len) == 1);
        must(value_at == value.at && got.len == value.len);
    }
    for (; i < m->count; i++)
        must(m->entries[i].mine.at == NULL);
}

/* The same changes, each once. */
static void compare_changes(const struct coat_doc *doc, struct model *m)
{
    struct coat_change c;
    size_t at = 0, left = 0;

    for (size_t i = 0; i < m->count; i++)
        left += !same(m->entries[i].base, m->entries[i].mine);
    must(coat_doc_modified(doc) == (left > 0));
    for (; coat_doc_next_change(doc, &at, &c); left--) {
        struct entry *e = find(m, (struct bytes){(const uint8_t *)c.name, c.name_len});
        struct bytes base = {c.base, c.base_len}, mine = {c.mine, c.mine_len};

        must(e != NULL && left > 0);
        must(!same(base, mine) && same(e->base, base) && same(e->mine, mine));
        must(mine.at == NULL || c.mine_items == items_in(mine));
    }
    must(left == 0);
}

/* What it writes is a document of the same fields. */
static void compare_writing(const struct coat_doc *doc, struct model *m)
{
    size_t len = coat_doc_size(doc);
    unsigned char *bytes = malloc(len);
    struct coat_doc *copy;

    must(bytes != NULL);
    must(coat_doc_write(doc, bytes) == bytes + len);
    must(coat_doc_parse(&copy, bytes, len, &m->limits, NULL) == 0);
    must(!coat_doc_modified(copy));
    compare_fields(copy, m);
    coat_doc_free(copy);
    free(bytes);
}

/* ---- Changing ------------------------------------------------------------------------------ */

/* One of the fields that there are, or another name: some are alike in their first 8 bytes. */
static struct bytes choose_name(const struct model *m, unsigned which, struct input *in)
{
    static const uint8_t names[] = "aaaaaaaa\0aaaaaaaab\xc3\xa9\xc3\xaa\xff\0\0";
    struct bytes name = {in->at, which % 16};

    switch (which % 4) {
    case 0:
        if (m->count > 0)
            return m->entries[which / 4 % m->count].name;
        /* fallthrough */
    case 1:
    case 2:
        return (struct bytes){names + which % 13, which / 13 % 13};
    default:
        name.at = take(in, &name.len);
        return name;
    }
}

/* From the input; or small; or so long that what is left over has to be cleared away. */
static struct bytes choose_value(struct input *in)
{
    static const struct {
        uint8_t len;
        const char *at;
    } small[] = {{1, "\xc0"},
                 {1, "\x90"},
                 {4, "\x93\1\2\3"},
                 {4, "\xa3"
                     "abc"},
                 {4, "\xd5\1\x91\xc0"},
                 {4, "\x81\xa1"
                     "a\xc0"},
                 {3, "\x91\x91\x90"}};
    static const uint8_t large[3 + 600] = {0xc5, 600 >> 8, 600 & 0xff};
    unsigned what = take_byte(in);
    struct bytes value = {NULL, what % 32};

    if (what < 0x80)
        return (struct bytes){(const uint8_t *)small[what % 7].at, small[what % 7].len};
    if (what < 0xa0)
        return (struct bytes){large, sizeof large};
    value.at = take(in, &value.len);
    return value;
}

static void set(struct coat_doc *doc, struct model *m, struct bytes name, struct bytes value)
{
    struct coat_error err;
    int rc = coat_doc_set(doc, (const char *)name.at, name.len, value.at, value.len, &err);

    must(rc == model_set(m, name, value));
    must(rc == 0 || (err.code == rc && err.text[0] != '\0'));
}

/* The value of one field, which lies in the document's own memory, to another. */
static void set_from_itself(struct coat_doc *doc, struct model *m, struct bytes from,
                            struct bytes to)
{
    struct entry *e = find(m, from);
    struct bytes got;
    const void *at;

    if (!coat_doc_get(doc, (const char *)from.at, from.len, &at, &got.len)) {
        must(e == NULL || e->mine.at == NULL);
        return;
    }
    got.at = at;
    must(e != NULL && same(e->mine, got));
    got.at = e->mine.at;
    must(coat_doc_set(doc, (const char *)to.at, to.len, at, got.len, NULL) ==
         model_set(m, to, got));
}

static void change(struct coat_doc *doc, struct model *m, struct input *in)
{
    unsigned what = take_byte(in);
    struct bytes name = choose_name(m, take_byte(in), in);

    switch (what % 8) {
    case 0:
        must(coat_doc_commit(doc, NULL) == 0);
        model_commit(m);
        break;
    case 1:
    case 2:
        must(coat_doc_delete(doc, (const char *)name.at, name.len, NULL) == model_delete(m, name));
        break;
    case 3:
        set_from_itself(doc, m, name, choose_name(m, take_byte(in), in));
        break;
    default:
        set(doc, m, name, choose_value(in));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct coat_limits limits[] = {
        {3, 1300, 20, 40}, COAT_LIMITS_DEFAULT, {2, 60, 4, 9}};
    static struct model m;
    struct input in = {bytes, len};
    struct coat_error err;
    struct coat_doc *doc;
    size_t doc_len;
    const uint8_t *start;
    int rc;

    m.limits = limits[take_byte(&in) % 3];
    doc_len = (size_t)take_byte(&in) << 8;
    doc_len |= take_byte(&in);
    start = take(&in, &doc_len);
    rc = coat_doc_parse(&doc, start, doc_len, &m.limits, &err);
    must((rc == 0) == model_parse(&m, start, doc_len));
    if (rc < 0) {
        must(rc == err.code && err.offset <= doc_len && err.text[0] != '\0');
        must(coat_doc_new(&doc, &m.limits, NULL) == 0);
        m.count = 0;
    }
    compare_fields(doc, &m);
    while (in.left > 0 && m.count < ENTRIES / 2) {
        change(doc, &m, &in);
        compare_fields(doc, &m);
        compare_changes(doc, &m);
    }
    compare_writing(doc, &m);
    coat_doc_free(doc);
    return 0;
}
