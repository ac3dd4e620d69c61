#include <stdlib.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/path.h"
#include "api/utf8.h"
#include "api/value.h"
#include "api/wire.h"
#include "keys.h"

/* An open container. */
struct frame {
    enum coat_kind kind;
    int in_key;       /* it is a key or within one */
    size_t announced; /* values in it, in a dict keys and values */
    size_t begun;     /* of them; the last one may still be open */
    size_t start;     /* offset of its first byte */
    size_t keys;      /* of a dict: where its own begin in packing.keys */
    size_t odd;       /* of a dict: values in keys that are neither text nor bytes */
};

struct packing {
    struct coat_buf out;
    struct coat_buf frames; /* struct frame, outermost first */
    struct coat_buf keys;   /* uint32_t, offsets of the keys of open dicts */
    size_t depth;           /* open containers */
    size_t deepest;
    size_t tuples; /* open tuples: the end of each may take a byte away again */
    size_t items;
    struct coat_error err;
};

static struct frame *frame_at(const struct packing *s, size_t i)
{
    return (struct frame *)(void *)s->frames.bytes + i;
}

static struct frame *innermost(const struct packing *s)
{
    return s->depth > 0 ? frame_at(s, s->depth - 1) : NULL;
}

static uint32_t *keys_of(const struct packing *s, const struct frame *f)
{
    return (uint32_t *)(void *)s->keys.bytes + f->keys;
}

/* What was begun last in a dict is a key. */
static int is_at_key(const struct frame *f)
{
    return f->kind == COAT_DICT && f->begun % 2 == 1;
}

/* The state, allocated with the first call; NULL after a failure, this one's or an earlier one. */
static struct packing *packing(struct coat_packer *p)
{
    if (p->code != 0)
        return NULL;
    if (p->state == NULL && (p->state = calloc(1, sizeof(struct packing))) == NULL)
        p->code = COAT_ENOMEM;
    return p->state;
}

/* ---- The first failure --------------------------------------------------------------------- */

/*
 * The open containers are the path, and the keys are in the output. A fault in a key is reported
 * at its dict: the key is not there to be shown. One in which nothing was begun is itself at fault.
 */
static void add_path(struct packing *s, size_t depth)
{
    if (depth > 0 && frame_at(s, depth - 1)->begun == 0)
        depth--;
    for (size_t i = 0; i < depth; i++)
        if (is_at_key(frame_at(s, i)))
            depth = i;
    while (depth-- > 0) {
        const struct frame *f = frame_at(s, depth);

        if (f->kind == COAT_DICT)
            coat_path_prepend_key(&s->err, s->out.bytes + keys_of(s, f)[f->begun / 2 - 1]);
        else
            coat_path_prepend_index(&s->err, f->begun - 1);
    }
}

/* s->err has been set: keep it. The value at fault is in the outer `depth` containers. */
static void stick(struct coat_packer *p, size_t depth)
{
    struct packing *s = p->state;

    p->code = s->err.code;
    add_path(s, depth);
}

static void stick_limit(struct coat_packer *p, const char *limit, const char *things, size_t most)
{
    struct packing *s = p->state;

    coat_error_because(&s->err, COAT_ELIMIT, limit, "more %s than the limit %s of %zu", things,
                       limit, most);
    stick(p, s->depth);
}

/* A call that makes no sense where it stands: the innermost container is at fault. */
static void stick_usage(struct coat_packer *p, const char *text)
{
    struct packing *s = packing(p);

    if (s == NULL)
        return;
    coat_error_set(&s->err, COAT_EUSAGE, "%s", text);
    stick(p, s->depth > 0 ? s->depth - 1 : 0);
}

static void stick_nomem(struct coat_packer *p)
{
    struct packing *s = p->state;

    if (s != NULL)
        coat_error_nomem(&s->err);
    p->code = COAT_ENOMEM;
}

/* ---- Life ---------------------------------------------------------------------------------- */

void coat_packer_init(struct coat_packer *p, const struct coat_limits *limits)
{
    *p = (struct coat_packer){.limits = coat_limits_effective(limits)};
}

