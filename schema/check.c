#include <stdlib.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/utf8.h"
#include "api/wire.h"
#include "check.h"
#include "keys.h"

struct walk {
    struct coat_checker *c;
    struct coat_level *level; /* the innermost */
    struct coat_level *dict;  /* of the last key: there is none within a key */
    size_t key_count;         /* in coat_checker.keys */
};

int coat_checker_init(struct coat_checker *c, const void *bytes, size_t len,
                      const struct coat_limits *limits, unsigned flags, struct coat_error *err)
{
    struct coat_limits l = coat_limits_effective(limits);

    c->start = c->at = bytes;
    c->end = len > 0 ? c->start + len : c->start;
    c->max_depth = l.max_depth;
    c->max_items = l.max_items;
    c->items = 0;
    c->flags = flags;
    c->keys = NULL;
    c->err = err;
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

/* The value at `at` is a key or, where `level` is part of one, within a key. */
static int check_key(struct walk *w, const unsigned char *at, enum coat_kind kind, int may_be_key)
{
    struct coat_checker *c = w->c;
    int is_whole = !w->level->in_key;

    if (!may_be_key)
        return coat_checker_corrupt(c, at, coat_kind_name(kind), "cannot be a key");
    if (is_whole)
        w->dict = w->level;
    if ((!is_whole || coat_wire_is_odd_key(kind)) && w->dict->odd++ == COAT_ODD_KEYS_MAX)
        return too_many(c, at, "max_odd_keys", "values in keys that are neither text nor bytes",
                        COAT_ODD_KEYS_MAX);
    return is_whole && (c->flags & COAT_CHECK_EQUAL_KEYS) ? note_key(w, at) : 0;
}

/* `members` of a dict: keys and values. `stop` of a tuple: where it has to end. */
static int open_container(struct walk *w, const unsigned char *at, enum coat_kind kind,
                          size_t members, const unsigned char *stop, int in_key)
{
    struct coat_checker *c = w->c;

    if ((size_t)(w->level - c->levels) >= c->max_depth)
        return too_many(c, at, "max_depth", "containers within each other", c->max_depth);
    *++w->level = (struct coat_level){
        .left = (uint32_t)members,
        .head = (uint32_t)(at - c->start),
        .stop = (uint32_t)(stop - c->start),
        .keys = (uint32_t)w->key_count,
        .kind = (uint8_t)kind,
        .in_key = (uint8_t)in_key,
    };
    return 0;
}

/* The innermost container ends before `next`. */
static int close_container(struct walk *w, const unsigned char *next)
{
    struct coat_checker *c = w->c;
    const struct coat_level *level = w->level--;
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

/*
 * This loop is most of a load. What is needed for every value stays in local variables, and what
 * is done with a kind stands right behind the read, so that compilers go there from its first byte.
 */
int coat_checker_value(struct coat_checker *c)
{
    const unsigned char *at = c->at, *const end = c->end, *next;
    const size_t max_items = c->max_items;
    const int notes_keys = c->flags & COAT_CHECK_EQUAL_KEYS;
    size_t items = c->items, left = 1, valid; /* left: what level->left would be */
    struct coat_wire_head h;
    struct walk w;
    int rc = 0, in_key, pairs = 0, within_key = 0;

    w.c = c;
    w.level = w.dict = c->levels;
    w.key_count = 0;
    c->levels[0] = (struct coat_level){.kind = COAT_LIST};
    for (;;) {
        in_key = within_key || (pairs && left % 2 == 0);
        left--;
        next = coat_wire_read(at, end, 1, &h);
        if (next == NULL)
            return coat_checker_corrupt(c, at, "value", h.v.fault);
        if (items++ == max_items)
            return too_many(c, at, "max_items", "values", max_items);
        switch (h.kind) {
        case COAT_TEXT: /* as a key always good, so at most to be noted or counted */
            if ((within_key || (notes_keys && in_key)) && (rc = check_key(&w, at, h.kind, 1)) < 0)
                return rc;
            valid = coat_utf8_valid(next, h.len);
            if (valid != h.len)
                return coat_checker_corrupt(c, next + valid, "text", "is not UTF-8");
            next += h.len;
            break;
        case COAT_LIST:
        case COAT_TUPLE:
        case COAT_DICT:
            if (in_key && (rc = check_key(&w, at, h.kind, coat_wire_may_be_key(&h))) < 0)
                return rc;
            w.level->left = (uint32_t)left;
            left = h.kind == COAT_DICT ? 2 * h.len : h.len;
            rc = open_container(&w, at, h.kind, left,
                                h.kind == COAT_TUPLE ? h.list + h.v.span : next, in_key);
            if (rc < 0)
                return rc;
            pairs = h.kind == COAT_DICT;
            within_key = in_key;
            break;
        default:
            if (in_key && (rc = check_key(&w, at, h.kind, coat_wire_may_be_key(&h))) < 0)
                return rc;
            next += h.len; /* of bytes and big ints; the others have no content */
            break;
        }
        at = next;
        while (left == 0) {
            if (w.level == c->levels) {
                c->at = at;
                c->items = items;
                return 0;
            }
            rc = close_container(&w, at);
            if (rc < 0)
                return rc;
            left = w.level->left;
            pairs = w.level->kind == COAT_DICT;
            within_key = w.level->in_key;
        }
    }
}

int coat_checker_end(struct coat_checker *c)
{
    if (c->at != c->end)
        return coat_checker_corrupt(c, c->at, "rest", "comes after the end of the value");
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
