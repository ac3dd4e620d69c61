/* The public calls of a cache: each makes an operation, runs it, and reads what came of it. */
#include "coat_cache.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/cache.h"
#include "api/error.h"
#include "api/fill.h"
#include "store.h"

struct coat_cache {
    struct coat_store *store; /* used for nothing else */
    struct coat_view *view;   /* NULL: the whole cache, whose store it is */
};

/* ---- Opening and closing -------------------------------------------------------------------- */

int coat_cache_open(struct coat_cache **out, const struct coat_options *o, struct coat_error *err)
{
    *out = NULL;
    int rc = coat_options_suit_cache(o, err);
    if (rc < 0)
        return rc;
    struct coat_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return coat_error_nomem(err);
    rc = coat_store_open(&cache->store, o, err);
    if (rc < 0) {
        free(cache);
        return rc;
    }
    coat_store_serves_cache(cache->store);
    *out = cache;
    return 0;
}

void coat_cache_close(struct coat_cache *cache)
{
    if (cache && !cache->view)
        coat_store_close(cache->store);
    if (cache)
        coat_view_free(cache->view);
    free(cache);
}

struct coat_store *coat_cache_store(struct coat_cache *cache)
{
    return cache->store;
}

/* ---- Values that were read ------------------------------------------------------------------ */

struct coat_cache_values {
    struct coat_buf bytes;
    size_t count;
    struct {
        size_t at, len; /* len 0: there is no entry */
    } values[];
};

static struct coat_cache_values *new_values(size_t count)
{
    struct coat_cache_values *values = NULL;
    size_t size;
    if (coat_size_mul(count, sizeof values->values[0], &size) &&
        coat_size_add(size, sizeof *values, &size) && size <= PTRDIFF_MAX)
        values = calloc(1, size);
    if (values)
        values->count = count;
    return values;
}

void coat_cache_values_free(struct coat_cache_values *values)
{
    if (values)
        coat_buf_release(&values->bytes);
    free(values);
}

int coat_cache_value_of(const struct coat_cache_values *values, size_t index, const void **value,
                        size_t *len)
{
    assert(index < values->count);
    *value = NULL;
    *len = values->values[index].len;
    if (*len == 0)
        return 0;
    *value = values->bytes.bytes + values->values[index].at;
    return 1;
}

int coat_cache_cursor(const struct coat_cache_values *values, size_t index,
                      struct coat_cursor *cursor)
{
    const void *value;
    size_t len;
    int there = coat_cache_value_of(values, index, &value, &len);
    coat_cursor_init(cursor, there ? value : "", len);
    return there;
}

/* Who is told of the replies of a read. */
struct reading {
    struct coat_cache *cache;
    struct coat_cache_values *values;
};

/* The value in a reply, checked and copied: 1; 0: there is none; or what is wrong with it. */
static int keep(const struct reading *r, size_t index, const struct coat_reply *reply,
                struct coat_error *err)
{
    struct coat_cache_room room;
    struct coat_cache_values *values = r->values;
    const void *value;
    size_t len;
    int rc = coat_cache_value(reply, &room, &value, &len, err);
    if (rc == 1)
        rc = coat_check(value, len, coat_store_limits(r->cache->store), COAT_CHECK_EQUAL_KEYS, NULL,
                        err);
    else if (rc == 0)
        return 0;
    if (rc == COAT_ECORRUPT || rc == COAT_ELIMIT)
        coat_store_note_corrupt_entry(r->cache->store);
    if (rc < 0)
        return rc;
    values->values[index].at = values->bytes.len;
    values->values[index].len = len;
    return coat_buf_append(&values->bytes, value, len) < 0 ? coat_error_nomem(err) : 1;
}

