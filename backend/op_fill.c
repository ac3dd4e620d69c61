/*
 * Making the value of an entry once: fetch it, or the lock of who makes it; fill, or give the lock
 * back. All times are the server's.
 */
#include "api/fill.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "attempt.h"
#include "entry.h"
#include "generation.h"
#include "sid.h"
#include "store.h"

enum { READING, CLAIMING, RETURNING, FILLING, RELEASING };

enum { TOKEN_LEN = 16 };

enum { NO_TTL = -1 }; /* a reply of PTTL */

struct coat_cache_fill {
    struct coat_op op;
    struct coat_store *store;
    struct coat_attempt attempt;
    int phase;
    int64_t fill_ttl_ms;
    coat_cache_found_fn *found;
    void *context;
    double patience; /* of the present fetch: how many times its cost a value may have left */
    int stale;
    int64_t ttl_ms;
    unsigned char token[TOKEN_LEN];
    struct coat_buf entry; /* to be stored */
    struct coat_buf keys;  /* the entry's, then the lock's */
    size_t key_len;
    struct coat_guard *guard; /* in a view; of the fetch only */
    size_t width;             /* digits, 0: in none */
    char digits[COAT_VIEW_NAMES_MAX * COAT_GENERATION_LEN];
};

/* ---- Making it ------------------------------------------------------------------------------ */

/* What was made in generations that have ended since is stored where nobody will find it. */
static void rekey(struct coat_op *op, const char *digits, size_t len)
{
    struct coat_cache_fill *fill = (struct coat_cache_fill *)op;
    unsigned char *keys = (unsigned char *)fill->keys.bytes;
    if (!digits)
        return;
    memcpy(fill->digits, digits, len);
    coat_entry_renew(keys, fill->store->options->prefix, digits, len);
    coat_entry_renew(keys + fill->key_len, fill->store->options->prefix, digits, len);
}

static int put_keys(struct coat_cache_fill *fill, const char *key, size_t len,
                    struct coat_error *err)
{
    const char *prefix = fill->store->options->prefix;
    int rc = coat_entry_key_in(&fill->keys, prefix, fill->width, key, len, err);
    fill->key_len = fill->keys.len;
    if (rc == 0 && coat_entry_lock_in(&fill->keys, prefix, fill->width, key, len) < 0)
        rc = coat_error_nomem(err);
    return rc;
}

int coat_cache_fill_new_in(struct coat_cache_fill **out, struct coat_store *store,
                           const struct coat_view *view, const char *key, size_t len,
                           int64_t fill_ttl_ms, struct coat_error *err)
{
    *out = NULL;
    struct coat_cache_fill *fill = calloc(1, sizeof *fill);
    if (!fill)
        return coat_error_nomem(err);
    fill->store = store;
    fill->fill_ttl_ms = fill_ttl_ms;
    fill->width = view ? view->count * COAT_GENERATION_LEN : 0;
    int rc = put_keys(fill, key, len, err);
    if (rc == 0 && view && !(fill->guard = coat_guard_new(store, view, &fill->op, rekey)))
        rc = coat_error_nomem(err);
    if (rc < 0)
        coat_cache_fill_free(fill);
    else
        *out = fill;
    return rc;
}

int coat_cache_fill_new(struct coat_cache_fill **out, struct coat_store *store, const char *key,
                        size_t len, int64_t fill_ttl_ms, struct coat_error *err)
{
    return coat_cache_fill_new_in(out, store, NULL, key, len, fill_ttl_ms, err);
}

void coat_cache_fill_free(struct coat_cache_fill *fill)
{
    if (!fill)
        return;
    coat_guard_free(fill->guard);
    coat_buf_release(&fill->entry);
    coat_buf_release(&fill->keys);
    free(fill);
}

int coat_cache_fill_is_stale(const struct coat_cache_fill *fill)
{
    return fill->stale;
}

const char *coat_cache_fill_generation(const struct coat_cache_fill *fill, size_t *len)
{
    *len = fill->width;
    return fill->digits;
}

