/*
 * The operations of a cache: a command for each key, all in one pipeline. What is done twice by a
 * repeat after a lost reply is as if it was done once, but for ADD, POP and INCR, which are sent
 * once.
 */
#include "api/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/error.h"
#include "api/wire.h"
#include "attempt.h"
#include "entry.h"
#include "generation.h"
#include "refusal.h"
#include "store.h"

enum { ARGS_MAX = 7, COMMANDS_MAX = 2 };

/* A part of the operation's bytes, which move while they grow. */
struct part {
    size_t at, len;
};

struct item {
    struct part key, lock, value, ttl; /* len 0: there is none */
};

struct coat_cache_op {
    struct coat_op op;
    const struct coat_view *view; /* NULL: the whole cache */
    struct coat_guard *guard;     /* where it is in a view */
    struct coat_store *store;
    enum coat_cache_do what;
    struct coat_attempt attempt;
    coat_cache_found_fn *found;
    void *context;
    int64_t number;
    struct part by, first, version;
    int too_much; /* for an entry that would have to be made */
    struct coat_buf bytes;
    size_t count, room;
    struct item items[];
};

/* ---- Making it ------------------------------------------------------------------------------ */

static void cache_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err);

int coat_cache_op_new(struct coat_cache_op **out, struct coat_store *store, enum coat_cache_do what,
                      size_t count, struct coat_error *err)
{
    static const enum coat_op_kind kinds[] = {
        [COAT_CACHE_GET] = COAT_KIND_GET,       [COAT_CACHE_SET] = COAT_KIND_SET,
        [COAT_CACHE_ADD] = COAT_KIND_SET,       [COAT_CACHE_REPLACE] = COAT_KIND_SET,
        [COAT_CACHE_DELETE] = COAT_KIND_DELETE, [COAT_CACHE_HAS] = COAT_KIND_HAS,
        [COAT_CACHE_TOUCH] = COAT_KIND_TOUCH,   [COAT_CACHE_TTL] = COAT_KIND_TTL,
        [COAT_CACHE_POP] = COAT_KIND_POP,       [COAT_CACHE_INCR] = COAT_KIND_INCR,
        [COAT_CACHE_SWAP] = COAT_KIND_SWAP,     [COAT_CACHE_INVALIDATE] = COAT_KIND_INVALIDATE};
    size_t size;
    *out = NULL;
    if (!coat_size_mul(count, sizeof(struct item), &size) ||
        !coat_size_add(size, sizeof **out, &size) || size > PTRDIFF_MAX)
        return coat_error_nomem(err);
    struct coat_cache_op *x = malloc(size);
    if (!x)
        return coat_error_nomem(err);
    *x = (struct coat_cache_op){.op = {.step = cache_step, .kind = kinds[what]},
                                .store = store,
                                .what = what,
                                .room = count};
    *out = x;
    return 0;
}

void coat_cache_op_free(struct coat_cache_op *x)
{
    if (!x)
        return;
    coat_attempt_release(&x->attempt);
    coat_guard_free(x->guard);
    coat_buf_release(&x->bytes);
    free(x);
}

static unsigned char *at(struct coat_cache_op *x, struct part part)
{
    return (unsigned char *)x->bytes.bytes + part.at;
}

/* Those of which it finds nothing have no keys. */
static void rekey(struct coat_op *op, const char *digits, size_t len)
{
    struct coat_cache_op *x = (struct coat_cache_op *)op;
    const char *prefix = x->store->options->prefix;
    for (size_t i = 0; digits && i < x->count; i++) {
        coat_entry_renew(at(x, x->items[i].key), prefix, digits, len);
        if (x->items[i].lock.len)
            coat_entry_renew(at(x, x->items[i].lock), prefix, digits, len);
    }
}

int coat_cache_op_in(struct coat_cache_op *x, const struct coat_view *view, struct coat_error *err)
{
    assert(x->count == 0);
    x->view = view;
    if (!view || x->what == COAT_CACHE_INVALIDATE)
        return 0;
    x->guard = coat_guard_new(x->store, view, &x->op, rekey);
    return x->guard ? 0 : coat_error_nomem(err);
}