static int found(void *context, const struct coat_reply *replies, size_t count,
                 struct coat_error *err)
{
    const struct reading *r = context;
    int sum = 0;
    for (size_t i = 0; i < count; i++) {
        int rc = keep(r, i, &replies[i], err);
        if (rc < 0)
            return rc;
        sum += rc;
    }
    return sum;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

/* An operation on these keys, without values yet. */
static int begin(struct coat_cache_op **x, struct coat_cache *cache, enum coat_cache_do what,
                 const char *const *keys, size_t count, struct coat_error *err)
{
    *x = NULL;
    if (count > INT_MAX)
        return coat_error_set(err, COAT_EUSAGE, "a cache: too many keys in one call; use several");
    int rc = coat_cache_op_new(x, cache->store, what, count, err);
    if (rc == 0)
        rc = coat_cache_op_in(*x, cache->view, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = coat_cache_op_key(*x, keys[i], strlen(keys[i]), err);
    return rc;
}

/* Runs it if it was made well; frees it. */
static int finish(struct coat_cache *cache, struct coat_cache_op *x, int rc, struct coat_error *err)
{
    if (rc == 0)
        rc = coat_store_run(cache->store, coat_cache_op(x), err);
    coat_cache_op_free(x);
    return rc;
}

static int call(struct coat_cache *cache, enum coat_cache_do what, const char *const *keys,
                size_t count, struct coat_error *err)
{
    struct coat_cache_op *x;
    int rc = begin(&x, cache, what, keys, count, err);
    return finish(cache, x, rc, err);
}

/* fn is told of the replies, with `r` as its context. */
static int read_with(struct coat_cache *cache, enum coat_cache_do what, const char *const *keys,
                     size_t count, coat_cache_found_fn *fn, struct reading *r,
                     struct coat_cache_values **out, struct coat_error *err)
{
    struct coat_cache_op *x;
    *out = NULL;
    r->values = new_values(count);
    if (!r->values)
        return coat_error_nomem(err);
    int rc = begin(&x, cache, what, keys, count, err);
    if (rc == 0)
        coat_cache_op_found(x, fn, r);
    rc = finish(cache, x, rc, err);
    if (rc < 0)
        coat_cache_values_free(r->values);
    else
        *out = r->values;
    return rc;
}

static int read_one_with(struct coat_cache *cache, enum coat_cache_do what, const char *key,
                         coat_cache_found_fn *fn, struct reading *r, struct coat_cache_values **out,
                         struct coat_error *err)
{
    int rc = read_with(cache, what, &key, 1, fn, r, out, err);
    if (rc == 0) {
        coat_cache_values_free(*out);
        *out = NULL;
    }
    return rc;
}

static int read_one(struct coat_cache *cache, enum coat_cache_do what, const char *key,
                    struct coat_cache_values **out, struct coat_error *err)
{
    struct reading reading = {cache, NULL};
    return read_one_with(cache, what, key, found, &reading, out, err);
}

/* As operations have it, 0 for none. 0 or COAT_EUSAGE. */
static int take_ttl(int64_t *ttl_ms, struct coat_error *err)
{
    if (*ttl_ms == COAT_CACHE_NO_TTL)
        *ttl_ms = 0;
    else if (*ttl_ms < 1 || *ttl_ms > COAT_CACHE_TTL_MAX)
        return coat_error_set(err, COAT_EUSAGE,
                              "a TTL is from 1 to 315360000000 milliseconds (ten years), or "
                              "COAT_CACHE_NO_TTL");
    return 0;
}

/* ---- One entry ------------------------------------------------------------------------------ */

int coat_cache_get(struct coat_cache *cache, const char *key, struct coat_cache_values **out,
                   struct coat_error *err)
{
    return read_one(cache, COAT_CACHE_GET, key, out, err);
}

int coat_cache_pop(struct coat_cache *cache, const char *key, struct coat_cache_values **out,
                   struct coat_error *err)
{
    return read_one(cache, COAT_CACHE_POP, key, out, err);
}

static int set_value(struct coat_cache *cache, const char *key, const void *value, size_t len,
                     int64_t ttl_ms, enum coat_cache_when when, struct coat_error *err)
{
    static const enum coat_cache_do WHAT[] = {[COAT_CACHE_ALWAYS] = COAT_CACHE_SET,
                                              [COAT_CACHE_IF_NEW] = COAT_CACHE_ADD,
                                              [COAT_CACHE_IF_PRESENT] = COAT_CACHE_REPLACE};
    struct coat_cache_op *x;
    int rc = begin(&x, cache, WHAT[when], &key, 1, err);
    if (rc == 0)
        rc = coat_cache_op_value(x, value, len, ttl_ms, err);
    return finish(cache, x, rc, err);
}

int coat_cache_set(struct coat_cache *cache, const char *key, struct coat_packer *p, int64_t ttl_ms,
                   enum coat_cache_when when, struct coat_error *err)
{
    const void *value;
    size_t len;
    int rc = coat_packer_finish(p, &value, &len, err);
    if (rc == 0)
        rc = take_ttl(&ttl_ms, err);
    if (rc == 0)
        rc = set_value(cache, key, value, len, ttl_ms, when, err);
    coat_packer_reset(p);
    return rc;
}

int coat_cache_delete(struct coat_cache *cache, const char *key, struct coat_error *err)
{
    return call(cache, COAT_CACHE_DELETE, &key, 1, err);
}

int coat_cache_has(struct coat_cache *cache, const char *key, struct coat_error *err)
{
    return call(cache, COAT_CACHE_HAS, &key, 1, err);
}

int coat_cache_touch(struct coat_cache *cache, const char *key, int64_t ttl_ms,
                     struct coat_error *err)
{
    int rc = take_ttl(&ttl_ms, err);
    if (rc < 0)
        return rc;
    struct coat_cache_op *x;
    rc = begin(&x, cache, COAT_CACHE_TOUCH, &key, 1, err);
    if (rc == 0)
        rc = coat_cache_op_value(x, NULL, 0, ttl_ms, err);
    return finish(cache, x, rc, err);
}

int coat_cache_ttl(struct coat_cache *cache, const char *key, int64_t *ttl_ms,
                   struct coat_error *err)
{
    struct coat_cache_op *x;
    int rc = begin(&x, cache, COAT_CACHE_TTL, &key, 1, err);
    if (rc == 0)
        rc = coat_store_run(cache->store, coat_cache_op(x), err);
    if (rc == 1)
        *ttl_ms = coat_cache_op_number(x) < 0 ? COAT_CACHE_NO_TTL : coat_cache_op_number(x);
    coat_cache_op_free(x);
    return rc;
}

int coat_cache_incr(struct coat_cache *cache, const char *key, int64_t by, const int64_t *initial,
                    int64_t ttl_ms, int64_t *sum, struct coat_error *err)
{
    int rc = initial ? take_ttl(&ttl_ms, err) : 0;
    if (rc < 0)
        return rc;
    struct coat_cache_op *x;
    rc = begin(&x, cache, COAT_CACHE_INCR, &key, 1, err);
    if (rc == 0)
        rc = coat_cache_op_incr(x, by, initial, ttl_ms, err);
    if (rc == 0)
        rc = coat_store_run(cache->store, coat_cache_op(x), err);
    if (rc == 1 && sum)
        *sum = coat_cache_op_number(x);
    coat_cache_op_free(x);
    return rc;
}

_Static_assert(COAT_CACHE_VERSION_SIZE == COAT_CACHE_VERSION_LEN + 1, "with its NUL");

struct versioned {
    struct reading reading; /* first, so that `found` finds it */
    char *version;
};

static int found_versioned(void *context, const struct coat_reply *replies, size_t count,
                           struct coat_error *err)
{
    const struct versioned *v = context;
    int rc = found(context, replies, count, err);
    if (rc == 1 && coat_cache_version(replies, v->version, err) < 0)
        return COAT_EUNAVAILABLE;
    return rc;
}

int coat_cache_get_versioned(struct coat_cache *cache, const char *key,
                             struct coat_cache_values **out, char version[COAT_CACHE_VERSION_SIZE],
                             struct coat_error *err)
{
    struct versioned versioned = {{cache, NULL}, version};
    return read_one_with(cache, COAT_CACHE_GET, key, found_versioned, &versioned.reading, out, err);
}

static int swap(struct coat_cache *cache, const char *key, const char *version, const void *value,
                size_t len, int64_t ttl_ms, struct coat_error *err)
{
    struct coat_cache_op *x;
    int rc = begin(&x, cache, COAT_CACHE_SWAP, &key, 1, err);
    if (rc == 0)
        rc = coat_cache_op_version(x, version, strlen(version), err);
    if (rc == 0)
        rc = coat_cache_op_value(x, value, len, ttl_ms, err);
    return finish(cache, x, rc, err);
}

int coat_cache_compare_and_set(struct coat_cache *cache, const char *key, const char *version,
                               struct coat_packer *p, int64_t ttl_ms, struct coat_error *err)
{
    const void *value;
    size_t len;
    int rc = coat_packer_finish(p, &value, &len, err);
    if (rc == 0)
        rc = take_ttl(&ttl_ms, err);
    if (rc == 0)
        rc = swap(cache, key, version, value, len, ttl_ms, err);
    coat_packer_reset(p);
    return rc;
}

/* ---- Many entries --------------------------------------------------------------------------- */

int coat_cache_get_many(struct coat_cache *cache, const char *const *keys, size_t count,
                        struct coat_cache_values **out, struct coat_error *err)
{
    struct reading reading = {cache, NULL};
    return read_with(cache, COAT_CACHE_GET, keys, count, found, &reading, out, err);
}

int coat_cache_delete_many(struct coat_cache *cache, const char *const *keys, size_t count,
                           struct coat_error *err)
{
    return call(cache, COAT_CACHE_DELETE, keys, count, err);
}

static int add_item(struct coat_cache_op *x, const struct coat_limits *limits,
                    const struct coat_cache_item *item, int64_t ttl_ms, struct coat_error *err)
{
    int rc = coat_check(item->value, item->len, limits, COAT_CHECK_EQUAL_KEYS, NULL, err);
    if (rc == 0)
        rc = coat_cache_op_key(x, item->key, strlen(item->key), err);
    return rc == 0 ? coat_cache_op_value(x, item->value, item->len, ttl_ms, err) : rc;
}

int coat_cache_set_many(struct coat_cache *cache, const struct coat_cache_item *items, size_t count,
                        int64_t ttl_ms, struct coat_error *err)
{
    struct coat_cache_op *x = NULL;
    int rc = count > INT_MAX ? coat_error_set(err, COAT_EUSAGE,
                                              "a cache: too many keys in one call; use several")
                             : take_ttl(&ttl_ms, err);
    if (rc == 0)
        rc = coat_cache_op_new(&x, cache->store, COAT_CACHE_SET, count, err);
    if (rc == 0)
        rc = coat_cache_op_in(x, cache->view, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_item(x, coat_store_limits(cache->store), &items[i], ttl_ms, err);
    rc = finish(cache, x, rc, err);
    return rc < 0 ? rc : 0;
}

/* ---- Making a value once --------------------------------------------------------------------- */

struct coat_cache_work {
    struct coat_cache *cache;
    struct coat_cache_fill *fill;
    int held; /* the lock, as far as is known */
};

static int new_work(struct coat_cache_work **out, struct coat_cache *cache, const char *key,
                    int64_t lock_ms, struct coat_error *err)
{
    *out = NULL;
    if (lock_ms < 1 || lock_ms > 3600000)
        return coat_error_set(err, COAT_EUSAGE,
                              "the lock of who makes a value is for 1 to 3600000 milliseconds");
    struct coat_cache_work *work = calloc(1, sizeof *work);
    if (!work)
        return coat_error_nomem(err);
    work->cache = cache;
    int rc = coat_cache_fill_new_in(&work->fill, cache->store, cache->view, key, strlen(key),
                                    lock_ms, err);
    if (rc < 0)
        free(work);
    else
        *out = work;
    return rc;
}

/* Told of the entry perhaps twice: the last time counts. */
static int found_last(void *context, const struct coat_reply *replies, size_t count,
                      struct coat_error *err)
{
    const struct reading *r = context;
    coat_buf_clear(&r->values->bytes);
    r->values->values[0].len = 0;
    return found(context, replies, count, err);
}

static int fetch(struct coat_cache_work *work, struct coat_cache_values *values,
                 struct coat_error *err)
{
    struct reading reading = {work->cache, values};
    int rc = coat_store_run(work->cache->store,
                            coat_cache_fetch_op(work->fill, found_last, &reading), err);
    work->held = rc == COAT_FETCH_MAKE || rc == COAT_FETCH_MAKE_AGAIN;
    return rc;
}

int coat_cache_fetch(struct coat_cache *cache, const char *key, int64_t lock_ms,
                     struct coat_cache_values **values, struct coat_cache_work **work,
                     struct coat_error *err)
{
    *values = new_values(1);
    int rc = new_work(work, cache, key, lock_ms, err);
    if (rc == 0)
        rc = *values ? fetch(*work, *values, err) : coat_error_nomem(err);
    if (rc != COAT_FETCH_VALUE && rc != COAT_FETCH_MAKE_AGAIN) {
        coat_cache_values_free(*values);
        *values = NULL;
    }
    if (rc < COAT_FETCH_MAKE) {
        coat_cache_work_close(*work);
        *work = NULL;
    }
    return rc == COAT_FETCH_MAKE_AGAIN ? COAT_CACHE_MAKE : rc;
}

static int fill(struct coat_cache_work *work, const void *value, size_t len, int64_t ttl_ms,
                int64_t stale_ms, int64_t cost_ms, struct coat_error *err)
{
    int rc = take_ttl(&ttl_ms, err);
    if (rc == 0)
        rc = coat_cache_fill_value(work->fill, value, len, ttl_ms, stale_ms, cost_ms, err);
    if (rc == 0)
        rc = coat_store_run(work->cache->store, coat_cache_fill_op(work->fill), err);
    if (rc >= 0)
        work->held = 0;
    return rc;
}

int coat_cache_fill(struct coat_cache_work *work, struct coat_packer *p, int64_t ttl_ms,
                    int64_t stale_ms, int64_t cost_ms, struct coat_error *err)
{
    const void *value;
    size_t len;
    int rc = coat_packer_finish(p, &value, &len, err);
    if (rc == 0)
        rc = fill(work, value, len, ttl_ms, stale_ms, cost_ms, err);
    coat_packer_reset(p);
    return rc;
}

void coat_cache_work_close(struct coat_cache_work *work)
{
    if (!work)
        return;
    if (work->held) /* where that fails, the lock ends by itself */
        coat_store_run(work->cache->store, coat_cache_release_op(work->fill), NULL);
    coat_cache_fill_free(work->fill);
    free(work);
}

/* ---- All entries ---------------------------------------------------------------------------- */

static int tell_keys(const struct coat_cache_scan *scan, coat_cache_key_fn *fn, void *context)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < coat_cache_scan_count(scan); i++) {
        size_t len;
        const char *key = coat_cache_scan_key(scan, i, &len);
        rc = fn(context, key, len);
    }
    return rc;
}

int coat_cache_keys(struct coat_cache *cache, const char *pattern, coat_cache_key_fn *fn,
                    void *context, struct coat_error *err)
{
    struct coat_cache_scan *scan;
    int more = 1, said = 0;
    int rc = coat_cache_scan_new_in(&scan, cache->store, cache->view, COAT_CACHE_SCAN_KEYS, pattern,
                                    strlen(pattern), err);
    while (rc == 0 && more && said == 0) {
        more = coat_store_run(cache->store, coat_cache_scan_op(scan), err);
        rc = more < 0 ? more : 0;
        if (rc == 0)
            said = tell_keys(scan, fn, context);
    }
    coat_cache_scan_free(scan);
    return rc < 0 ? rc : said;
}

static int clear_all(struct coat_cache *cache, int64_t *removed, struct coat_error *err)
{
    struct coat_cache_scan *scan;
    int64_t sum = 0;
    int more = 1;
    int rc = coat_cache_scan_new(&scan, cache->store, COAT_CACHE_SCAN_CLEAR, "*", 1, err);
    while (rc == 0 && more) {
        more = coat_store_run(cache->store, coat_cache_scan_op(scan), err);
        rc = more < 0 ? more : 0;
        sum += rc == 0 ? (int64_t)coat_cache_scan_count(scan) : 0;
    }
    coat_cache_scan_free(scan);
    if (removed)
        *removed = sum;
    return rc;
}

int coat_cache_clear(struct coat_cache *cache, int64_t *removed, struct coat_error *err)
{
    if (!cache->view)
        return clear_all(cache, removed, err);
    int rc = coat_cache_invalidate(cache, NULL, 0, err);
    if (removed)
        *removed = rc < 0 ? 0 : rc;
    return rc < 0 ? rc : 0;
}

/* ---- Namespaces and tags -------------------------------------------------------------------- */

static int new_view(struct coat_cache **out, struct coat_cache *in, enum coat_view_kind kind,
                    const char *const *names, size_t count, struct coat_error *err)
{
    size_t lens[COAT_VIEW_NAMES_MAX];
    *out = NULL;
    if (count > COAT_VIEW_NAMES_MAX)
        return coat_error_set(err, COAT_EUSAGE, "what is cached has at most %d tags",
                              COAT_VIEW_NAMES_MAX);
    struct coat_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return coat_error_nomem(err);
    cache->store = in->store;
    for (size_t i = 0; i < count; i++)
        lens[i] = strlen(names[i]);
    int rc = coat_view_new(&cache->view, in->store, in->view, kind, names, lens, count, err);
    if (rc < 0)
        free(cache);
    else
        *out = cache;
    return rc;
}

int coat_cache_namespace(struct coat_cache **out, struct coat_cache *cache, const char *name,
                         struct coat_error *err)
{
    return new_view(out, cache, COAT_VIEW_NAMESPACE, &name, 1, err);
}

int coat_cache_tagged(struct coat_cache **out, struct coat_cache *cache, const char *const *tags,
                      size_t count, struct coat_error *err)
{
    return new_view(out, cache, COAT_VIEW_TAGS, tags, count, err);
}

int coat_cache_invalidate(struct coat_cache *cache, const char *const *names, size_t count,
                          struct coat_error *err)
{
    struct coat_cache_op *x;
    if (count > 0)
        return call(cache, COAT_CACHE_INVALIDATE, names, count, err);
    if (!cache->view)
        return coat_error_set(err, COAT_EUSAGE,
                              "say which namespaces or tags of the cache are to be invalidated; "
                              "coat_cache_clear deletes everything");
    int rc =
        coat_cache_op_new(&x, cache->store, COAT_CACHE_INVALIDATE, coat_view_own(cache->view), err);
    if (rc == 0)
        rc = coat_cache_op_in(x, cache->view, err);
    if (rc == 0)
        rc = coat_cache_op_own(x, err);
    return finish(cache, x, rc, err);
}