void coat_packer_reset(struct coat_packer *p)
{
    struct packing *s = p->state;

    p->code = 0;
    if (s == NULL)
        return;
    coat_buf_clear(&s->out);
    coat_buf_clear(&s->frames);
    coat_buf_clear(&s->keys);
    s->depth = s->deepest = s->tuples = s->items = 0;
}

void coat_packer_release(struct coat_packer *p)
{
    struct packing *s = p->state;

    p->code = 0;
    p->state = NULL;
    if (s == NULL)
        return;
    coat_buf_release(&s->out);
    coat_buf_release(&s->frames);
    coat_buf_release(&s->keys);
    free(s);
}

size_t coat_packer_items(const struct coat_packer *p)
{
    const struct packing *s = p->state;

    return s != NULL ? s->items : 0;
}

size_t coat_packer_depth(const struct coat_packer *p)
{
    const struct packing *s = p->state;

    return s != NULL ? s->deepest : 0;
}

int coat_packer_finish(struct coat_packer *p, const void **bytes, size_t *len,
                       struct coat_error *err)
{
    const struct packing *s = packing(p);

    if (s != NULL && s->depth > 0)
        stick_usage(p, "a container is still open: coat_pack_end is missing");
    else if (s != NULL && s->items == 0)
        stick_usage(p, "nothing was packed");
    if (p->code == 0) {
        *bytes = s->out.bytes;
        *len = s->out.len;
    } else if (p->state == NULL) {
        coat_error_nomem(err);
    } else if (err != NULL) {
        *err = ((const struct packing *)p->state)->err;
    }
    return p->code;
}

_Static_assert(COAT_WIRE_SCALAR_MAX >= COAT_WIRE_HEAD_MAX &&
                   COAT_WIRE_SCALAR_MAX >= COAT_WIRE_TUPLE_BEGIN_MAX,
               "begin() gives room for any head");

/* ---- Values -------------------------------------------------------------------------------- */

/* Count the value in, as the next of the innermost container. 0, or the failure sticks. */
static int enter(struct coat_packer *p, struct packing *s)
{
    struct frame *f = innermost(s);

    if (f == NULL && s->items > 0)
        stick_usage(p, "a second value after the first is complete");
    else if (f != NULL && f->begun == f->announced)
        stick_usage(p, "more members than were announced");
    if (p->code < 0)
        return p->code;
    if (f != NULL)
        f->begun++;
    if (s->items++ == p->limits.max_items)
        stick_limit(p, "max_items", "values", p->limits.max_items);
    return p->code;
}

/* The dict whose key is being packed: there is none within a key. */
static struct frame *dict_of_key(struct frame *f)
{
    while (f->in_key)
        f--;
    return f;
}

/* What was begun is a key or within one: may it, and where does it begin. */
static int enter_key(struct coat_packer *p, struct packing *s, struct frame *f,
                     const struct coat_wire_head *h)
{
    uint32_t start = (uint32_t)s->out.len;

    if (!coat_wire_may_be_key(h)) {
        coat_error_set(&s->err, COAT_ENOTSTORABLE,
                       h->kind == COAT_FLOAT ? "a key cannot be NaN or infinite"
                       : h->kind == COAT_INT ? "a key cannot be an int beyond 64 bits"
                                             : "a key cannot be a %s (pack a tuple or text)",
                       coat_kind_name(h->kind));
        stick(p, s->depth);
    } else if ((f->in_key || coat_wire_is_odd_key(h->kind)) &&
               dict_of_key(f)->odd++ == COAT_ODD_KEYS_MAX) {
        stick_limit(p, "max_odd_keys", "values in keys that are neither text nor bytes",
                    COAT_ODD_KEYS_MAX);
    } else if (!f->in_key && coat_buf_append(&s->keys, &start, sizeof start) < 0) {
        stick_nomem(p);
    }
    return p->code;
}

/* Would `more` bytes be beyond the limit, whatever the ends of open tuples take away? */
static int is_too_long(const struct coat_packer *p, const struct packing *s, size_t more)
{
    size_t most = p->limits.max_bytes;

    if (most < COAT_BYTES_MAX)
        most += s->tuples;
    return s->out.len > most || more > most - s->out.len;
}

static void stick_too_long(struct coat_packer *p)
{
    stick_limit(p, "max_bytes", "bytes", p->limits.max_bytes);
}

