#include "encode.h"

#include "ints.h"
#include "module.h"
#include "text.h"
#include "api/wire.h"

#include <stdbool.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Scratch that has grown beyond this is not used again. */
enum { SCRATCH_KEPT = 1 << 21 };

struct encoder {
    struct coat_buf *buf;     /* its len counts only when it grows */
    const unsigned char *end; /* of the room in it */
    struct core_layout layout;
    struct coat_limits limits;
    size_t items_left;
    const char *root;
    bool collects; /* what is not storable is noted and passed over; a limit ends the walk */
    struct core_refusal *refusals;
    size_t refused;
};

/*
 * The functions below write a value at `to` and return the byte after it, or NULL where the walk
 * ends: then there is a refusal, or MemoryError is set. `depth` is how many containers are open.
 */
ALWAYS_INLINE unsigned char *put_value(struct encoder *e, unsigned char *to, PyObject *value,
                                       const struct core_place *at, size_t depth);
static unsigned char *put_key(struct encoder *e, unsigned char *to, PyObject *key,
                              const struct core_place *at, size_t depth);

/* ---- Refusing ------------------------------------------------------------------------------ */

/* Room for one more refusal, to be counted by `noted`. NULL with MemoryError. */
static struct core_refusal *next_refusal(struct encoder *e)
{
    /* The room doubles whenever the count is a power of two. */
    if ((e->refused & (e->refused - 1)) == 0) {
        size_t room = e->refused == 0 ? 1 : 2 * e->refused;
        struct core_refusal *more = PyMem_Realloc(e->refusals, room * sizeof *more);

        if (more == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        e->refusals = more;
    }
    return &e->refusals[e->refused];
}

/* rc: of the core_refuse_ function that filled in the next one. */
static unsigned char *noted(struct encoder *e, unsigned char *to, int rc)
{
    if (rc < 0)
        return NULL;
    e->refused++;
    return e->collects ? to : NULL;
}

static unsigned char *refuse_value(struct encoder *e, unsigned char *to, PyObject *value,
                                   const struct core_place *at)
{
    struct core_refusal *r = next_refusal(e);

    return r == NULL ? NULL : noted(e, to, core_refuse_value(r, e->root, at, value));
}

static unsigned char *refuse_because(struct encoder *e, unsigned char *to, PyObject *value,
                                     const struct core_place *at, const char *why)
{
    struct core_refusal *r = next_refusal(e);

    return r == NULL ? NULL : noted(e, to, core_refuse_because(r, e->root, at, value, why));
}

static unsigned char *refuse_key(struct encoder *e, unsigned char *to, PyObject *key,
                                 const struct core_place *at, const char *advice)
{
    struct core_refusal *r = next_refusal(e);

    return r == NULL ? NULL : noted(e, to, core_refuse_key(r, e->root, at, key, advice));
}

static unsigned char *refuse_limit(struct encoder *e, const struct core_place *at,
                                   enum core_limit limit, size_t most)
{
    struct core_refusal *r = next_refusal(e);

