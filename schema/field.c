#include "field.h"
#include "api/wire.h"

/* What nothing refers to any more is cleared away once it is this much and dominates. */
enum { GARBAGE_MIN = 4096, GONE_MIN = 16 };

static struct coat_field *field_at(struct coat_fields *fields, size_t number)
{
    return (struct coat_field *)(void *)fields->table.bytes + number;
}

/* The bytes that it refers to. */
static size_t size_of(const struct coat_field *f)
{
    size_t size = 0;

    if (f->key != COAT_NOWHERE)
        size += (size_t)f->key_len + f->base.len;
    return f->mine.at == f->base.at ? size : size + f->mine.len;
}

void coat_fields_release(struct coat_fields *fields)
{
    coat_buf_release(&fields->bytes);
    coat_buf_release(&fields->table);
}

struct coat_field coat_field_new(size_t name_len)
{
    unsigned char head[COAT_WIRE_HEAD_MAX];
    size_t head_len = (size_t)(coat_wire_put_text_head(head, name_len) - head);

    return (struct coat_field){COAT_NOWHERE,  (uint32_t)name_len, (uint32_t)(head_len + name_len),
                               COAT_NO_VALUE, COAT_NO_VALUE,      0};
}

/* Where it is within the fields' own bytes, or COAT_NOWHERE. */
static size_t place_of(const struct coat_fields *fields, const void *bytes)
{
    uintptr_t start = (uintptr_t)fields->bytes.bytes, p = (uintptr_t)bytes;

    return p >= start && p - start < fields->bytes.len ? p - start : COAT_NOWHERE;
}

int coat_fields_reserve(struct coat_fields *fields, size_t more, const char **name,
                        const void **value)
{
    size_t name_at = place_of(fields, *name), value_at = place_of(fields, *value);

    if (coat_buf_reserve(&fields->table, sizeof(struct coat_field)) < 0 ||
        coat_buf_reserve(&fields->bytes, more) < 0)
        return COAT_ENOMEM;
    if (name_at != COAT_NOWHERE)
        *name = (const char *)coat_fields_bytes(fields, name_at);
    if (value_at != COAT_NOWHERE)
        *value = coat_fields_bytes(fields, value_at);
    return 0;
}

size_t coat_fields_add_name(struct coat_fields *fields, const char *name, size_t len)
{
    size_t at = fields->bytes.len;
    unsigned char *to = coat_wire_put_text_head(coat_buf_end(&fields->bytes), len);

    coat_buf_took(&fields->bytes, coat_wire_put_raw(to, name, len));
    return at;
}

struct coat_span coat_fields_add_value(struct coat_fields *fields, const void *value, size_t len,
                                       size_t items)
{
    size_t at = fields->bytes.len;

    coat_buf_took(&fields->bytes, coat_wire_put_raw(coat_buf_end(&fields->bytes), value, len));
    return (struct coat_span){at, (uint32_t)len, (uint32_t)items};
}

int coat_fields_value_is(const struct coat_fields *fields, struct coat_span s, const void *value,
                         size_t len)
{
    return s.at != COAT_NOWHERE && s.len == len &&
           memcmp(coat_fields_bytes(fields, s.at), value, len) == 0;
}

void coat_fields_append(struct coat_fields *fields, const struct coat_field *f)
{
    memcpy(coat_buf_end(&fields->table), f, sizeof *f);
    fields->table.len += sizeof *f;
    fields->live += size_of(f);
}

void coat_fields_replace(struct coat_fields *fields, size_t number, const struct coat_field *f)
{
    fields->live = fields->live - size_of(coat_fields_at(fields, number)) + size_of(f);
    *field_at(fields, number) = *f;
}

void coat_fields_retire(struct coat_fields *fields, size_t number)
{
    struct coat_field *f = field_at(fields, number);

    fields->live -= size_of(f);
    f->key = COAT_NOWHERE;
    f->base = f->mine = COAT_NO_VALUE;
    fields->gone++;
}

void coat_fields_drop_gone(struct coat_fields *fields)
{
    size_t count = coat_fields_count(fields), kept = 0;

    for (size_t i = 0; i < count; i++)
        if (coat_fields_at(fields, i)->key != COAT_NOWHERE)
            *field_at(fields, kept++) = *coat_fields_at(fields, i);
    fields->table.len = kept * sizeof(struct coat_field);
    fields->gone = 0;
}

int coat_fields_have_gaps(const struct coat_fields *fields)
{
    return fields->gone >= GONE_MIN && fields->gone > coat_fields_count(fields) / 2;
}

/* Append bytes of the fields to `to`, which has room. Returns where they are there. */
static size_t move_bytes(const struct coat_fields *fields, struct coat_buf *to, size_t at,
                         size_t len)
{
    size_t there = to->len;

    memcpy(coat_buf_end(to), fields->bytes.bytes + at, len);
    to->len += len;
    return there;
}

void coat_fields_drop_garbage(struct coat_fields *fields)
{
    struct coat_buf to = COAT_BUF_INIT;
    size_t count = coat_fields_count(fields);

    if (fields->bytes.len < GARBAGE_MIN || fields->live >= fields->bytes.len / 2 ||
        coat_buf_reserve(&to, fields->live) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct coat_field *f = field_at(fields, i);
        int same = f->mine.at == f->base.at;

        if (f->key == COAT_NOWHERE)
            continue;
        f->key = move_bytes(fields, &to, f->key, f->key_len);
        if (f->mine.at != COAT_NOWHERE)
            f->mine.at = move_bytes(fields, &to, f->mine.at, f->mine.len);
        if (same)
            f->base.at = f->mine.at;
        else if (f->base.at != COAT_NOWHERE)
            f->base.at = move_bytes(fields, &to, f->base.at, f->base.len);
    }
    coat_buf_release(&fields->bytes);
    fields->bytes = to;
}
