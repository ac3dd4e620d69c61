#include "api/wire.h"
#include "keys.h"
#include "sort.h"

/* A value of Python equality: bool, int and float are all numbers. */
enum rank { RANK_NIL, RANK_NUMBER, RANK_TEXT, RANK_BYTES, RANK_TUPLE };

static enum rank rank_of(const struct coat_wire_head *h)
{
    switch (h->kind) {
    case COAT_NIL:
        return RANK_NIL;
    case COAT_TEXT:
        return RANK_TEXT;
    case COAT_BYTES:
        return RANK_BYTES;
    case COAT_TUPLE:
        return RANK_TUPLE;
    default:
        return RANK_NUMBER;
    }
}

/* A whole number beyond any that a key can be, or the number itself as sign and magnitude. */
struct whole {
    int negative;
    uint64_t magnitude;
};

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static struct whole whole_of(const struct coat_wire_head *h)
{
    if (h->kind == COAT_BOOL)
        return (struct whole){0, (uint64_t)h->v.truth};
    if (h->form == COAT_WIRE_INT_UNSIGNED)
        return (struct whole){0, h->v.u};
    if (h->v.i < 0)
        return (struct whole){1, 0 - (uint64_t)h->v.i};
    return (struct whole){0, (uint64_t)h->v.i};
}

static int compare_wholes(struct whole a, struct whole b)
{
    if (a.negative != b.negative)
        return b.negative - a.negative;
    return a.negative ? order(b.magnitude, a.magnitude) : order(a.magnitude, b.magnitude);
}

/* Exactly, though a double cannot hold every int: compare whole parts, then what is left. */
static int compare_whole_to_float(struct whole a, double f)
{
    const double beyond = 18446744073709551616.0; /* 2^64 */
    double magnitude = f < 0 ? -f : f;
    struct whole b = {f < 0, 0};
    int rc;

    if (magnitude >= beyond)
        return f < 0 ? 1 : -1;
    b.magnitude = (uint64_t)magnitude;
    if (b.magnitude == 0)
        b.negative = 0;
    rc = compare_wholes(a, b);
    if (rc == 0 && (double)b.magnitude != magnitude)
        rc = f < 0 ? 1 : -1;
    return rc;
}

static int compare_numbers(const struct coat_wire_head *a, const struct coat_wire_head *b)
{
    if (a->kind == COAT_FLOAT && b->kind == COAT_FLOAT)
        return (a->v.f > b->v.f) - (a->v.f < b->v.f);
    if (a->kind == COAT_FLOAT)
        return -compare_whole_to_float(whole_of(b), a->v.f);
    if (b->kind == COAT_FLOAT)
        return compare_whole_to_float(whole_of(a), b->v.f);
    return compare_wholes(whole_of(a), whole_of(b));
}

static int compare_content(const unsigned char *a, size_t a_len, const unsigned char *b,
                           size_t b_len)
{
    if (a_len != b_len)
        return order(a_len, b_len);
    return memcmp(a, b, a_len);
}

/*
 * A total order in which exactly the keys that Python calls equal are equal. The members of tuples
 * are compared as they stand in the bytes, one after the other: tuples of different length have
 * parted before.
 */
static int compare_keys(const unsigned char *a, const unsigned char *b)
{
    struct coat_wire_head x, y;
    size_t left = 1;
    int rc = 0;

    while (left-- > 0) {
        a = coat_wire_read(a, a, 0, &x);
        b = coat_wire_read(b, b, 0, &y);
        rc = (int)rank_of(&x) - (int)rank_of(&y);
        if (rc != 0)
            return rc;
        switch (rank_of(&x)) {
        case RANK_NIL:
            break;
        case RANK_NUMBER:
            rc = compare_numbers(&x, &y);
            break;
        case RANK_TEXT:
        case RANK_BYTES:
            rc = compare_content(a, x.len, b, y.len);
            a += x.len;
            b += y.len;
            break;
        case RANK_TUPLE:
            rc = order(x.len, y.len);
            left += x.len;
            break;
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Equal keys in the order in which they stand. */
static int compare_offsets(const void *bytes, const void *a, const void *b)
{
    uint32_t x, y;
    int rc;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    rc = compare_keys((const unsigned char *)bytes + x, (const unsigned char *)bytes + y);
    return rc != 0 ? rc : order(x, y);
}

int coat_keys_equal(const unsigned char *bytes, uint32_t *offsets, size_t count, size_t *second)
{
    int found = 0;

    coat_sort(offsets, count, sizeof *offsets, compare_offsets, bytes);
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(bytes + offsets[i - 1], bytes + offsets[i]) != 0)
            continue;
        if (!found || offsets[i] < *second)
            *second = offsets[i];
        found = 1;
    }
    return found;
}