    if (r != NULL)
        noted(e, NULL, core_refuse_limit(r, e->root, at, limit, most));
    return NULL;
}

static unsigned char *refuse_bytes(struct encoder *e)
{
    return refuse_limit(e, NULL, CORE_MAX_BYTES, e->limits.max_bytes);
}

/* ---- Room ---------------------------------------------------------------------------------- */

/* Room for `more` bytes at `to`, of which `least` will surely be written. */
static __attribute__((noinline)) unsigned char *grow(struct encoder *e, unsigned char *to,
                                                     size_t more, size_t least)
{
    e->buf->len = (size_t)(to - e->buf->bytes);
    if (e->buf->len > e->limits.max_bytes || least > e->limits.max_bytes - e->buf->len)
        return refuse_bytes(e);
    if (coat_buf_grow(e->buf, more) < 0) {
        PyErr_NoMemory();
        return NULL;
    }
    e->end = e->buf->bytes + e->buf->cap;
    return coat_buf_end(e->buf);
}

/* Room for `more` bytes at `to`, which may move. */
ALWAYS_INLINE unsigned char *room(struct encoder *e, unsigned char *to, size_t more)
{
    return more <= (size_t)(e->end - to) ? to : grow(e, to, more, 0);
}

/* The same for a head and between `least` and `most` bytes of content. */
ALWAYS_INLINE unsigned char *room_for(struct encoder *e, unsigned char *to, size_t least,
                                      size_t most)
{
    size_t more = COAT_WIRE_HEAD_MAX + most;

    return more <= (size_t)(e->end - to) ? to : grow(e, to, more, least);
}

/* ---- Scalars ------------------------------------------------------------------------------- */

static unsigned char *refuse_text(struct encoder *e, unsigned char *to, PyObject *text,
                                  const struct core_place *at, bool is_key)
{
    return is_key ? refuse_key(e, to, text, at, "it has a lone surrogate, so it is not UTF-8")
                  : refuse_because(e, to, text, at,
                                   "str with a lone surrogate is not storable (store "
                                   "value.encode('utf-8', 'surrogatepass'))");
}

/*
 * A text beyond ASCII. Apart, since most are not. Where its head ends is known only when it is
 * written, so it may have to be moved.
 */
static __attribute__((noinline)) unsigned char *put_other_text(struct encoder *e, unsigned char *to,
                                                               PyObject *text,
                                                               const struct core_place *at,
                                                               bool is_key)
{
    size_t least = (size_t)PyUnicode_GET_LENGTH(text), most, len = 0;
    const char *utf8;
    unsigned char *content, *end;

#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(text) < 0)
        return NULL;
#endif
    utf8 = core_text_utf8(&e->layout, text, &len);
    most = utf8 != NULL ? len : least * core_text_most(text);
    to = room_for(e, to, least, most);
    if (to == NULL)
        return NULL;
    if (utf8 != NULL)
        return coat_wire_put_raw(coat_wire_put_text_head(to, len), utf8, len);
    content = coat_wire_put_text_head(to, most);
    end = core_text_write(content, text);
    if (end == NULL)
        return refuse_text(e, to, text, at, is_key);
    len = (size_t)(end - content);
    to = coat_wire_put_text_head(to, len);
    if (to != content)
        memmove(to, content, len);
    return to + len;
}

ALWAYS_INLINE unsigned char *put_text(struct encoder *e, unsigned char *to, PyObject *text,
                                      const struct core_place *at, bool is_key)
{
    size_t len;

    if (!PyUnicode_IS_COMPACT_ASCII(text))
        return put_other_text(e, to, text, at, is_key);
    len = (size_t)PyUnicode_GET_LENGTH(text);
    to = room_for(e, to, len, len);
    if (to == NULL)
        return NULL;
    to = coat_wire_put_text_head(to, len);
    return coat_wire_put_raw(to, ((PyASCIIObject *)text) + 1, len);
}

static unsigned char *put_bytes(struct encoder *e, unsigned char *to, PyObject *bytes)
{
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);

    to = room_for(e, to, len, len);
    if (to == NULL)
        return NULL;
    to = coat_wire_put_bytes_head(to, len);
    return coat_wire_put_raw(to, PyBytes_AS_STRING(bytes), len);
}

/*
 * An int beyond int64_t. The number is written behind the room for its head, and moved up to it
 * when its length is known.
 */
static unsigned char *put_bigint(struct encoder *e, unsigned char *to, PyObject *number)
{
    size_t len = core_int_room(number), spare;
    unsigned char *digits;

    to = room_for(e, to, len, len);
    if (to == NULL)
        return NULL;
    digits = to + COAT_WIRE_HEAD_MAX;
    if (core_int_write(number, digits, len) < 0)
        return NULL;
    spare = coat_wire_bigint_spare(digits, len);
    digits += spare;
    len -= spare;
    if (!coat_wire_bigint_is_big(digits, len)) /* 9 bytes, the first of them 0 */
        return coat_wire_put_uint(to, coat_wire_load64(digits + 1));
    to = coat_wire_put_bigint_head(to, len);
    memmove(to, digits, len);
    return to + len;
}

