#include <stdlib.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/utf8.h"
#include "api/wire.h"
#include "check.h"
#include "keys.h"

/* An open container. All offsets and counts fit, since COAT_BYTES_MAX does. */
struct level {
    uint32_t left; /* values still to come; in a dict, keys and values */
    uint32_t head; /* offset of its first byte */
    uint32_t stop; /* of a tuple: offset where it has to end */
    uint32_t keys; /* of a dict: where its own begin in coat_checker.keys */
    uint16_t odd;  /* of a dict: keys that are neither text nor bytes */
    uint8_t kind;
    uint8_t in_key; /* its members are part of a key */
};

struct walk {
    struct coat_checker *c;
    size_t depth;                            /* open containers */
    size_t key_count;                        /* in coat_checker.keys */
    struct level levels[COAT_DEPTH_MAX + 1]; /* the first stands for what is around the value */
};

int coat_checker_init(struct coat_checker *c, const void *bytes, size_t len,
                      const struct coat_limits *limits, unsigned flags, struct coat_error *err)
{
    struct coat_limits l = coat_limits_effective(limits);

    *c = (struct coat_checker){
        .start = bytes,
        .at = bytes,
        .end = len > 0 ? (const unsigned char *)bytes + len : bytes,
        .max_depth = l.max_depth,
        .max_items = l.max_items,
        .flags = flags,
        .err = err,
    };
    if (len > l.max_bytes)
        return coat_error_because(err, COAT_ELIMIT, "max_bytes",
                                  "%zu bytes are more than the limit max_bytes of %zu", len,
                                  l.max_bytes);
    return 0;
}

void coat_checker_release(struct coat_checker *c)
{
    free(c->keys);
    c->keys = NULL;
}

static int at_offset(struct coat_checker *c, const unsigned char *at, int code)
{
    if (c->err != NULL)
        c->err->offset = (size_t)(at - c->start);
    return code;
}

int coat_checker_corrupt(struct coat_checker *c, const unsigned char *at, const char *what,
                         const char *fault)
{
    coat_error_set(c->err, COAT_ECORRUPT,
                   "these bytes are damaged or not ours: the %s at byte %zu %s", what,
                   (size_t)(at - c->start), fault);
    return at_offset(c, at, COAT_ECORRUPT);
}

/* The first value that is one too many. */
static int too_many(struct coat_checker *c, const unsigned char *at, const char *limit,
                    const char *things, size_t most)
{
    coat_error_because(c->err, COAT_ELIMIT, limit, "more %s than the limit %s of %zu, at byte %zu",
                       things, limit, most, (size_t)(at - c->start));
    return at_offset(c, at, COAT_ELIMIT);
}

int coat_checker_count(struct coat_checker *c, const unsigned char *at)
{
    if (c->items == c->max_items)
        return too_many(c, at, "max_items", "values", c->max_items);
    c->items++;
    return 0;
}

/* A key needs at least a byte, and so does its value: this many fit whatever the bytes hold. */
static int note_key(struct walk *w, const unsigned char *at)
{
    struct coat_checker *c = w->c;

    if (c->keys == NULL) {
        size_t most = (size_t)(c->end - c->start) / 2, size;

        if (!coat_size_mul(most, sizeof *c->keys, &size) || (c->keys = malloc(size)) == NULL)
            return coat_error_nomem(c->err);
    }
    c->keys[w->key_count++] = (uint32_t)(at - c->start);
    return 0;
}

/* The value at `at`, with head h, stands where a key does or within one. */
static int check_key(struct walk *w, struct level *level, const unsigned char *at,
                     const struct coat_wire_head *h)
{
    struct coat_checker *c = w->c;

    if (!coat_wire_may_be_key(h))
        return coat_checker_corrupt(c, at, coat_kind_name(h->kind), "cannot be a key");
    if (level->in_key)
        return 0;
    if (coat_wire_is_odd_key(h->kind)) {
        if (level->odd == COAT_ODD_KEYS_MAX)
            return too_many(c, at, "max_odd_keys", "keys that are neither text nor bytes",
                            COAT_ODD_KEYS_MAX);
        level->odd++;
    }
    return c->flags & COAT_CHECK_EQUAL_KEYS ? note_key(w, at) : 0;
}