static size_t width(const struct coat_cache_op *x)
{
    return x->view ? x->view->count * COAT_GENERATION_LEN : 0;
}

static int add_part(struct coat_cache_op *x, struct part *part, const void *bytes, size_t len)
{
    part->at = x->bytes.len;
    part->len = len;
    return coat_buf_append(&x->bytes, bytes, len);
}

static int add_number(struct coat_cache_op *x, struct part *part, int64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, number);
    return add_part(x, part, digits, (size_t)n);
}

static int put_key(struct coat_cache_op *x, const char *key, size_t len, struct coat_error *err)
{
    const char *prefix = x->store->options->prefix;
    struct coat_arg path = coat_view_path(x->view);
    if (x->what == COAT_CACHE_INVALIDATE)
        return coat_entry_generation(&x->bytes, prefix, path.bytes, path.len, key, len, err);
    return coat_entry_key_in(&x->bytes, prefix, width(x), key, len, err);
}

int coat_cache_op_key(struct coat_cache_op *x, const char *key, size_t len, struct coat_error *err)
{
    assert(x->count < x->room);
    struct item *item = &x->items[x->count];
    *item = (struct item){.key = {x->bytes.len, 0}};
    int rc = put_key(x, key, len, err);
    if (rc < 0)
        return rc;
    item->key.len = x->bytes.len - item->key.at;
    if (x->what == COAT_CACHE_DELETE || x->what == COAT_CACHE_POP) {
        item->lock.at = x->bytes.len;
        rc = coat_entry_lock_in(&x->bytes, x->store->options->prefix, width(x), key, len);
        item->lock.len = x->bytes.len - item->lock.at;
    }
    if (rc < 0)
        return coat_error_nomem(err);
    x->count++;
    return 0;
}

int coat_cache_op_own(struct coat_cache_op *x, struct coat_error *err)
{
    for (size_t i = 0; i < x->view->count; i++) {
        struct coat_arg key = coat_view_key(x->view, i);
        if (!x->view->names[i].own)
            continue;
        assert(x->count < x->room);
        if (add_part(x, &x->items[x->count].key, key.bytes, key.len) < 0)
            return coat_error_nomem(err);
        x->items[x->count++].lock.len = 0;
    }
    return 0;
}

int coat_cache_op_value(struct coat_cache_op *x, const void *value, size_t len, int64_t ttl_ms,
                        struct coat_error *err)
{
    struct item *item = &x->items[x->count - 1];
    item->value.at = x->bytes.len;
    int rc = x->what == COAT_CACHE_TOUCH ? 0 : coat_entry_put(&x->bytes, value, len);
    item->value.len = x->bytes.len - item->value.at;
    if (rc == 0 && ttl_ms > 0)
        rc = add_number(x, &item->ttl, ttl_ms);
    return rc < 0 ? coat_error_nomem(err) : 0;
}

int coat_cache_op_incr(struct coat_cache_op *x, int64_t by, const int64_t *initial, int64_t ttl_ms,
                       struct coat_error *err)
{
    int64_t first;
    x->too_much = initial && __builtin_add_overflow(*initial, by, &first);
    int rc = add_number(x, &x->by, by);
    if (rc == 0 && initial && !x->too_much)
        rc = add_number(x, &x->first, first);
    if (rc == 0)
        rc = add_number(x, &x->items[0].ttl, ttl_ms);
    return rc < 0 ? coat_error_nomem(err) : 0;
}

int coat_cache_version(const struct coat_reply *reply, char version[COAT_CACHE_VERSION_LEN + 1],
                       struct coat_error *err)
{
    return coat_entry_version(reply->bytes, reply->len, version, err);
}

int coat_cache_op_version(struct coat_cache_op *x, const char *version, size_t len,
                          struct coat_error *err)
{
    if (len != COAT_CACHE_VERSION_LEN)
        return coat_error_set(err, COAT_EUSAGE,
                              "that is no version of an entry; take what reading one has brought");
    return add_part(x, &x->version, version, len) < 0 ? coat_error_nomem(err) : 0;
}