static uint32_t clamp(int64_t ms)
{
    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

int coat_cache_fill_value(struct coat_cache_fill *fill, const void *value, size_t len,
                          int64_t ttl_ms, int64_t stale_ms, int64_t cost_ms, struct coat_error *err)
{
    struct coat_entry_made made = {clamp(cost_ms), clamp(stale_ms)};
    if (ttl_ms == 0) /* it never ends, so neither counts */
        made = (struct coat_entry_made){0};
    coat_buf_clear(&fill->entry);
    if (coat_entry_put_made(&fill->entry, value, len, &made) < 0)
        return coat_error_nomem(err);
    fill->ttl_ms = ttl_ms + made.stale_ms;
    return 0;
}

/* ---- Is it time? ---------------------------------------------------------------------------- */

/*
 * -ln(u) of a random u between 0 and 1: mostly about 1, seldom 5 or 10. Many who read one entry
 * then do not find that it is time all at once. u = m / 2^n with 1 <= m < 2; the series of ln(m)
 * is good to four digits.
 */
static double draw_patience(uint64_t random)
{
    double ln2 = 0.693147180559945, n = 64, m = (double)random;
    if (random == 0)
        return 64 * ln2;
    while (m >= 2) {
        m /= 2;
        n--;
    }
    double s = (m - 1) / (m + 1);
    return n * ln2 - 2 * s * (1 + s * s * (1.0 / 3 + s * s / 5));
}

enum age { MISSING, STALE, DUE, FRESH };

/*
 * What is known of an entry, by its bytes and its PTTL. One that costs c is made anew when less
 * than c times the patience is left: so early that the new value is there before the end.
 */
static enum age age_of(struct coat_cache_fill *fill, const struct coat_reply *entry, long long ttl)
{
    if (entry->kind == COAT_REPLY_NIL)
        return MISSING;
    if (ttl == NO_TTL || entry->kind == COAT_REPLY_ERROR)
        return FRESH; /* who is told of it says whether it can be used */
    struct coat_entry_made made = coat_entry_made(entry->bytes, entry->len);
    if (ttl <= (long long)made.stale_ms)
        return made.stale_ms > 0 ? STALE : FRESH; /* at its very end */
    return (double)(ttl - made.stale_ms) < made.cost_ms * fill->patience ? DUE : FRESH;
}

/* ---- Sending -------------------------------------------------------------------------------- */

static void add_key(struct coat_cache_fill *fill)
{
    coat_attempt_arg(&fill->attempt, fill->keys.bytes, fill->key_len);
}

static void begin(struct coat_cache_fill *fill, int phase)
{
    fill->phase = phase;
    coat_attempt_begin(&fill->attempt, COAT_LOSS_FAILS, fill->keys.bytes, fill->key_len);
}

static void send_read(struct coat_cache_fill *fill, struct coat_step *step)
{
    begin(fill, READING);
    coat_attempt_let_wrong_type(&fill->attempt);
    coat_attempt_command(&fill->attempt, "GET");
    add_key(fill);
    coat_attempt_command(&fill->attempt, "PTTL");
    add_key(fill);
    coat_attempt_send(&fill->attempt, step);
}

/* A script on lock and entry, with the token. */
static void run(struct coat_cache_fill *fill, int phase, const struct coat_script *script)
{
    begin(fill, phase);
    coat_attempt_run(&fill->attempt, script, 2);
    coat_attempt_arg(&fill->attempt, fill->keys.bytes + fill->key_len,
                     fill->keys.len - fill->key_len);
    add_key(fill);
    coat_attempt_arg(&fill->attempt, fill->token, sizeof fill->token);
}

/* The token tells whose the lock is, so this may be repeated. */
static void send_claim(struct coat_cache_fill *fill, struct coat_step *step)
{
    run(fill, CLAIMING, &coat_script_claim);
    coat_attempt_number(&fill->attempt, fill->fill_ttl_ms);
    coat_attempt_send(&fill->attempt, step);
}

static void send_return(struct coat_cache_fill *fill, int phase, struct coat_step *step)
{
    run(fill, phase, &coat_script_fill);
    coat_attempt_word(&fill->attempt, "");
    coat_attempt_word(&fill->attempt, "1");
    coat_attempt_send(&fill->attempt, step);
}

static void send_fill(struct coat_cache_fill *fill, struct coat_step *step)
{
    run(fill, FILLING, &coat_script_fill);
    coat_attempt_arg(&fill->attempt, fill->entry.bytes, fill->entry.len);
    coat_attempt_number(&fill->attempt, fill->ttl_ms);
    coat_attempt_send(&fill->attempt, step);
}

/* ---- Fetch ---------------------------------------------------------------------------------- */

static int done(struct coat_step *step, int rc)
{
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
    return 0;
}

static int is_entry(const struct coat_reply *entry, const struct coat_reply *ttl)
{
    return ttl->kind == COAT_REPLY_INTEGER &&
           (entry->kind == COAT_REPLY_BULK || entry->kind == COAT_REPLY_NIL ||
            entry->kind == COAT_REPLY_ERROR); /* WRONGTYPE */
}

/* Tell of an entry: 1; 0: there is none that can be used; or what is wrong with it. */
static int tell(struct coat_cache_fill *fill, const struct coat_reply *entry, enum age age,
                struct coat_error *err)
{
    fill->stale = age == STALE;
    return age == MISSING ? 0 : fill->found ? fill->found(fill->context, entry, 1, err) : 1;
}

static int was_read(struct coat_cache_fill *fill, const struct coat_event *event,
                    struct coat_step *step, struct coat_error *err)
{
    const struct coat_reply *entry = &event->replies[0], *ttl = &event->replies[1];
    if (!is_entry(entry, ttl))
        return coat_attempt_foreign(err);
    enum age age = age_of(fill, entry, ttl->integer);
    int rc = age == FRESH ? tell(fill, entry, age, err) : 0;
    if (rc < 0)
        return rc;
    if (rc > 0)
        return done(step, COAT_FETCH_VALUE);
    send_claim(fill, step);
    return 0;
}

static int was_claimed(struct coat_cache_fill *fill, const struct coat_event *event,
                       struct coat_step *step, struct coat_error *err)
{
    const struct coat_reply *reply = event->replies, *items = reply->items;
    if (reply->kind != COAT_REPLY_ARRAY || reply->count != 3 ||
        items[0].kind != COAT_REPLY_INTEGER || !is_entry(&items[1], &items[2]))
        return coat_attempt_foreign(err);
    int ours = items[0].integer == 1;
    enum age age = age_of(fill, &items[1], items[2].integer);
    int rc = tell(fill, &items[1], age, err);
    if (rc < 0)
        return rc; /* a lock of ours ends by itself */
    if (!ours)
        return done(step, rc > 0 ? COAT_FETCH_VALUE : COAT_FETCH_BUSY);
    if (rc == 0)
        return done(step, COAT_FETCH_MAKE);
    if (age < FRESH)
        return done(step, COAT_FETCH_MAKE_AGAIN);
    send_return(fill, RETURNING, step); /* another one has made it in between */
    return 0;
}

/* ---- Fill, and giving back ------------------------------------------------------------------ */

/* A repeat that finds the lock gone: most likely the send before did it. */
static int was_filled(struct coat_cache_fill *fill, const struct coat_event *event,
                      struct coat_step *step, struct coat_error *err)
{
    const struct coat_reply *reply = event->replies;
    if (reply->kind != COAT_REPLY_INTEGER)
        return coat_attempt_foreign(err);
    if (reply->integer == 0)
        return done(step, fill->attempt.unclear);
    return done(step, reply->integer == 1 || fill->phase == RELEASING);
}

static int answered(struct coat_cache_fill *fill, const struct coat_event *event,
                    struct coat_step *step, struct coat_error *err)
{
    switch (fill->phase) {
    case READING:
        return was_read(fill, event, step, err);
    case CLAIMING:
        return was_claimed(fill, event, step, err);
    case RETURNING:
        return done(step, COAT_FETCH_VALUE);
    default:
        return was_filled(fill, event, step, err);
    }
}

static void take(struct coat_cache_fill *fill, const struct coat_event *event,
                 struct coat_step *step, struct coat_error *err)
{
    int rc = coat_attempt_take(&fill->attempt, event, step, err);
    if (rc > 0)
        rc = answered(fill, event, step, err);
    else if (rc < 0 && fill->phase == RETURNING) /* the value stands, and the lock ends by itself */
        rc = done(step, COAT_FETCH_VALUE);
    if (rc < 0)
        done(step, rc);
}

/* ---- The operations ------------------------------------------------------------------------- */

static int start_fetch(struct coat_cache_fill *fill, struct coat_step *step, struct coat_error *err)
{
    uint64_t random;
    int rc = coat_random(fill->token, sizeof fill->token, err);
    if (rc == 0)
        rc = coat_random(&random, sizeof random, err);
    if (rc < 0)
        return rc;
    fill->patience = draw_patience(random);
    fill->stale = 0;
    send_read(fill, step);
    return 0;
}

static void fetch_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err)
{
    struct coat_cache_fill *fill = (struct coat_cache_fill *)op;
    int rc = 0;
    if (event->kind == COAT_EVENT_START)
        rc = start_fetch(fill, step, err);
    else
        take(fill, event, step, err);
    if (rc < 0)
        done(step, rc);
}

