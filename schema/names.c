#include "names.h"
#include "api/wire.h"
#include "sort.h"

struct entry {
    uint64_t prefix; /* the first 8 bytes of the name, big-endian, so that most names differ here */
    size_t field;    /* its number */
};

/* With fewer fields than this, looking at each is faster than an index. */
enum { INDEX_FROM = 17 };

static int is_indexed(const struct coat_fields *fields)
{
    return coat_fields_count(fields) >= INDEX_FROM;
}

static size_t entry_count(const struct coat_names *names)
{
    return names->entries.len / sizeof(struct entry);
}

static struct entry *entry_at(const struct coat_names *names, size_t i)
{
    return (struct entry *)(void *)names->entries.bytes + i;
}

void coat_names_release(struct coat_names *names)
{
    coat_buf_release(&names->entries);
}

/* ---- The order of the index ---------------------------------------------------------------- */

static uint64_t prefix_of(const char *name, size_t len)
{
    unsigned char first[8] = {0};

    memcpy(first, name, len < sizeof first ? len : sizeof first);
    return coat_wire_load64(first);
}

static struct entry entry_of(const struct coat_fields *fields, size_t number)
{
    const struct coat_field *f = coat_fields_at(fields, number);

    return (struct entry){prefix_of(coat_fields_name(fields, f), f->name_len), number};
}

/* Names with one prefix: it may be a short one's own bytes and zeros. */
static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int rc = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return rc != 0 ? rc : (a_len > b_len) - (a_len < b_len);
}

static int compare_to_entry(const struct coat_fields *fields, uint64_t prefix, const char *name,
                            size_t len, const struct entry *e)
{
    const struct coat_field *f = coat_fields_at(fields, e->field);

    if (prefix != e->prefix)
        return prefix < e->prefix ? -1 : 1;
    return compare_names(name, len, coat_fields_name(fields, f), f->name_len);
}

static int compare_entry_names(const struct coat_fields *fields, const struct entry *a,
                               const struct entry *b)
{
    const struct coat_field *f = coat_fields_at(fields, a->field);

    return compare_to_entry(fields, a->prefix, coat_fields_name(fields, f), f->name_len, b);
}

/* For coat_sort; names that are equal stay in the order of their fields. */
static int compare_entries(const void *fields, const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int rc = compare_entry_names(fields, x, y);

    return rc != 0 ? rc : (x->field > y->field) - (x->field < y->field);
}

/* ---- Finding ------------------------------------------------------------------------------- */

/* The first entry that is not before the name; *found tells whether it is the name's. */
static size_t lower_bound(const struct coat_names *names, const struct coat_fields *fields,
                          const char *name, size_t len, int *found)
{
    uint64_t prefix = prefix_of(name, len);
    size_t low = 0, high = entry_count(names);

    *found = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int rc = compare_to_entry(fields, prefix, name, len, entry_at(names, middle));

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

size_t coat_names_find(const struct coat_names *names, const struct coat_fields *fields,
                       const char *name, size_t len)
{
    size_t count = coat_fields_count(fields);
    int found;

    if (len == 0)
        name = ""; /* NULL has no bytes to compare */
    if (is_indexed(fields)) {
        size_t at = lower_bound(names, fields, name, len, &found);

        return found ? entry_at(names, at)->field : COAT_NOWHERE;
    }
    for (size_t i = 0; i < count; i++) {
        const struct coat_field *f = coat_fields_at(fields, i);

        if (f->key != COAT_NOWHERE && f->name_len == len &&
            memcmp(coat_fields_name(fields, f), name, len) == 0)
            return i;
    }
    return COAT_NOWHERE;
}

static size_t twin_in_index(const struct coat_names *names, const struct coat_fields *fields)
{
    size_t entries = entry_count(names), twin = COAT_NOWHERE;

    for (size_t i = 1; i < entries; i++) {
        const struct entry *e = entry_at(names, i);

        if (e->field < twin && compare_entry_names(fields, entry_at(names, i - 1), e) == 0)
            twin = e->field;
    }
    return twin;
}

size_t coat_names_find_twin(const struct coat_names *names, const struct coat_fields *fields)
{
    size_t count = coat_fields_count(fields);

    if (is_indexed(fields))
        return twin_in_index(names, fields);
    for (size_t i = 1; i < count; i++) {
        const struct coat_field *f = coat_fields_at(fields, i);

        if (coat_names_find(names, fields, coat_fields_name(fields, f), f->name_len) < i)
            return i;
    }
    return COAT_NOWHERE;
}

/* ---- Following the fields ------------------------------------------------------------------ */

int coat_names_reserve(struct coat_names *names, size_t count)
{
    size_t size;

    if (count < INDEX_FROM)
        return 0;
    if (!coat_size_mul(count, sizeof(struct entry), &size))
        return COAT_ENOMEM;
    return size <= names->entries.len
               ? 0
               : coat_buf_reserve(&names->entries, size - names->entries.len);
}

/* Sort all names but one into the index, if there is to be one. */
static void fill(struct coat_names *names, const struct coat_fields *fields, size_t except)
{
    size_t count = coat_fields_count(fields), entries = 0;

    if (is_indexed(fields)) {
        for (size_t i = 0; i < count; i++)
            if (coat_fields_at(fields, i)->key != COAT_NOWHERE && i != except)
                *entry_at(names, entries++) = entry_of(fields, i);
        coat_sort(names->entries.bytes, entries, sizeof(struct entry), compare_entries, fields);
    }
    names->entries.len = entries * sizeof(struct entry);
}

void coat_names_fill(struct coat_names *names, const struct coat_fields *fields)
{
    fill(names, fields, COAT_NOWHERE);
}

/* In an index in use. */
static void index_last(struct coat_names *names, const struct coat_fields *fields)
{
    size_t last = coat_fields_count(fields) - 1, entries = entry_count(names), at;
    const struct coat_field *f = coat_fields_at(fields, last);
    int found;

    at = lower_bound(names, fields, coat_fields_name(fields, f), f->name_len, &found);
    if (!found) {
        memmove(entry_at(names, at + 1), entry_at(names, at),
                (entries - at) * sizeof(struct entry));
        names->entries.len += sizeof(struct entry);
    }
    *entry_at(names, at) = entry_of(fields, last);
}

void coat_names_add_last(struct coat_names *names, const struct coat_fields *fields, size_t earlier)
{
    if (coat_fields_count(fields) > INDEX_FROM)
        index_last(names, fields);
    else
        fill(names, fields, earlier);
}

void coat_names_remove(struct coat_names *names, const struct coat_fields *fields, size_t number)
{
    const struct coat_field *f = coat_fields_at(fields, number);
    size_t at, entries = entry_count(names);
    int found;

    if (!is_indexed(fields))
        return;
    at = lower_bound(names, fields, coat_fields_name(fields, f), f->name_len, &found);
    assert(found);
    memmove(entry_at(names, at), entry_at(names, at + 1),
            (entries - at - 1) * sizeof(struct entry));
    names->entries.len -= sizeof(struct entry);
}
