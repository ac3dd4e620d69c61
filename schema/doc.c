#include <stdlib.h>

#include "api/doc.h"
#include "api/error.h"
#include "api/path.h"
#include "api/utf8.h"
#include "api/value.h"
#include "api/wire.h"
#include "check.h"
#include "field.h"
#include "names.h"

struct coat_doc {
    struct coat_limits limits;
    struct coat_fields fields;
    struct coat_names names; /* of the fields */
    size_t count;            /* values that there are now */
    size_t size;             /* bytes of these and their names */
    size_t items;            /* values at all levels in these, and their names */
};

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
    coat_fields_release(&doc->fields);
    coat_names_release(&doc->names);
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
    if (!coat_size_mul(h.len, sizeof(struct coat_field), &size) ||
        coat_buf_reserve(&doc->fields.table, size) < 0 ||
        coat_names_reserve(&doc->names, h.len) < 0 ||
        coat_buf_append(&doc->fields.bytes, c->start, len) < 0)
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
    struct coat_field f;
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
    f = (struct coat_field){
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
    coat_fields_append(&doc->fields, &f);
    return 0;
}

/* All fields are there: index them. */
static int parse_index(struct coat_doc *doc, struct coat_checker *c)
{
    size_t twin;

    coat_names_fill(&doc->names, &doc->fields);
    twin = coat_names_find_twin(&doc->names, &doc->fields);
    if (twin == COAT_NOWHERE)
        return 0;
    return coat_checker_corrupt(c, c->start + coat_fields_at(&doc->fields, twin)->key,
                                "name of a field", "is that of an earlier one");
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
    size_t number = coat_names_find(&doc->names, &doc->fields, name, name_len);
    const struct coat_field *f;

    if (number == COAT_NOWHERE)
        return 0;
    f = coat_fields_at(&doc->fields, number);
    if (f->mine.at == COAT_NOWHERE)
        return 0;
    *value = coat_fields_bytes(&doc->fields, f->mine.at);
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
    size_t count = coat_fields_count(&doc->fields);

    while (*at < count) {
        const struct coat_field *f = coat_fields_at(&doc->fields, (*at)++);

        if (f->mine.at == COAT_NOWHERE)
            continue;
        *name = coat_fields_name(&doc->fields, f);
        *name_len = f->name_len;
        *value = coat_fields_bytes(&doc->fields, f->mine.at);
        *len = f->mine.len;
        return 1;
    }
    return 0;
}

static const void *bytes_at(const struct coat_doc *doc, struct coat_span s)
{
    return s.at == COAT_NOWHERE ? NULL : coat_fields_bytes(&doc->fields, s.at);
}

/* 1 and a whole number of 64 bits; no value at all is 0. 0: it is something else. */
static int read_number(const struct coat_doc *doc, struct coat_span s, int64_t *number)
{
    struct coat_cursor c;
    struct coat_item item;

    *number = 0;
    if (s.at == COAT_NOWHERE)
        return 1;
    coat_cursor_init(&c, bytes_at(doc, s), s.len);
    if (!coat_cursor_next(&c, &item) || item.kind != COAT_INT || item.is_unsigned || item.is_big)
        return 0;
    *number = item.i;
    return 1;
}

/* The same where it is known to be one. */
static int64_t number_in(const struct coat_doc *doc, struct coat_span s)
{
    int64_t number;

    read_number(doc, s, &number);
    return number;
}

int coat_doc_next_change(const struct coat_doc *doc, size_t *at, struct coat_change *change)
{
    size_t count = coat_fields_count(&doc->fields);

    while (*at < count) {
        const struct coat_field *f = coat_fields_at(&doc->fields, (*at)++);

        if (f->mine.at == f->base.at)
            continue;
        *change = (struct coat_change){
            .name = coat_fields_name(&doc->fields, f),
            .name_len = f->name_len,
            .base = bytes_at(doc, f->base),
            .base_len = f->base.len,
            .mine = bytes_at(doc, f->mine),
            .mine_len = f->mine.len,
            .mine_items = f->mine.items,
            .adds = (int)f->adds,
        };
        if (f->adds)
            change->added = number_in(doc, f->mine) - number_in(doc, f->base);
        return 1;
    }
    return 0;
}