static void fill_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err)
{
    struct coat_cache_fill *fill = (struct coat_cache_fill *)op;
    if (event->kind == COAT_EVENT_START)
        send_fill(fill, step);
    else
        take(fill, event, step, err);
}

static void release_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                         struct coat_error *err)
{
    struct coat_cache_fill *fill = (struct coat_cache_fill *)op;
    if (event->kind == COAT_EVENT_START)
        send_return(fill, RELEASING, step);
    else
        take(fill, event, step, err);
}

struct coat_op *coat_cache_fetch_op(struct coat_cache_fill *fill, coat_cache_found_fn *found,
                                    void *context)
{
    fill->found = found;
    fill->context = context;
    fill->op = (struct coat_op){.step = fetch_step, .kind = COAT_KIND_FETCH};
    return fill->guard ? coat_guard_op(fill->guard, 1) : &fill->op;
}

struct coat_op *coat_cache_fill_op(struct coat_cache_fill *fill)
{
    fill->op = (struct coat_op){.step = fill_step, .kind = COAT_KIND_FILL};
    return &fill->op;
}

struct coat_op *coat_cache_release_op(struct coat_cache_fill *fill)
{
    fill->op = (struct coat_op){.step = release_step, .kind = COAT_KIND_FILL};
    return &fill->op;
}