/*
 * Begin a value with head h and `len` bytes of content. Returns where it goes, with room for all
 * of it, or NULL.
 */
static unsigned char *begin(struct coat_packer *p, const struct coat_wire_head *h, size_t len)
{
    struct packing *s = packing(p);
    struct frame *f;
    size_t room;

    if (s == NULL || enter(p, s) < 0)
        return NULL;
    f = innermost(s);
    if (f != NULL && (f->in_key || is_at_key(f)) && enter_key(p, s, f, h) < 0)
        return NULL;
    if (is_too_long(p, s, len)) {
        stick_too_long(p);
        return NULL;
    }
    if (!coat_size_add(len, COAT_WIRE_SCALAR_MAX, &room) || coat_buf_reserve(&s->out, room) < 0) {
        stick_nomem(p);
        return NULL;
    }
    return coat_buf_end(&s->out);
}

/* What begin() began has been written up to `end`. */
static void written(struct coat_packer *p, const unsigned char *end)
{
    struct packing *s = p->state;

    coat_buf_took(&s->out, end);
    if (is_too_long(p, s, 0))
        stick_too_long(p);
}

void coat_pack_nil(struct coat_packer *p)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_NIL}, 0);

    if (to != NULL)
        written(p, coat_wire_put_nil(to));
}

void coat_pack_bool(struct coat_packer *p, int truth)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_BOOL}, 0);

    if (to != NULL)
        written(p, coat_wire_put_bool(to, truth));
}

void coat_pack_int(struct coat_packer *p, int64_t number)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_INT}, 0);

    if (to != NULL)
        written(p, coat_wire_put_int(to, number));
}

void coat_pack_uint(struct coat_packer *p, uint64_t number)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_INT}, 0);

    if (to != NULL)
        written(p, coat_wire_put_uint(to, number));
}

/* A number of at most 8 bytes, or of 9 of which the first is 0. */
static void pack_small_bigint(struct coat_packer *p, const unsigned char *number, size_t len)
{
    unsigned char wide[8];

    if (len == 9) {
        coat_pack_uint(p, coat_wire_load64(number + 1));
        return;
    }
    memset(wide, number[0] & 0x80 ? 0xff : 0, sizeof wide);
    memcpy(wide + sizeof wide - len, number, len);
    coat_pack_int(p, (int64_t)coat_wire_load64(wide));
}

void coat_pack_bigint(struct coat_packer *p, const void *number, size_t len)
{
    const unsigned char *digits = number;
    unsigned char *to;
    size_t spare;

    if (len == 0) {
        stick_usage(p, "an int of no bytes");
        return;
    }
    spare = coat_wire_bigint_spare(digits, len);
    digits += spare;
    len -= spare;
    if (!coat_wire_bigint_is_big(digits, len)) {
        pack_small_bigint(p, digits, len);
        return;
    }
    to = begin(p, &(struct coat_wire_head){.kind = COAT_INT, .form = COAT_WIRE_INT_BIG}, len);
    if (to != NULL)
        written(p, coat_wire_put_raw(coat_wire_put_bigint_head(to, len), digits, len));
}

void coat_pack_float(struct coat_packer *p, double number)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_FLOAT, .v.f = number}, 0);

    if (to != NULL)
        written(p, coat_wire_put_float(to, number));
}

void coat_pack_text(struct coat_packer *p, const char *text, size_t len)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_TEXT}, len);
    struct packing *s = p->state;
    size_t valid;

    if (to == NULL)
        return;
    valid = coat_utf8_valid(text, len);
    if (valid == len) {
        written(p, coat_wire_put_raw(coat_wire_put_text_head(to, len), text, len));
        return;
    }
    coat_error_set(&s->err, COAT_ENOTSTORABLE,
                   "text that is not UTF-8 from its byte %zu on is not storable (pack it as bytes)",
                   valid);
    s->err.offset = valid;
    stick(p, s->depth);
}

void coat_pack_str(struct coat_packer *p, const char *text)
{
    coat_pack_text(p, text, strlen(text));
}

void coat_pack_bytes(struct coat_packer *p, const void *bytes, size_t len)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = COAT_BYTES}, len);

    if (to != NULL)
        written(p, coat_wire_put_raw(coat_wire_put_bytes_head(to, len), bytes, len));
}

