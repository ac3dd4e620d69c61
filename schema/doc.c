#include <assert.h>
#include <stdlib.h>

#include "api/buf.h"
#include "api/doc.h"
#include "api/error.h"
#include "api/path.h"
#include "api/utf8.h"
#include "api/value.h"
#include "api/wire.h"
#include "check.h"
#include "sort.h"

/* Bytes of a value in coat_doc.bytes. */
struct span {
    size_t at; /* NOWHERE: there is no value */
    uint32_t len;
    uint32_t items; /* values at all levels */
};

#define NOWHERE SIZE_MAX
static const struct span NOTHING = {NOWHERE, 0, 0};

/*
 * A field that is there or was read. Its two values are equal exactly if they are at one place:
 * setting it to what was read puts it back there.
 */
struct field {
    size_t key;        /* where its encoded name is; NOWHERE: gone, for good or to a later place */
    uint32_t name_len; /* without its head */
    uint32_t key_len;  /* with it */
    struct span base;  /* what was read */
    struct span mine;  /* what is there now */
};

/* The index: field numbers in the order of their names. */
struct entry {
    uint64_t prefix; /* the first 8 bytes of the name, big-endian, so that most names differ here */
    size_t field;
};

/* With fewer fields than this, looking at each is faster than an index. */
enum { INDEX_FROM = 17 };

/* What nothing refers to any more is cleared away once it is this much and dominates. */
enum { GARBAGE_MIN = 4096, GONE_MIN = 16 };

struct coat_doc {
    struct coat_limits limits;
    struct coat_buf bytes;  /* encoded names and values; only appended to, until tidied */
    struct coat_buf fields; /* struct field, in the order of the document */
    struct coat_buf index;  /* struct entry; in use from INDEX_FROM fields on */
    size_t gone;            /* fields that went to a later place, or for good */
    size_t live;            /* bytes that a field refers to */
    size_t count;           /* values that there are now */
    size_t size;            /* bytes of these and their names */
    size_t items;           /* values at all levels in these, and their names */
};

static size_t field_count(const struct coat_doc *doc)
{
    return doc->fields.len / sizeof(struct field);
}

static struct field *field_at(const struct coat_doc *doc, size_t i)
{
    return (struct field *)(void *)doc->fields.bytes + i;
}

static size_t entry_count(const struct coat_doc *doc)
{
    return doc->index.len / sizeof(struct entry);
}

static struct entry *entry_at(const struct coat_doc *doc, size_t i)
{
    return (struct entry *)(void *)doc->index.bytes + i;
}

static const unsigned char *name_of(const struct coat_doc *doc, const struct field *f)
{
    return doc->bytes.bytes + f->key + (f->key_len - f->name_len);
}

/* ---- Looking up ---------------------------------------------------------------------------- */

static uint64_t prefix_of(const void *name, size_t len)
{
    unsigned char first[8] = {0};

    memcpy(first, name, len < sizeof first ? len : sizeof first);
    return coat_wire_load64(first);
}

/* The order of the index, of which the prefix is a part already. */
static int compare_names(const void *a, size_t a_len, const void *b, size_t b_len)
{
    int rc = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return rc != 0 ? rc : (a_len > b_len) - (a_len < b_len);
}

static int compare_to_entry(const struct coat_doc *doc, uint64_t prefix, const char *name,
                            size_t len, const struct entry *e)
{
    const struct field *f = field_at(doc, e->field);

    if (prefix != e->prefix)
        return prefix < e->prefix ? -1 : 1;
    return compare_names(name, len, name_of(doc, f), f->name_len);
}

static int compare_entry_names(const struct coat_doc *doc, const struct entry *a,
                               const struct entry *b)
{
    const struct field *f = field_at(doc, a->field);

    return compare_to_entry(doc, a->prefix, (const char *)name_of(doc, f), f->name_len, b);
}

/* For coat_sort; names that are equal stay in the order of their fields. */
static int compare_entries(const void *doc, const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int rc = compare_entry_names(doc, x, y);

    return rc != 0 ? rc : (x->field > y->field) - (x->field < y->field);
}