/* An int whose value has to be asked for. */
static __attribute__((noinline)) unsigned char *put_other_int(struct encoder *e, unsigned char *to,
                                                              PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);

    if (overflow != 0)
        return put_bigint(e, to, number);
    to = room(e, to, COAT_WIRE_SCALAR_MAX);
    return to == NULL ? NULL : coat_wire_put_int(to, value);
}

ALWAYS_INLINE unsigned char *put_int(struct encoder *e, unsigned char *to, PyObject *number)
{
    int64_t value;

    if (!core_int_value(&e->layout, number, &value))
        return put_other_int(e, to, number);
    to = room(e, to, COAT_WIRE_SCALAR_MAX);
    return to == NULL ? NULL : coat_wire_put_int(to, value);
}

/* ---- Containers ---------------------------------------------------------------------------- */

/* Whether a container of `members` values may be opened. */
static bool may_open(struct encoder *e, const struct core_place *at, size_t members, size_t depth)
{
    if (depth >= e->limits.max_depth) {
        refuse_limit(e, at, CORE_MAX_DEPTH, e->limits.max_depth);
        return false;
    }
    if (members > e->items_left) {
        refuse_limit(e, at, CORE_MAX_ITEMS, e->limits.max_items);
        return false;
    }
    e->items_left -= members;
    return true;
}

static unsigned char *put_list(struct encoder *e, unsigned char *to, PyObject *list,
                               const struct core_place *up, size_t depth)
{
    struct core_place at = {up, NULL, 0};
    Py_ssize_t count = PyList_GET_SIZE(list);

    if (!may_open(e, up, (size_t)count, depth) || (to = room(e, to, COAT_WIRE_HEAD_MAX)) == NULL)
        return NULL;
    to = coat_wire_put_list_head(to, (size_t)count);
    for (; at.index < count && to != NULL; at.index++)
        to = put_value(e, to, PyList_GET_ITEM(list, at.index), &at, depth + 1);
    return to;
}

static unsigned char *put_tuple(struct encoder *e, unsigned char *to, PyObject *tuple,
                                const struct core_place *up, size_t depth, bool is_key)
{
    struct core_place at = {up, NULL, 0};
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    size_t start;

    if (!may_open(e, up, (size_t)count, depth) ||
        (to = room(e, to, COAT_WIRE_TUPLE_BEGIN_MAX)) == NULL)
        return NULL;
    start = (size_t)(to - e->buf->bytes);
    to = coat_wire_tuple_begin(to, (size_t)count);
    for (; at.index < count && to != NULL; at.index++) {
        PyObject *member = PyTuple_GET_ITEM(tuple, at.index);

        to = is_key ? put_key(e, to, member, up, depth + 1)
                    : put_value(e, to, member, &at, depth + 1);
    }
    if (to == NULL || (to = room(e, to, COAT_WIRE_TUPLE_END_MAX)) == NULL)
        return NULL;
    return coat_wire_tuple_end(e->buf->bytes + start, to);
}

struct dict_walk {
    struct core_place at;
    size_t depth; /* of its members */
    size_t odd;   /* values in keys that are neither text nor bytes */
};

ALWAYS_INLINE unsigned char *put_entry(struct encoder *e, unsigned char *to, PyObject *key,
                                       PyObject *value, struct dict_walk *w, const bool is_text)
{
    w->at.key = key;
    if (is_text || PyUnicode_CheckExact(key)) {
        to = put_text(e, to, key, w->at.up, true);
    } else {
        size_t left = e->items_left;

        to = put_key(e, to, key, w->at.up, w->depth);
        w->odd += PyBytes_CheckExact(key) ? 0 : 1 + left - e->items_left;
    }
    return to == NULL ? NULL : put_value(e, to, value, &w->at, w->depth);
}