/* ---- Containers ---------------------------------------------------------------------------- */

/* Returns where the head goes, or NULL. */
static unsigned char *open_container(struct coat_packer *p, enum coat_kind kind, size_t count)
{
    unsigned char *to = begin(p, &(struct coat_wire_head){.kind = kind}, 0);
    struct packing *s = p->state;
    struct frame *around, f = {.kind = kind};

    if (to == NULL)
        return NULL;
    if (s->depth >= p->limits.max_depth) {
        stick_limit(p, "max_depth", "containers within each other", p->limits.max_depth);
        return NULL;
    }
    if (!coat_size_mul(count, kind == COAT_DICT ? 2 : 1, &f.announced) ||
        f.announced > p->limits.max_items - s->items) {
        stick_limit(p, "max_items", "values", p->limits.max_items);
        return NULL;
    }
    if (f.announced > COAT_BYTES_MAX) {
        stick_too_long(p);
        return NULL;
    }
    around = innermost(s);
    f.in_key = around != NULL && (around->in_key || is_at_key(around));
    f.start = s->out.len;
    f.keys = s->keys.len / sizeof(uint32_t);
    if (coat_buf_append(&s->frames, &f, sizeof f) < 0) {
        stick_nomem(p);
        return NULL;
    }
    if (++s->depth > s->deepest)
        s->deepest = s->depth;
    return to;
}

void coat_pack_list(struct coat_packer *p, size_t count)
{
    unsigned char *to = open_container(p, COAT_LIST, count);

    if (to != NULL)
        written(p, coat_wire_put_list_head(to, count));
}

void coat_pack_tuple(struct coat_packer *p, size_t count)
{
    unsigned char *to = open_container(p, COAT_TUPLE, count);
    struct packing *s = p->state;

    if (to == NULL)
        return;
    s->tuples++;
    written(p, coat_wire_tuple_begin(to, count));
}

void coat_pack_dict(struct coat_packer *p, size_t pairs)
{
    unsigned char *to = open_container(p, COAT_DICT, pairs);

    if (to != NULL)
        written(p, coat_wire_put_dict_head(to, pairs));
}

static void end_dict(struct coat_packer *p, struct packing *s, const struct frame *f)
{
    size_t second;

    if (f->announced > 2 &&
        coat_keys_equal(s->out.bytes, keys_of(s, f), f->announced / 2, &second)) {
        coat_error_set(&s->err, COAT_ENOTSTORABLE,
                       "the dict has this key twice (1, True and 1.0 are one key)");
        coat_path_prepend_key(&s->err, s->out.bytes + second);
        stick(p, s->depth - 1);
    }
    s->keys.len = f->keys * sizeof(uint32_t);
}

static void end_tuple(struct coat_packer *p, struct packing *s, const struct frame *f)
{
    if (coat_buf_reserve(&s->out, COAT_WIRE_TUPLE_END_MAX) < 0) {
        stick_nomem(p);
        return;
    }
    s->tuples--;
    written(p, coat_wire_tuple_end(s->out.bytes + f->start, coat_buf_end(&s->out)));
}

void coat_pack_end(struct coat_packer *p)
{
    struct packing *s = packing(p);
    struct frame *f;

    if (s == NULL)
        return;
    f = innermost(s);
    if (f == NULL) {
        stick_usage(p, "coat_pack_end without an open container");
        return;
    }
    if (f->begun != f->announced) {
        size_t unit = f->kind == COAT_DICT ? 2 : 1;

        coat_error_set(&s->err, COAT_EUSAGE, "the %s was announced with %zu %s and has %zu%s",
                       coat_kind_name(f->kind), f->announced / unit,
                       f->kind == COAT_DICT ? "pairs" : "members", f->begun / unit,
                       f->begun % unit != 0 ? " and a key" : "");
        stick(p, s->depth - 1);
        return;
    }
    if (f->kind == COAT_DICT)
        end_dict(p, s, f);
    else if (f->kind == COAT_TUPLE)
        end_tuple(p, s, f);
    s->frames.len -= sizeof *f;
    s->depth--;
}