/* The first entry that is not before the name; *found tells whether it is the name's. */
static size_t lower_bound(const struct coat_doc *doc, const char *name, size_t len, int *found)
{
    uint64_t prefix = prefix_of(name, len);
    size_t low = 0, high = entry_count(doc);

    *found = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int rc = compare_to_entry(doc, prefix, name, len, entry_at(doc, middle));

        if (rc == 0) {
            *found = 1;
            return middle;
        }
        if (rc < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int is_indexed(const struct coat_doc *doc)
{
    return field_count(doc) >= INDEX_FROM;
}

/* The number of the field of that name, or NOWHERE. */
static size_t find(const struct coat_doc *doc, const char *name, size_t len)
{
    size_t count = field_count(doc);
    int found;

    if (is_indexed(doc)) {
        size_t at = lower_bound(doc, name, len, &found);

        return found ? entry_at(doc, at)->field : NOWHERE;
    }
    for (size_t i = 0; i < count; i++) {
        const struct field *f = field_at(doc, i);

        if (f->key != NOWHERE && f->name_len == len && memcmp(name_of(doc, f), name, len) == 0)
            return i;
    }
    return NOWHERE;
}

/* Sort all names into the index, if there is to be one; it has room for them. */
static void fill_index(struct coat_doc *doc)
{
    size_t count = field_count(doc), entries = 0;

    if (is_indexed(doc)) {
        for (size_t i = 0; i < count; i++) {
            const struct field *f = field_at(doc, i);

            if (f->key != NOWHERE)
                *entry_at(doc, entries++) =
                    (struct entry){prefix_of(name_of(doc, f), f->name_len), i};
        }
        coat_sort(doc->index.bytes, entries, sizeof(struct entry), compare_entries, doc);
    }
    doc->index.len = entries * sizeof(struct entry);
}

/* Room for the names of `count` fields. */
static int reserve_index(struct coat_doc *doc, size_t count)
{
    size_t size;

    if (count < INDEX_FROM)
        return 0;
    if (!coat_size_mul(count, sizeof(struct entry), &size))
        return COAT_ENOMEM;
    return size <= doc->index.len ? 0 : coat_buf_reserve(&doc->index, size - doc->index.len);
}

/* In an index in use: the name of the last field leads to it, and no more to an earlier one. */
static void index_last(struct coat_doc *doc)
{
    size_t last = field_count(doc) - 1, entries = entry_count(doc), at;
    const struct field *f = field_at(doc, last);
    const char *name = (const char *)name_of(doc, f);
    int found;

    at = lower_bound(doc, name, f->name_len, &found);
    if (!found) {
        memmove(entry_at(doc, at + 1), entry_at(doc, at), (entries - at) * sizeof(struct entry));
        entry_at(doc, at)->prefix = prefix_of(name, f->name_len);
        doc->index.len += sizeof(struct entry);
    }
    entry_at(doc, at)->field = last;
}

/* The name leads nowhere any more. */
static void unindex(struct coat_doc *doc, const struct field *f)
{
    size_t at, entries = entry_count(doc);
    int found;

    if (!is_indexed(doc))
        return;
    at = lower_bound(doc, (const char *)name_of(doc, f), f->name_len, &found);
    assert(found);
    memmove(entry_at(doc, at), entry_at(doc, at + 1), (entries - at - 1) * sizeof(struct entry));
    doc->index.len -= sizeof(struct entry);
}

/* ---- Tidying ------------------------------------------------------------------------------- */

static size_t bytes_of(const struct field *f)
{
    size_t size = 0;

    if (f->key != NOWHERE)
        size += (size_t)f->key_len + f->base.len;
    return f->mine.at == f->base.at ? size : size + f->mine.len;
}

/* Close the gaps that fields left which are gone. */
static void drop_gone(struct coat_doc *doc)
{
    size_t count = field_count(doc), kept = 0;

    for (size_t i = 0; i < count; i++)
        if (field_at(doc, i)->key != NOWHERE)
            *field_at(doc, kept++) = *field_at(doc, i);
    doc->fields.len = kept * sizeof(struct field);
    doc->gone = 0;
    fill_index(doc);
}

/* Append bytes of the document to `to`, which has room. Returns where they are there. */
static size_t move_bytes(const struct coat_doc *doc, struct coat_buf *to, size_t at, size_t len)
{
    size_t there = to->len;

    memcpy(coat_buf_end(to), doc->bytes.bytes + at, len);
    to->len += len;
    return there;
}

/* Copy what is referred to into memory of its own size. If there is none: another time. */
static void drop_garbage(struct coat_doc *doc)
{
    struct coat_buf to = COAT_BUF_INIT;
    size_t count = field_count(doc);

    if (coat_buf_reserve(&to, doc->live) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct field *f = field_at(doc, i);
        int same = f->mine.at == f->base.at;

        if (f->key == NOWHERE)
            continue;
        f->key = move_bytes(doc, &to, f->key, f->key_len);
        if (f->mine.at != NOWHERE)
            f->mine.at = move_bytes(doc, &to, f->mine.at, f->mine.len);
        if (same)
            f->base.at = f->mine.at;
        else if (f->base.at != NOWHERE)
            f->base.at = move_bytes(doc, &to, f->base.at, f->base.len);
    }
    coat_buf_release(&doc->bytes);
    doc->bytes = to;
}

static void tidy(struct coat_doc *doc)
{
    if (doc->gone >= GONE_MIN && doc->gone > field_count(doc) / 2)
        drop_gone(doc);
    if (doc->bytes.len >= GARBAGE_MIN && doc->live < doc->bytes.len / 2)
        drop_garbage(doc);
}

/* ---- Life ---------------------------------------------------------------------------------- */

int coat_doc_new(struct coat_doc **out, const struct coat_limits *limits, struct coat_error *err)
{
    struct coat_doc *doc = calloc(1, sizeof *doc);

    if (doc == NULL)
        return coat_error_nomem(err);
    doc->limits = coat_limits_effective(limits);
    *out = doc;
    return 0;
}

void coat_doc_free(struct coat_doc *doc)
{
    if (doc == NULL)
        return;
    coat_buf_release(&doc->bytes);
    coat_buf_release(&doc->fields);
    coat_buf_release(&doc->index);
    free(doc);
}

static int too_deep(const struct coat_doc *doc, struct coat_error *err)
{
    return coat_error_because(
        err, COAT_ELIMIT, "max_depth",
        "more containers within each other than the limit max_depth of %zu, the document included",
        doc->limits.max_depth);
}

static int too_many_fields(const struct coat_doc *doc, struct coat_error *err)
{
    return coat_error_because(err, COAT_ELIMIT, "max_fields",
                              "more fields than the limit max_fields of %zu",
                              doc->limits.max_fields);
}

/* Read the head of the document: how many fields there are, and room for them. */
static int parse_head(struct coat_doc *doc, struct coat_checker *c, size_t *count)
{
    struct coat_wire_head h;
    const unsigned char *first = coat_wire_read(c->at, c->end, 1, &h);
    size_t len = (size_t)(c->end - c->start), size;

    if (first == NULL)
        return coat_checker_corrupt(c, c->at, "value", h.v.fault);
    if (h.kind != COAT_DICT)
        return coat_checker_corrupt(c, c->at, coat_kind_name(h.kind),
                                    "is not a dict, as a document is");
    if (doc->limits.max_depth == 0)
        return too_deep(doc, c->err);
    if (h.len > doc->limits.max_fields)
        return too_many_fields(doc, c->err);
    if (coat_checker_count(c, c->at) < 0)
        return COAT_ELIMIT;
    if (!coat_size_mul(h.len, sizeof(struct field), &size) ||
        coat_buf_reserve(&doc->fields, size) < 0 || reserve_index(doc, h.len) < 0 ||
        coat_buf_append(&doc->bytes, c->start, len) < 0)
        return coat_error_nomem(c->err);
    c->at = first;
    c->max_depth = doc->limits.max_depth - 1;
    *count = h.len;
    return 0;
}

/* Check one field and note where it is. */
static int parse_field(struct coat_doc *doc, struct coat_checker *c)
{
    const unsigned char *key = c->at, *name, *value;
    struct coat_wire_head h;
    struct field f;
    size_t items;
    int rc = coat_checker_value(c);

    if (rc < 0)
        return rc;
    name = coat_wire_read(key, c->end, 0, &h);
    if (h.kind != COAT_TEXT)
        return coat_checker_corrupt(c, key, "name of a field", "is not text");
    value = c->at;
    items = c->items;
    rc = coat_checker_value(c);
    if (rc < 0)
        return rc;
    f = (struct field){
        .key = (size_t)(key - c->start),
        .name_len = (uint32_t)h.len,
        .key_len = (uint32_t)((size_t)(name - key) + h.len),
        .base = {(size_t)(value - c->start), (uint32_t)(c->at - value),
                 (uint32_t)(c->items - items)},
    };
    f.mine = f.base;
    doc->size += (size_t)f.key_len + f.mine.len;
    doc->items += (size_t)f.mine.items + 1;
    doc->count++;
    return coat_buf_append(&doc->fields, &f, sizeof f); /* has room */
}

/* The first field that has the name of an earlier one, or NOWHERE. */
static size_t find_twin(const struct coat_doc *doc)
{
    size_t count = field_count(doc), twin = NOWHERE;

    for (size_t i = 1; is_indexed(doc) && i < count; i++)
        if (compare_entry_names(doc, entry_at(doc, i - 1), entry_at(doc, i)) == 0 &&
            entry_at(doc, i)->field < twin)
            twin = entry_at(doc, i)->field;
    for (size_t i = 1; !is_indexed(doc) && i < count && twin == NOWHERE; i++) {
        const struct field *f = field_at(doc, i);

        if (find(doc, (const char *)name_of(doc, f), f->name_len) < i)
            twin = i;
    }
    return twin;
}

/* All fields are there: index them. */
static int parse_index(struct coat_doc *doc, struct coat_checker *c)
{
    size_t twin;

    fill_index(doc);
    twin = find_twin(doc);
    if (twin == NOWHERE)
        return 0;
    return coat_checker_corrupt(c, c->start + field_at(doc, twin)->key, "name of a field",
                                "is that of an earlier one");
}

static int parse(struct coat_doc *doc, struct coat_checker *c)
{
    size_t count = 0;
    int rc = parse_head(doc, c, &count);

    while (rc == 0 && count-- > 0)
        rc = parse_field(doc, c);
    if (rc == 0)
        rc = coat_checker_end(c);
    if (rc == 0)
        rc = parse_index(doc, c);
    doc->live = doc->size;
    return rc;
}

int coat_doc_parse(struct coat_doc **out, const void *bytes, size_t len,
                   const struct coat_limits *limits, struct coat_error *err)
{
    struct coat_checker c;
    struct coat_doc *doc;
    int rc = coat_checker_init(&c, bytes, len, limits, 0, err);

    if (rc == 0)
        rc = coat_doc_new(&doc, limits, err);
    if (rc < 0)
        return rc;
    rc = parse(doc, &c);
    coat_checker_release(&c);
    if (rc < 0)
        coat_doc_free(doc);
    else
        *out = doc;
    return rc;
}

/* ---- Reading ------------------------------------------------------------------------------- */

const struct coat_limits *coat_doc_limits(const struct coat_doc *doc)
{
    return &doc->limits;
}

size_t coat_doc_count(const struct coat_doc *doc)
{
    return doc->count;
}

int coat_doc_get(const struct coat_doc *doc, const char *name, size_t name_len, const void **value,
                 size_t *len)
{
    size_t number = find(doc, name, name_len);
    const struct field *f;

    if (number == NOWHERE)
        return 0;
    f = field_at(doc, number);
    if (f->mine.at == NOWHERE)
        return 0;
    *value = doc->bytes.bytes + f->mine.at;
    *len = f->mine.len;
    return 1;
}

int coat_doc_cursor(const struct coat_doc *doc, const char *name, struct coat_cursor *c)
{
    const void *value = NULL;
    size_t len = 0;
    int found = coat_doc_get(doc, name, strlen(name), &value, &len);

    coat_cursor_init(c, value, len);
    return found;
}

int coat_doc_next(const struct coat_doc *doc, size_t *at, const char **name, size_t *name_len,
                  const void **value, size_t *len)
{
    size_t count = field_count(doc);

    while (*at < count) {
        const struct field *f = field_at(doc, (*at)++);

        if (f->mine.at == NOWHERE)
            continue;
        *name = (const char *)name_of(doc, f);
        *name_len = f->name_len;
        *value = doc->bytes.bytes + f->mine.at;
        *len = f->mine.len;
        return 1;
    }
    return 0;
}

static const void *bytes_at(const struct coat_doc *doc, struct span s)
{
    return s.at == NOWHERE ? NULL : doc->bytes.bytes + s.at;
}

int coat_doc_next_change(const struct coat_doc *doc, size_t *at, struct coat_change *change)
{
    size_t count = field_count(doc);

    while (*at < count) {
        const struct field *f = field_at(doc, (*at)++);

        if (f->mine.at == f->base.at)
            continue;
        *change = (struct coat_change){
            .name = (const char *)name_of(doc, f),
            .name_len = f->name_len,
            .base = bytes_at(doc, f->base),
            .base_len = f->base.len,
            .mine = bytes_at(doc, f->mine),
            .mine_len = f->mine.len,
            .mine_items = f->mine.items,
        };
        return 1;
    }
    return 0;
}

int coat_doc_modified(const struct coat_doc *doc)
{
    struct coat_change change;
    size_t at = 0;

    return coat_doc_next_change(doc, &at, &change);
}

/* ---- Changing ------------------------------------------------------------------------------ */

static int check_name(const char *name, size_t len, struct coat_error *err)
{
    if (len > COAT_BYTES_MAX)
        return coat_error_because(err, COAT_ELIMIT, "max_bytes", "the name of a field is too long");
    if (coat_utf8_valid(name, len) != len)
        return coat_error_set(err, COAT_ENOTSTORABLE, "the name of a field is not UTF-8");
    return 0;
}

/* Totals of a document, as they would be. */
struct totals {
    size_t count;
    size_t size;
    size_t items;
};

static size_t head_size(size_t count)
{
    unsigned char head[COAT_WIRE_HEAD_MAX];

    return (size_t)(coat_wire_put_dict_head(head, count) - head);
}

static int check_totals(const struct coat_doc *doc, const struct totals *t, struct coat_error *err)
{
    const struct coat_limits *l = &doc->limits;

    if (l->max_depth == 0)
        return too_deep(doc, err);
    if (t->count > l->max_fields)
        return too_many_fields(doc, err);
    if (t->size > l->max_bytes || head_size(t->count) > l->max_bytes - t->size)
        return coat_error_because(err, COAT_ELIMIT, "max_bytes",
                                  "the document would have more bytes than the limit max_bytes of "
                                  "%zu",
                                  l->max_bytes);
    if (t->items >= l->max_items)
        return coat_error_because(err, COAT_ELIMIT, "max_items",
                                  "the document would have more values at all levels than the "
                                  "limit max_items of %zu",
                                  l->max_items);
    return 0;
}

/* What is added here cannot overflow: every part has passed a limit on bytes. */
static struct totals totals_with(const struct coat_doc *doc, const struct field *f, size_t len,
                                 size_t items)
{
    struct totals t = {doc->count + 1, doc->size + f->key_len + len, doc->items + 1 + items};

    if (f->mine.at != NOWHERE) {
        t.count--;
        t.size -= (size_t)f->key_len + f->mine.len;
        t.items -= (size_t)f->mine.items + 1;
    }
    return t;
}

static int is_at(const struct coat_doc *doc, struct span s, const void *value, size_t len)
{
    return s.at != NOWHERE && s.len == len && memcmp(doc->bytes.bytes + s.at, value, len) == 0;
}

/* Where `bytes` are within the document's own, or NOWHERE. */
static size_t place_of(const struct coat_doc *doc, const void *bytes)
{
    uintptr_t start = (uintptr_t)doc->bytes.bytes, p = (uintptr_t)bytes;

    return p >= start && p - start < doc->bytes.len ? p - start : NOWHERE;
}

/* Room for one field more, and last for `more` bytes: a name or value of the document's own moves.
 */
static int reserve(struct coat_doc *doc, size_t more, const char **name, const void **value)
{
    size_t name_at = place_of(doc, *name), value_at = place_of(doc, *value);

    if (coat_buf_reserve(&doc->fields, sizeof(struct field)) < 0 ||
        reserve_index(doc, field_count(doc) + 1) < 0 || coat_buf_reserve(&doc->bytes, more) < 0)
        return COAT_ENOMEM;
    if (name_at != NOWHERE)
        *name = (const char *)doc->bytes.bytes + name_at;
    if (value_at != NOWHERE)
        *value = doc->bytes.bytes + value_at;
    return 0;
}

/* A field that is not there yet. */
static struct field new_field(size_t len)
{
    unsigned char head[COAT_WIRE_HEAD_MAX];
    size_t head_len = (size_t)(coat_wire_put_text_head(head, len) - head);

    return (struct field){NOWHERE, (uint32_t)len, (uint32_t)(head_len + len), NOTHING, NOTHING};
}

/* The field is not at this place any more. */
static void retire(struct coat_doc *doc, size_t number)
{
    field_at(doc, number)->key = NOWHERE;
    field_at(doc, number)->base = field_at(doc, number)->mine = NOTHING;
    doc->gone++;
}

/* A field that was not there, or was deleted, is the last one now. All has room. */
static void append_field(struct coat_doc *doc, const struct field *f, size_t earlier)
{
    int indexed = is_indexed(doc);

    memcpy(coat_buf_end(&doc->fields), f, sizeof *f);
    doc->fields.len += sizeof *f;
    if (indexed)
        index_last(doc);
    if (earlier != NOWHERE)
        retire(doc, earlier);
    if (!indexed)
        fill_index(doc);
}

/* coat_doc_set of what needs no check but for the limits of the whole. */
static int set(struct coat_doc *doc, const char *name, size_t name_len, const void *value,
               size_t len, size_t items, struct coat_error *err)
{
    size_t number = find(doc, name, name_len), size = 0;
    struct field old = number != NOWHERE ? *field_at(doc, number) : new_field(name_len), f = old;
    struct totals t = totals_with(doc, &old, len, items);
    int rc = check_totals(doc, &t, err), is_base;

    if (rc < 0)
        return rc;
    if (is_at(doc, old.mine, value, len))
        return 0;
    is_base = is_at(doc, old.base, value, len);
    if (f.key == NOWHERE)
        size += f.key_len;
    if (!is_base)
        size += len;
    if (reserve(doc, size, &name, &value) < 0)
        return coat_error_nomem(err);

    if (f.key == NOWHERE) {
        f.key = doc->bytes.len;
        coat_buf_took(&doc->bytes, coat_wire_put_raw(
                                       coat_wire_put_text_head(coat_buf_end(&doc->bytes), name_len),
                                       name, name_len));
    }
    f.mine = f.base;
    if (!is_base) {
        f.mine = (struct span){doc->bytes.len, (uint32_t)len, (uint32_t)items};
        coat_buf_took(&doc->bytes, coat_wire_put_raw(coat_buf_end(&doc->bytes), value, len));
    }
    if (old.mine.at == NOWHERE)
        append_field(doc, &f, number);
    else
        *field_at(doc, number) = f;
    doc->live = doc->live - bytes_of(&old) + bytes_of(&f);
    doc->count = t.count;
    doc->size = t.size;
    doc->items = t.items;
    tidy(doc);
    return 0;
}

/* A failure is one of this field. */
static int in_field(int rc, const char *name, size_t name_len, struct coat_error *err)
{
    if (rc < 0)
        coat_path_prepend_text(err, name, name_len);
    return rc;
}

int coat_doc_set_checked(struct coat_doc *doc, const char *name, size_t name_len, const void *value,
                         size_t len, size_t items, struct coat_error *err)
{
    int rc = check_name(name, name_len, err);

    return rc < 0 ? rc
                  : in_field(set(doc, name, name_len, value, len, items, err), name, name_len, err);
}

/* The limits on a value within the document. */
static struct coat_limits value_limits(const struct coat_doc *doc)
{
    struct coat_limits l = doc->limits;

    if (l.max_depth > 0)
        l.max_depth--;
    return l;
}

int coat_doc_set(struct coat_doc *doc, const char *name, size_t name_len, const void *value,
                 size_t len, struct coat_error *err)
{
    struct coat_limits limits = value_limits(doc);
    size_t items = 0;
    int rc = check_name(name, name_len, err);

    if (rc < 0)
        return rc;
    rc = coat_check(value, len, &limits, 0, &items, err);
    if (rc == 0)
        rc = set(doc, name, name_len, value, len, items, err);
    return in_field(rc, name, name_len, err);
}

int coat_doc_put(struct coat_doc *doc, const char *name, struct coat_packer *p,
                 struct coat_error *err)
{
    size_t name_len = strlen(name), len = 0;
    const void *value = NULL;
    int rc = check_name(name, name_len, err);

    if (rc == 0) {
        rc = coat_packer_finish(p, &value, &len, err);
        if (rc == 0 && coat_packer_depth(p) > value_limits(doc).max_depth)
            rc = too_deep(doc, err);
        if (rc == 0)
            rc = set(doc, name, name_len, value, len, coat_packer_items(p), err);
        in_field(rc, name, name_len, err);
    }
    coat_packer_reset(p);
    return rc;
}

int coat_doc_delete(struct coat_doc *doc, const char *name, size_t name_len, struct coat_error *err)
{
    size_t number = find(doc, name, name_len);
    struct field *f, old;

    (void)err; /* nothing is allocated that cannot be done without */
    if (number == NOWHERE || field_at(doc, number)->mine.at == NOWHERE)
        return 0;
    f = field_at(doc, number);
    old = *f;
    f->mine = NOTHING;
    if (f->base.at == NOWHERE) {
        unindex(doc, f);
        retire(doc, number);
    }
    doc->live = doc->live - bytes_of(&old) + bytes_of(f);
    doc->count--;
    doc->size -= (size_t)old.key_len + old.mine.len;
    doc->items -= (size_t)old.mine.items + 1;
    tidy(doc);
    return 1;
}

int coat_doc_commit(struct coat_doc *doc, struct coat_error *err)
{
    size_t count = field_count(doc), gone = doc->gone;

    (void)err;
    for (size_t i = 0; i < count; i++) {
        struct field *f = field_at(doc, i);

        f->base = f->mine;
        if (f->key != NOWHERE && f->mine.at == NOWHERE)
            retire(doc, i);
    }
    doc->live = doc->size;
    if (doc->gone > gone)
        drop_gone(doc);
    tidy(doc);
    return 0;
}

/* ---- Writing ------------------------------------------------------------------------------- */

size_t coat_doc_size(const struct coat_doc *doc)
{
    return head_size(doc->count) + doc->size;
}

static unsigned char *copy_run(const struct coat_doc *doc, unsigned char *to, size_t from,
                               size_t end)
{
    return end > from ? coat_wire_put_raw(to, doc->bytes.bytes + from, end - from) : to;
}

unsigned char *coat_doc_write(const struct coat_doc *doc, unsigned char *to)
{
    size_t count = field_count(doc);
    size_t from = 0, end = 0; /* bytes that lie together are copied together */

    to = coat_wire_put_dict_head(to, doc->count);
    for (size_t i = 0; i < count; i++) {
        const struct field *f = field_at(doc, i);

        if (f->mine.at == NOWHERE)
            continue;
        if (f->key != end) {
            to = copy_run(doc, to, from, end);
            from = f->key;
        }
        end = f->key + f->key_len;
        if (f->mine.at != end) {
            to = copy_run(doc, to, from, end);
            from = f->mine.at;
        }
        end = f->mine.at + f->mine.len;
    }
    return copy_run(doc, to, from, end);
}