/* Where they lie. Most dicts have texts for keys only, and then no key's type has to be fetched. */
ALWAYS_INLINE unsigned char *put_entries(struct encoder *e, unsigned char *to,
                                         struct core_entries entries, struct dict_walk *w,
                                         const bool texts)
{
    for (; entries.at < entries.end && to != NULL; entries.at += entries.stride)
        if (entries.at[1] != NULL)
            to = put_entry(e, to, entries.at[0], entries.at[1], w, texts);
    return to;
}

static __attribute__((noinline)) unsigned char *put_mixed_entries(struct encoder *e,
                                                                  unsigned char *to,
                                                                  struct core_entries entries,
                                                                  struct dict_walk *w)
{
    return put_entries(e, to, entries, w, false);
}

/* With the public API only. Apart, since a variable whose address is taken stays in memory. */
static __attribute__((noinline)) unsigned char *
put_unknown_entries(struct encoder *e, unsigned char *to, PyObject *dict, struct dict_walk *w)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    while (to != NULL && PyDict_Next(dict, &at, &key, &value))
        to = put_entry(e, to, key, value, w, false);
    return to;
}

static unsigned char *put_dict(struct encoder *e, unsigned char *to, PyObject *dict,
                               const struct core_place *up, size_t depth)
{
    struct dict_walk w = {{up, NULL, 0}, depth + 1, 0};
    size_t count = (size_t)PyDict_GET_SIZE(dict);
    struct core_entries entries;

    if (!may_open(e, up, 2 * count, depth) || (to = room(e, to, COAT_WIRE_HEAD_MAX)) == NULL)
        return NULL;
    to = coat_wire_put_dict_head(to, count);
    if (!core_dict_entries(&e->layout, dict, &entries))
        to = put_unknown_entries(e, to, dict, &w);
    else if (entries.texts)
        to = put_entries(e, to, entries, &w, true);
    else
        to = put_mixed_entries(e, to, entries, &w);
    if (w.odd > COAT_ODD_KEYS_MAX)
        return to == NULL ? NULL : refuse_limit(e, up, CORE_MAX_ODD_KEYS, COAT_ODD_KEYS_MAX);
    return to;
}

/* ---- Values and keys ----------------------------------------------------------------------- */

/* What is not as frequent as texts and ints. */
static unsigned char *put_other(struct encoder *e, unsigned char *to, PyObject *value,
                                const struct core_place *at, size_t depth)
{
    PyTypeObject *type = Py_TYPE(value);

    if (type == &PyTuple_Type)
        return put_tuple(e, to, value, at, depth, false);
    if (type == &PyBytes_Type)
        return put_bytes(e, to, value);
    return refuse_value(e, to, value, at);
}

ALWAYS_INLINE unsigned char *put_value(struct encoder *e, unsigned char *to, PyObject *value,
                                       const struct core_place *at, size_t depth)
{
    PyTypeObject *type = Py_TYPE(value);

    if (type == &PyUnicode_Type)
        return put_text(e, to, value, at, false);
    if (type == &PyLong_Type)
        return put_int(e, to, value);
    if (type == &PyDict_Type)
        return put_dict(e, to, value, at, depth);
    if (type == &PyList_Type)
        return put_list(e, to, value, at, depth);
    if (type != &PyFloat_Type && type != &PyBool_Type && value != Py_None)
        return put_other(e, to, value, at, depth);
    to = room(e, to, COAT_WIRE_SCALAR_MAX);
    if (to == NULL)
        return NULL;
    if (type == &PyFloat_Type)
        return coat_wire_put_float(to, PyFloat_AS_DOUBLE(value));
    return value == Py_None ? coat_wire_put_nil(to) : coat_wire_put_bool(to, value == Py_True);
}