static int open_container(struct walk *w, const unsigned char *at, const struct coat_wire_head *h,
                          int in_key)
{
    struct coat_checker *c = w->c;
    struct level *level;

    if (w->depth >= c->max_depth)
        return too_many(c, at, "max_depth", "containers within each other", c->max_depth);
    level = &w->levels[++w->depth];
    *level = (struct level){
        .left = (uint32_t)(h->kind == COAT_DICT ? 2 * h->len : h->len),
        .head = (uint32_t)(at - c->start),
        .keys = (uint32_t)w->key_count,
        .kind = (uint8_t)h->kind,
        .in_key = (uint8_t)in_key,
    };
    if (h->kind == COAT_TUPLE)
        level->stop = (uint32_t)((size_t)(h->list - c->start) + h->v.span);
    return 0;
}

/* The innermost container ends before `next`. */
static int close_container(struct walk *w, const unsigned char *next)
{
    struct coat_checker *c = w->c;
    const struct level *level = &w->levels[w->depth--];
    size_t second;

    if (level->kind == COAT_TUPLE && next != c->start + level->stop)
        return coat_checker_corrupt(c, c->start + level->head, "tuple",
                                    "is not as long as its list");
    if (level->kind == COAT_DICT && c->keys != NULL) {
        size_t count = w->key_count - level->keys;

        w->key_count = level->keys;
        if (coat_keys_equal(c->start, c->keys + level->keys, count, &second))
            return coat_checker_corrupt(c, c->start + second, "key", "equals an earlier one");
    }
    return 0;
}

/* One value, but of a container only the head. */
static int check_head(struct walk *w)
{
    struct coat_checker *c = w->c;
    struct level *level = &w->levels[w->depth];
    const unsigned char *at = c->at, *next;
    struct coat_wire_head h;
    int rc, is_key = level->in_key || (level->kind == COAT_DICT && level->left % 2 == 0);

    level->left--;
    next = coat_wire_read(at, c->end, 1, &h);
    if (next == NULL)
        return coat_checker_corrupt(c, at, "value", h.v.fault);
    rc = coat_checker_count(c, at);
    if (rc == 0 && is_key)
        rc = check_key(w, level, at, &h);
    if (rc < 0)
        return rc;
    c->at = next;
    switch (h.kind) {
    case COAT_TEXT: {
        size_t valid = coat_utf8_valid(next, h.len);

        if (valid != h.len)
            return coat_checker_corrupt(c, next + valid, "text", "is not UTF-8");
        c->at += h.len;
        return 0;
    }
    case COAT_INT:
        if (h.form == COAT_WIRE_INT_BIG)
            c->at += h.len;
        return 0;
    case COAT_BYTES:
        c->at += h.len;
        return 0;
    case COAT_LIST:
    case COAT_TUPLE:
    case COAT_DICT:
        return open_container(w, at, &h, is_key);
    default:
        return 0;
    }
}

int coat_checker_value(struct coat_checker *c)
{
    struct walk w;
    int rc;

    w.c = c;
    w.depth = w.key_count = 0;
    w.levels[0] = (struct level){.left = 1, .kind = COAT_LIST};
    do {
        rc = check_head(&w);
        while (rc == 0 && w.depth > 0 && w.levels[w.depth].left == 0)
            rc = close_container(&w, c->at);
    } while (rc == 0 && w.depth > 0);
    return rc;
}

int coat_checker_end(struct coat_checker *c)
{
    if (c->at != c->end)
        return coat_checker_corrupt(c, c->at, "byte", "comes after the end of the value");
    return 0;
}

int coat_check(const void *bytes, size_t len, const struct coat_limits *limits, unsigned flags,
               size_t *items, struct coat_error *err)
{
    struct coat_checker c;
    int rc = coat_checker_init(&c, bytes, len, limits, flags, err);

    if (rc == 0)
        rc = coat_checker_value(&c);
    if (rc == 0)
        rc = coat_checker_end(&c);
    if (rc == 0 && items != NULL)
        *items = c.items;
    coat_checker_release(&c);
    return rc;
}