void coat_cache_op_found(struct coat_cache_op *x, coat_cache_found_fn *fn, void *context)
{
    x->found = fn;
    x->context = context;
}

struct coat_op *coat_cache_op(struct coat_cache_op *x)
{
    int makes = x->what == COAT_CACHE_SET || x->what == COAT_CACHE_ADD ||
                (x->what == COAT_CACHE_INCR && (x->first.len || x->too_much));
    return x->guard && x->count ? coat_guard_op(x->guard, makes) : &x->op;
}

int64_t coat_cache_op_number(const struct coat_cache_op *x)
{
    return x->number;
}

/* ---- Sending it ----------------------------------------------------------------------------- */

static void add(struct coat_cache_op *x, struct part part)
{
    coat_attempt_arg(&x->attempt, x->bytes.bytes + part.at, part.len);
}

static void add_command(struct coat_cache_op *x, const char *name, const struct item *item)
{
    coat_attempt_command(&x->attempt, name);
    add(x, item->key);
}

static void add_set(struct coat_cache_op *x, const struct item *item)
{
    add_command(x, "SET", item);
    add(x, item->value);
    if (item->ttl.len) {
        coat_attempt_word(&x->attempt, "PX");
        add(x, item->ttl);
    }
    if (x->what != COAT_CACHE_SET)
        coat_attempt_word(&x->attempt, x->what == COAT_CACHE_ADD ? "NX" : "XX");
}

/* Who makes the value just now has begun before: without the lock he cannot store it any more. */
static void add_delete(struct coat_cache_op *x, const char *name, const struct item *item)
{
    coat_attempt_command(&x->attempt, "UNLINK");
    add(x, item->lock);
    add_command(x, name, item);
}

/* PERSIST says nothing of whether there is an entry: one without a TTL stays as it is. */
static void add_touch(struct coat_cache_op *x, const struct item *item)
{
    add_command(x, item->ttl.len ? "PEXPIRE" : "PERSIST", item);
    if (item->ttl.len)
        add(x, item->ttl);
    else
        add_command(x, "EXISTS", item);
}

static void add_incr(struct coat_cache_op *x, const struct item *item)
{
    coat_attempt_run(&x->attempt, &coat_script_incr, 1);
    add(x, item->key);
    add(x, x->by);
    add(x, x->first);
    add(x, item->ttl);
}

static void add_swap(struct coat_cache_op *x, const struct item *item)
{
    coat_attempt_run(&x->attempt, &coat_script_swap, 1);
    add(x, item->key);
    add(x, x->version);
    add(x, item->value);
    if (item->ttl.len)
        add(x, item->ttl);
    else
        coat_attempt_word(&x->attempt, "0");
}

static void add_item(struct coat_cache_op *x, const struct item *item)
{
    coat_attempt_key(&x->attempt, x->bytes.bytes + item->key.at, item->key.len);
    switch (x->what) {
    case COAT_CACHE_GET:
        add_command(x, "GET", item);
        break;
    case COAT_CACHE_SET:
    case COAT_CACHE_ADD:
    case COAT_CACHE_REPLACE:
        add_set(x, item);
        break;
    case COAT_CACHE_DELETE:
        add_delete(x, "UNLINK", item);
        break;
    case COAT_CACHE_HAS:
        add_command(x, "EXISTS", item);
        break;
    case COAT_CACHE_TOUCH:
        add_touch(x, item);
        break;
    case COAT_CACHE_TTL:
        add_command(x, "PTTL", item);
        break;
    case COAT_CACHE_POP:
        add_delete(x, "GETDEL", item);
        break;
    case COAT_CACHE_INCR:
        add_incr(x, item);
        break;
    case COAT_CACHE_SWAP:
        add_swap(x, item);
        break;
    case COAT_CACHE_INVALIDATE:
        coat_generation_forget(x->store, (struct coat_arg){at(x, item->key), item->key.len});
        add_command(x, "UNLINK", item);
        break;
    }
}

static int may_repeat(const struct coat_cache_op *x)
{
    return x->what != COAT_CACHE_ADD && x->what != COAT_CACHE_POP && x->what != COAT_CACHE_INCR;
}