static unsigned char *put_key(struct encoder *e, unsigned char *to, PyObject *key,
                              const struct core_place *at, size_t depth)
{
    PyTypeObject *type = Py_TYPE(key);

    if (type == &PyUnicode_Type)
        return put_text(e, to, key, at, true);
    if (type == &PyTuple_Type)
        return put_tuple(e, to, key, at, depth, true);
    if (type == &PyFloat_Type && !Py_IS_FINITE(PyFloat_AS_DOUBLE(key)))
        return refuse_key(e, to, key, at, "only a finite one can; use repr(key)");
    if (type == &PyLong_Type && core_int_is_big(key))
        return refuse_key(e, to, key, at, "it has more than 64 bits; use str(key)");
    if (type != &PyBytes_Type && type != &PyLong_Type && type != &PyFloat_Type &&
        type != &PyBool_Type && key != Py_None)
        return refuse_key(e, to, key, at,
                          "keys are str, bytes, bool, None, int of 64 bits, finite float, or "
                          "tuples of these");
    return put_value(e, to, key, at, depth);
}

/* ---- The two calls ------------------------------------------------------------------------- */

static void begin(struct encoder *e, struct core_state *state, const struct coat_limits *limits,
                  const char *root, bool collects)
{
    e->buf = &state->scratch;
    if (e->buf->cap > SCRATCH_KEPT)
        coat_buf_release(e->buf);
    coat_buf_clear(e->buf);
    /* NULL has no bytes to step over. */
    e->end = e->buf->cap > 0 ? coat_buf_end(e->buf) + e->buf->cap : e->buf->bytes;
    e->limits = *limits;
    if (e->limits.max_bytes > COAT_BYTES_MAX)
        e->limits.max_bytes = COAT_BYTES_MAX;
    if (e->limits.max_depth > COAT_DEPTH_MAX)
        e->limits.max_depth = COAT_DEPTH_MAX;
    e->items_left = limits->max_items;
    e->layout = state->layout;
    e->root = root;
    e->collects = collects;
    e->refusals = NULL;
    e->refused = 0;
}

static void end(struct encoder *e)
{
    for (size_t i = 0; i < e->refused; i++)
        core_refusal_release(&e->refusals[i]);
    PyMem_Free(e->refusals);
}

/* The whole value. What the functions above return. */
static unsigned char *put(struct encoder *e, PyObject *value, const struct core_place *at)
{
    unsigned char *to = room(e, e->buf->bytes, COAT_WIRE_SCALAR_MAX);

    if (to == NULL)
        return NULL;
    if (e->items_left == 0)
        return refuse_limit(e, at, CORE_MAX_ITEMS, e->limits.max_items);
    e->items_left--;
    to = put_value(e, to, value, at, at == NULL ? 0 : 1);
    if (to != NULL && (size_t)(to - e->buf->bytes) > e->limits.max_bytes)
        return refuse_bytes(e);
    return to;
}

int core_encode(struct core_state *state, PyObject *value, const char *root,
                const struct core_place *place, const struct coat_limits *limits,
                struct core_bytes *out)
{
    struct encoder e;
    unsigned char *to;

    begin(&e, state, limits, root, false);
    to = put(&e, value, place);
    if (to != NULL) {
        out->at = e.buf->bytes;
        out->len = (size_t)(to - e.buf->bytes);
        out->items = limits->max_items - e.items_left;
        return 0;
    }
    if (e.refused > 0)
        core_refusal_raise(state, &e.refusals[0]);
    end(&e);
    return -1;
}

PyObject *core_check(struct core_state *state, PyObject *value, const struct coat_limits *limits)
{
    struct encoder e;
    PyObject *list = NULL;

    begin(&e, state, limits, "value", true);
    if (put(&e, value, NULL) != NULL || !PyErr_Occurred())
        list = PyList_New(0);
    for (size_t i = 0; i < e.refused && list != NULL; i++) {
        PyObject *exception = core_refusal_exception(state, &e.refusals[i]);

        if (exception == NULL || PyList_Append(list, exception) < 0)
            Py_CLEAR(list);
        Py_XDECREF(exception);
    }
    end(&e);
    return list;
}
