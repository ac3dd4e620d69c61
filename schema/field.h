/*
 * field.h: the fields of a document as they lie in memory: a buffer with their names and values,
 * and a table that says where each is. Both are only appended to, until what nothing refers to any
 * more dominates.
 */
#ifndef COAT_FIELD_H
#define COAT_FIELD_H

#include <stdint.h>

#include "api/buf.h"

#define COAT_NOWHERE SIZE_MAX

/* A value within coat_fields.bytes. */
struct coat_span {
    size_t at; /* COAT_NOWHERE: there is no value */
    uint32_t len;
    uint32_t items; /* values at all levels */
};

#define COAT_NO_VALUE ((struct coat_span){COAT_NOWHERE, 0, 0})

/*
 * A field that is there or was read. Its two values are equal exactly if they are at one place:
 * setting it to what was read puts it back there.
 */
struct coat_field {
    size_t key;            /* where its encoded name is; COAT_NOWHERE: gone from this place */
    uint32_t name_len;     /* without its head */
    uint32_t key_len;      /* with it */
    struct coat_span base; /* what was read */
    struct coat_span mine; /* what is there now */
    uint32_t adds;         /* 1: mine came from base by coat_doc_add alone */
};

/* All zero: none. */
struct coat_fields {
    struct coat_buf bytes; /* encoded names and values */
    struct coat_buf table; /* struct coat_field, in the order of the document */
    size_t gone;           /* fields that went to a later place, or for good */
    size_t live;           /* bytes that a field refers to */
};

/* Those that are gone included: one more than the last number. */
static inline size_t coat_fields_count(const struct coat_fields *fields)
{
    return fields->table.len / sizeof(struct coat_field);
}

/* The field of that number; to be changed through the functions below only. */
static inline const struct coat_field *coat_fields_at(const struct coat_fields *fields,
                                                      size_t number)
{
    return (const struct coat_field *)(const void *)fields->table.bytes + number;
}

static inline const unsigned char *coat_fields_bytes(const struct coat_fields *fields, size_t at)
{
    return fields->bytes.bytes + at;
}

/* f->name_len bytes. The field must not be gone. */
static inline const char *coat_fields_name(const struct coat_fields *fields,
                                           const struct coat_field *f)
{
    return (const char *)coat_fields_bytes(fields, f->key + (f->key_len - f->name_len));
}

/* A field without values, whose name of that length is not there yet. */
struct coat_field coat_field_new(size_t name_len);

void coat_fields_release(struct coat_fields *fields);

/*
 * Room for one field more and for `more` bytes. Where the name or the value lies within the fields'
 * own bytes, it moves with them. 0, or COAT_ENOMEM and nothing has moved.
 */
int coat_fields_reserve(struct coat_fields *fields, size_t more, const char **name,
                        const void **value);

/* Append bytes, which have room. Returns where they are. */
size_t coat_fields_add_name(struct coat_fields *fields, const char *name, size_t len);
struct coat_span coat_fields_add_value(struct coat_fields *fields, const void *value, size_t len,
                                       size_t items);

/* 1 if there is a value, and it is these bytes. */
int coat_fields_value_is(const struct coat_fields *fields, struct coat_span s, const void *value,
                         size_t len);

/* One field more, the last; it has room. */
void coat_fields_append(struct coat_fields *fields, const struct coat_field *f);

void coat_fields_replace(struct coat_fields *fields, size_t number, const struct coat_field *f);

/* The field is not at this place any more. */
void coat_fields_retire(struct coat_fields *fields, size_t number);

/* Close the gaps that retired fields left: all numbers change. */
void coat_fields_drop_gone(struct coat_fields *fields);

/* 1 if the gaps are so many that it is time for that. */
int coat_fields_have_gaps(const struct coat_fields *fields);

/*
 * If it is time for that: move what is referred to into memory of its own size. Without memory for
 * it all stays as it was.
 */
void coat_fields_drop_garbage(struct coat_fields *fields);

#endif