/* One command for all, where one node has them: it costs the server less than half of many. */
static int is_mget(const struct coat_cache_op *x)
{
    return x->what == COAT_CACHE_GET && x->count > 1 &&
           x->store->options->connect.kind != COAT_CLUSTER;
}

static void add_mget(struct coat_cache_op *x)
{
    coat_attempt_command(&x->attempt, "MGET");
    for (size_t i = 0; i < x->count; i++)
        add(x, x->items[i].key);
}

static int start(struct coat_cache_op *x, struct coat_step *to, struct coat_error *err)
{
    struct coat_attempt *a = &x->attempt;
    int unclear = a->unclear; /* by what was sent on keys of another generation */
    size_t commands, args;
    if (!coat_size_mul(x->count, COMMANDS_MAX, &commands) ||
        !coat_size_mul(x->count, ARGS_MAX, &args))
        return coat_error_nomem(err);
    int rc = coat_attempt_reserve(a, commands, args, err);
    if (rc < 0)
        return rc;
    int harmless = may_repeat(x) && x->what != COAT_CACHE_SWAP; /* whether it was done or not */
    coat_attempt_begin(a, harmless ? COAT_LOSS_FAILS : COAT_LOSS_UNCERTAIN, NULL, 0);
    if (x->what == COAT_CACHE_GET || x->what == COAT_CACHE_POP)
        coat_attempt_let_wrong_type(a);
    for (size_t i = 0; i < x->count && !is_mget(x); i++)
        add_item(x, &x->items[i]);
    if (is_mget(x))
        add_mget(x);
    a->unclear = unclear;
    if (may_repeat(x))
        coat_attempt_send(a, to);
    else
        coat_attempt_send_once(a, to);
    return 0;
}

/* ---- What comes back ------------------------------------------------------------------------ */

int coat_cache_value(const struct coat_reply *reply, struct coat_cache_room *room,
                     const void **value, size_t *len, struct coat_error *err)
{
    _Static_assert(sizeof room->bytes >= COAT_WIRE_SCALAR_MAX, "room for an int");
    if (reply->kind == COAT_REPLY_NIL)
        return 0;
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal(reply, err); /* WRONGTYPE */
    if (reply->kind != COAT_REPLY_BULK)
        return coat_attempt_foreign(err);
    if (coat_entry_value(reply->bytes, reply->len, room->bytes, value, len) == 0)
        return 1;
    return coat_error_set(err, COAT_ECORRUPT,
                          "what is stored is no entry of a cache; see whether others write under "
                          "its prefix, and delete it");
}

/* An integer counts as many, +OK as one. */
static int count_reply(const struct coat_cache_op *x, const struct coat_reply *reply,
                       struct coat_error *err)
{
    int sets =
        x->what == COAT_CACHE_SET || x->what == COAT_CACHE_ADD || x->what == COAT_CACHE_REPLACE;
    if (sets && reply->kind == COAT_REPLY_STATUS)
        return 1;
    if (sets && reply->kind == COAT_REPLY_NIL && x->what != COAT_CACHE_SET)
        return 0;
    if (!sets && reply->kind == COAT_REPLY_INTEGER && (reply->integer == 0 || reply->integer == 1))
        return (int)reply->integer;
    return coat_attempt_foreign(err);
}

static int count_all(struct coat_cache_op *x, const struct coat_event *event,
                     struct coat_error *err)
{
    int sum = 0, deletes = x->what == COAT_CACHE_DELETE;
    int ends = deletes || x->what == COAT_CACHE_INVALIDATE;
    for (size_t i = 0; i < event->count; i++) {
        int rc = count_reply(x, &event->replies[i], err);
        if (rc < 0)
            return rc;
        sum += deletes && i % 2 == 0 ? 0 : rc; /* of a lock */
    }
    if (ends && x->attempt.unclear)
        return (int)x->count; /* most likely by the send whose reply was lost */
    return sum;
}