int coat_doc_adds(const struct coat_doc *doc)
{
    struct coat_change change;

    for (size_t at = 0; coat_doc_next_change(doc, &at, &change);)
        if (change.adds)
            return 1;
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
static struct totals totals_with(const struct coat_doc *doc, const struct coat_field *f, size_t len,
                                 size_t items)
{
    struct totals t = {doc->count + 1, doc->size + f->key_len + len, doc->items + 1 + items};

    if (f->mine.at != COAT_NOWHERE) {
        t.count--;
        t.size -= (size_t)f->key_len + f->mine.len;
        t.items -= (size_t)f->mine.items + 1;
    }
    return t;
}

/* A field that was not there, or was deleted, is the last one now. All has room. */
static void append_field(struct coat_doc *doc, const struct coat_field *f, size_t earlier)
{
    coat_fields_append(&doc->fields, f);
    coat_names_add_last(&doc->names, &doc->fields, earlier);
    if (earlier != COAT_NOWHERE)
        coat_fields_retire(&doc->fields, earlier);
}

static void close_gaps(struct coat_doc *doc)
{
    coat_fields_drop_gone(&doc->fields);
    coat_names_fill(&doc->names, &doc->fields);
}

/* Clear away what nothing refers to any more, where it dominates. */
static void tidy(struct coat_doc *doc)
{
    if (coat_fields_have_gaps(&doc->fields))
        close_gaps(doc);
    coat_fields_drop_garbage(&doc->fields);
}

/* coat_doc_set of what needs no check but for the limits of the whole. */
static int set(struct coat_doc *doc, const char *name, size_t name_len, const void *value,
               size_t len, size_t items, struct coat_error *err)
{
    size_t number = coat_names_find(&doc->names, &doc->fields, name, name_len), size = 0;
    struct coat_field f =
        number != COAT_NOWHERE ? *coat_fields_at(&doc->fields, number) : coat_field_new(name_len);
    struct totals t = totals_with(doc, &f, len, items);
    int rc = check_totals(doc, &t, err), is_new = f.mine.at == COAT_NOWHERE, is_base, is_sum;

    if (rc < 0)
        return rc;
    is_sum = f.adds != 0;
    f.adds = 0;
    if (coat_fields_value_is(&doc->fields, f.mine, value, len)) {
        if (is_sum)
            coat_fields_replace(&doc->fields, number, &f);
        return 0;
    }
    is_base = coat_fields_value_is(&doc->fields, f.base, value, len);
    if (f.key == COAT_NOWHERE)
        size += f.key_len;
    if (!is_base)
        size += len;
    if (coat_names_reserve(&doc->names, coat_fields_count(&doc->fields) + 1) < 0 ||
        coat_fields_reserve(&doc->fields, size, &name, &value) < 0)
        return coat_error_nomem(err);

    if (f.key == COAT_NOWHERE)
        f.key = coat_fields_add_name(&doc->fields, name, name_len);
    f.mine = is_base ? f.base : coat_fields_add_value(&doc->fields, value, len, items);
    if (is_new)
        append_field(doc, &f, number);
    else
        coat_fields_replace(&doc->fields, number, &f);
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

/* What the field is with `by` more than it has. */
static int add_up(const struct coat_doc *doc, const struct coat_field *f, int64_t by, int64_t *sum,
                  struct coat_error *err)
{
    int64_t number, base, added;

    if (!read_number(doc, f->mine, &number))
        return coat_error_because(err, COAT_ENOTSTORABLE, "number",
                                  "this is not a whole number of 64 bits, so nothing can be added "
                                  "to it");
    base = f->adds ? number_in(doc, f->base) : number;
    if (__builtin_add_overflow(number, by, sum) || __builtin_sub_overflow(*sum, base, &added))
        return coat_error_because(err, COAT_ELIMIT, "int64",
                                  "the sum would be beyond 64 bits, or too far from what was read");
    return 0;
}

int coat_doc_add(struct coat_doc *doc, const char *name, size_t name_len, int64_t by,
                 struct coat_error *err)
{
    size_t number = coat_names_find(&doc->names, &doc->fields, name, name_len), len;
    struct coat_field f =
        number != COAT_NOWHERE ? *coat_fields_at(&doc->fields, number) : coat_field_new(name_len);
    int adds = f.adds || f.mine.at == f.base.at;
    unsigned char bytes[COAT_WIRE_SCALAR_MAX];
    int64_t sum = 0;
    int rc = check_name(name, name_len, err);

    if (rc < 0)
        return rc;
    rc = add_up(doc, &f, by, &sum, err);
    len = (size_t)(coat_wire_put_int(bytes, sum) - bytes);
    if (rc == 0)
        rc = set(doc, name, name_len, bytes, len, 1, err);
    if (rc < 0)
        return in_field(rc, name, name_len, err);
    number = coat_names_find(&doc->names, &doc->fields, name, name_len);
    f = *coat_fields_at(&doc->fields, number);
    f.adds = adds && f.mine.at != f.base.at;
    coat_fields_replace(&doc->fields, number, &f);
    return 0;
}

int coat_doc_delete(struct coat_doc *doc, const char *name, size_t name_len, struct coat_error *err)
{
    size_t number = coat_names_find(&doc->names, &doc->fields, name, name_len);
    struct coat_field f;

    (void)err; /* nothing is allocated that cannot be done without */
    if (number == COAT_NOWHERE || coat_fields_at(&doc->fields, number)->mine.at == COAT_NOWHERE)
        return 0;
    f = *coat_fields_at(&doc->fields, number);
    doc->count--;
    doc->size -= (size_t)f.key_len + f.mine.len;
    doc->items -= (size_t)f.mine.items + 1;
    if (f.base.at == COAT_NOWHERE) {
        coat_names_remove(&doc->names, &doc->fields, number);
        coat_fields_retire(&doc->fields, number);
    } else {
        f.mine = COAT_NO_VALUE;
        f.adds = 0;
        coat_fields_replace(&doc->fields, number, &f);
    }
    tidy(doc);
    return 1;
}

int coat_doc_commit(struct coat_doc *doc, struct coat_error *err)
{
    size_t count = coat_fields_count(&doc->fields), gone = doc->fields.gone;

    (void)err;
    for (size_t i = 0; i < count; i++) {
        struct coat_field f;

        if (coat_fields_at(&doc->fields, i)->mine.at == coat_fields_at(&doc->fields, i)->base.at)
            continue;
        f = *coat_fields_at(&doc->fields, i);
        f.base = f.mine;
        f.adds = 0;
        coat_fields_replace(&doc->fields, i, &f);
        if (f.mine.at == COAT_NOWHERE)
            coat_fields_retire(&doc->fields, i);
    }
    if (doc->fields.gone > gone)
        close_gaps(doc);
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
    return end > from ? coat_wire_put_raw(to, coat_fields_bytes(&doc->fields, from), end - from)
                      : to;
}

unsigned char *coat_doc_write(const struct coat_doc *doc, unsigned char *to)
{
    size_t count = coat_fields_count(&doc->fields);
    size_t from = 0, end = 0; /* bytes that lie together are copied together */

    to = coat_wire_put_dict_head(to, doc->count);
    for (size_t i = 0; i < count; i++) {
        const struct coat_field *f = coat_fields_at(&doc->fields, i);

        if (f->mine.at == COAT_NOWHERE)
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