static int take_ttl(struct coat_cache_op *x, const struct coat_reply *reply, struct coat_error *err)
{
    enum { NO_ENTRY = -2 };
    if (reply->kind != COAT_REPLY_INTEGER)
        return coat_attempt_foreign(err);
    x->number = reply->integer;
    return x->number != NO_ENTRY;
}

static int take_sum(struct coat_cache_op *x, const struct coat_reply *reply, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_NIL && x->too_much)
        return coat_error_set(err, COAT_EUSAGE, "incr: the sum does not fit 64 bits");
    if (reply->kind == COAT_REPLY_NIL)
        return 0;
    if (reply->kind != COAT_REPLY_BULK ||
        coat_entry_digits(reply->bytes, reply->len, &x->number) < 0)
        return coat_attempt_foreign(err);
    return 1;
}

/* Of a repeat: the entry is there as this wrote it, or nobody can tell whether it was. */
static int take_swap(struct coat_cache_op *x, const struct coat_reply *reply,
                     struct coat_error *err)
{
    enum { NEW_ALREADY = -2 };
    if (reply->kind != COAT_REPLY_INTEGER || reply->integer < NEW_ALREADY || reply->integer > 1)
        return coat_attempt_foreign(err);
    if (reply->integer == 1 || !x->attempt.unclear)
        return reply->integer == 1;
    if (reply->integer == NEW_ALREADY)
        return 1;
    return coat_attempt_uncertain("the entry has changed again since", err);
}

static int take_values(struct coat_cache_op *x, const struct coat_event *event,
                       struct coat_error *err)
{
    const struct coat_reply *replies = event->replies;
    if (is_mget(x) && (replies->kind != COAT_REPLY_ARRAY || replies->count != x->count))
        return coat_attempt_foreign(err);
    if (x->what == COAT_CACHE_POP && replies++->kind != COAT_REPLY_INTEGER) /* of the lock */
        return coat_attempt_foreign(err);
    if (!x->found)
        return 0;
    return x->found(x->context, is_mget(x) ? replies->items : replies, x->count, err);
}

static int answered(struct coat_cache_op *x, const struct coat_event *event, struct coat_error *err)
{
    switch (x->what) {
    case COAT_CACHE_GET:
    case COAT_CACHE_POP:
        return take_values(x, event, err);
    case COAT_CACHE_INCR:
        return take_sum(x, event->replies, err);
    case COAT_CACHE_SWAP:
        return take_swap(x, event->replies, err);
    case COAT_CACHE_TTL:
        return take_ttl(x, event->replies, err);
    case COAT_CACHE_TOUCH: /* the last reply says whether there is one */
        return count_reply(x, &event->replies[event->count - 1], err);
    default:
        return count_all(x, event, err);
    }
}

/* The script does nothing that INCRBY refuses. */
static int refused_number(const struct coat_cache_op *x, const struct coat_event *event)
{
    return x->what == COAT_CACHE_INCR && event->kind == COAT_EVENT_REPLIES && event->count == 1 &&
           event->replies->kind == COAT_REPLY_ERROR && coat_refusal_is(event->replies, "ERR");
}

static int take(struct coat_cache_op *x, const struct coat_event *event, struct coat_step *to,
                struct coat_error *err)
{
    if (refused_number(x, event))
        return coat_error_set(err, COAT_EUSAGE,
                              "incr: the entry is no int, or the sum does not fit 64 bits; delete "
                              "it, or set it to an int");
    int rc = coat_attempt_take(&x->attempt, event, to, err);
    if (rc <= 0)
        return rc == 0 ? 1 : rc;
    rc = answered(x, event, err);
    *to = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
    return 1;
}

static void cache_step(struct coat_op *op, const struct coat_event *event, struct coat_step *to,
                       struct coat_error *err)
{
    struct coat_cache_op *x = (struct coat_cache_op *)op;
    int rc = 1;
    if (event->kind == COAT_EVENT_START && x->count == 0)
        *to = (struct coat_step){.kind = COAT_STEP_DONE};
    else if (event->kind == COAT_EVENT_START)
        rc = start(x, to, err);
    else
        rc = take(x, event, to, err);
    if (rc < 0)
        *to = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
}
