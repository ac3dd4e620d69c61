#include "generation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "attempt.h"
#include "refusal.h"
#include "sid.h"
#include "store.h"

enum { ASKING, RUNNING };

enum {
    AGAIN_MAX = 16, /* how often the generations may change under one operation */
    DIGITS_MAX = COAT_VIEW_NAMES_MAX * COAT_GENERATION_LEN
};

struct coat_guard {
    struct coat_op op;
    struct coat_store *store;
    const struct coat_view *view;
    struct coat_op *inner;
    coat_rekey_fn *rekey;
    int makes, phase;
    int changes; /* of the generations under it */
    int asked;   /* without an answer */
    uint64_t now[COAT_VIEW_NAMES_MAX];
    char digits[DIGITS_MAX + 1]; /* of all, or those that are proposed */
    struct coat_attempt attempt; /* of asking */
    struct coat_arg args[2 * COAT_VIEW_NAMES_MAX];
    struct coat_command *commands; /* the inner operation's, and a GET of each generation */
    size_t room, sent;
};

/* ---- What was seen last ---------------------------------------------------------------------- */

/* Two names may have one place: what is remembered wrongly is found out by the next reply. */
static _Atomic uint64_t *place_of(struct coat_store *store, struct coat_arg key)
{
    const unsigned char *at = key.bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return &store->generations[(hash ^ hash >> 32) % COAT_GENERATIONS];
}

static uint64_t recall(struct coat_store *store, struct coat_arg key)
{
    return atomic_load_explicit(place_of(store, key), memory_order_relaxed);
}

static void remember(struct coat_store *store, struct coat_arg key, uint64_t generation)
{
    atomic_store_explicit(place_of(store, key), generation, memory_order_relaxed);
}

void coat_generation_forget(struct coat_store *store, struct coat_arg key)
{
    remember(store, key, 0);
}

/* ---- Making it ------------------------------------------------------------------------------- */

static void guard_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err);

struct coat_guard *coat_guard_new(struct coat_store *store, const struct coat_view *view,
                                  struct coat_op *inner, coat_rekey_fn *rekey)
{
    struct coat_guard *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->store = store;
    g->view = view;
    g->inner = inner;
    g->rekey = rekey;
    for (size_t i = 0; i < view->count; i++) {
        g->args[2 * i] = (struct coat_arg){"GET", 3};
        g->args[2 * i + 1] = coat_view_key(view, i);
    }
    return g;
}

void coat_guard_free(struct coat_guard *g)
{
    if (!g)
        return;
    coat_attempt_release(&g->attempt);
    free(g->commands);
    free(g);
}

struct coat_op *coat_guard_op(struct coat_guard *g, int makes)
{
    g->op = (struct coat_op){.step = guard_step, .kind = g->inner->kind};
    g->makes = makes;
    return &g->op;
}

/* ---- Generations as text --------------------------------------------------------------------- */

static void write_digits(struct coat_guard *g, size_t nth, uint64_t generation)
{
    snprintf(g->digits + nth * COAT_GENERATION_LEN, COAT_GENERATION_LEN + 1, "%016" PRIx64,
             generation);
}

/* 1: that of the reply; 0: there is none; or what is wrong with it. */
static int read_generation(const struct coat_reply *reply, uint64_t *generation,
                           struct coat_error *err)
{
    *generation = 0;
    if (reply->kind == COAT_REPLY_NIL)
        return 0;
    if (reply->kind != COAT_REPLY_BULK)
        return coat_attempt_foreign(err);
    for (size_t i = 0; i < reply->len && reply->len == COAT_GENERATION_LEN; i++) {
        int c = reply->bytes[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            break;
        *generation = *generation << 4 | (uint64_t)digit;
        if (i + 1 == COAT_GENERATION_LEN && *generation != 0)
            return 1;
    }
    return coat_error_set(err, COAT_ECORRUPT,
                          "what is stored is no generation of a namespace; see whether others "
                          "write under the prefix of the cache, and invalidate it");
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static int done(struct coat_step *step, int rc)
{
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
    return 0;
}

/*
 * A generation that is proposed goes out once. If it arrived a second time, when it had been ended
 * in between, what was written in it would rise again.
 */
static int propose(struct coat_guard *g, size_t nth, struct coat_error *err)
{
    uint64_t random;
    int rc = coat_random(&random, sizeof random, err);
    if (rc < 0)
        return rc;
    write_digits(g, nth, random ? random : 1);
    coat_attempt_command(&g->attempt, "SET");
    coat_attempt_arg(&g->attempt, g->args[2 * nth + 1].bytes, g->args[2 * nth + 1].len);
    coat_attempt_arg(&g->attempt, g->digits + nth * COAT_GENERATION_LEN, COAT_GENERATION_LEN);
    coat_attempt_word(&g->attempt, "NX");
    return 0;
}

static int ask(struct coat_guard *g, struct coat_step *step, struct coat_error *err)
{
    size_t count = g->view->count;
    int rc = coat_attempt_reserve(&g->attempt, 2 * count, 6 * count, err);
    if (rc < 0)
        return rc;
    g->phase = ASKING;
    g->asked++;
    coat_attempt_begin(&g->attempt, COAT_LOSS_FAILS, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        struct coat_arg key = g->args[2 * i + 1];
        coat_attempt_key(&g->attempt, key.bytes, key.len);
        if (g->makes && (rc = propose(g, i, err)) < 0)
            return rc;
        coat_attempt_command(&g->attempt, "GET");
        coat_attempt_arg(&g->attempt, key.bytes, key.len);
    }
    coat_attempt_send_once(&g->attempt, step);
    return 0;
}

/* ---- Running --------------------------------------------------------------------------------- */

static struct coat_command *room_for(struct coat_guard *g, size_t count)
{
    size_t size;
    if (count <= g->room)
        return g->commands;
    struct coat_command *more = NULL;
    if (coat_size_mul(count, sizeof *more, &size) && size <= PTRDIFF_MAX)
        more = realloc(g->commands, size);
    if (!more)
        return NULL;
    g->commands = more;
    g->room = count;
    return more;
}

/* The step of the inner operation, with its commands those that tell whether it counts. */
static int pass(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
                struct coat_error *err)
{
    size_t count = g->view->count;
    g->inner->step(g->inner, event, step, err);
    if (step->kind != COAT_STEP_SEND)
        return 0;
    struct coat_command *commands = room_for(g, step->count + count);
    if (!commands)
        return coat_error_nomem(err);
    memcpy(commands, step->commands, step->count * sizeof *commands);
    for (size_t i = 0; i < count; i++)
        commands[step->count + i] =
            (struct coat_command){.args = &g->args[2 * i], .count = 2, .key = g->args[2 * i + 1]};
    step->commands = commands;
    step->count += count;
    g->sent = step->count;
    return 0;
}

static int run(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
               struct coat_error *err)
{
    struct coat_event start = *event;
    start.kind = COAT_EVENT_START;
    start.replies = NULL;
    start.count = 0;
    for (size_t i = 0; i < g->view->count; i++)
        write_digits(g, i, g->now[i]);
    g->phase = RUNNING;
    g->rekey(g->inner, g->digits, g->view->count * COAT_GENERATION_LEN);
    return pass(g, &start, step, err);
}

static int begin(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
                 struct coat_error *err)
{
    size_t known = 0;
    for (size_t i = 0; i < g->view->count; i++) {
        g->now[i] = recall(g->store, g->args[2 * i + 1]);
        known += g->now[i] != 0;
    }
    return known == g->view->count ? run(g, event, step, err) : ask(g, step, err);
}

/* ---- What comes back ------------------------------------------------------------------------- */

static int take_asked(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err)
{
    size_t each = g->makes ? 2 : 1, there = 0;
    if (event->kind == COAT_EVENT_LOST && !event->final && g->asked < COAT_ATTEMPT_SENDS)
        return ask(g, step, err);
    int rc = coat_attempt_take(&g->attempt, event, step, err);
    if (rc <= 0)
        return rc;
    g->asked = 0;
    for (size_t i = 0; i < g->view->count; i++) {
        rc = read_generation(&event->replies[each * i + each - 1], &g->now[i], err);
        if (rc < 0)
            return rc;
        remember(g->store, g->args[2 * i + 1], g->now[i]);
        there += (size_t)rc;
    }
    if (there == g->view->count)
        return run(g, event, step, err);
    if (g->makes) /* it was ended at once */
        return ++g->changes > AGAIN_MAX ? COAT_EUNAVAILABLE : ask(g, step, err);
    g->rekey(g->inner, NULL, 0);
    return done(step, 0);
}

/* 1: the generations are those that it was sent with; 0: others, or none; or why it fails. */
static int compare(struct coat_guard *g, const struct coat_reply *replies, struct coat_error *err)
{
    size_t same = 0;
    for (size_t i = 0; i < g->view->count; i++) {
        uint64_t generation;
        int rc = replies[i].kind == COAT_REPLY_ERROR
                     ? coat_refusal(&replies[i], err)
                     : read_generation(&replies[i], &generation, err);
        if (rc < 0)
            return rc;
        remember(g->store, g->args[2 * i + 1], generation);
        same += generation == g->now[i];
    }
    return same == g->view->count;
}

/* Whether it counts cannot be told: for the operation that is as a reply that was lost. */
static int pass_lost(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
                     const struct coat_error *why, struct coat_error *err)
{
    struct coat_event lost = *event;
    lost.kind = COAT_EVENT_LOST;
    lost.maybe_sent = lost.final = 1;
    lost.unreached = 0;
    lost.why = why;
    return pass(g, &lost, step, err);
}

static int take_run(struct coat_guard *g, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err)
{
    struct coat_event own = *event;
    if (event->kind != COAT_EVENT_REPLIES)
        return pass(g, event, step, err);
    if (event->count != g->sent)
        return coat_attempt_foreign(err);
    own.count -= g->view->count;
    struct coat_error why = {0};
    int rc = compare(g, event->replies + own.count, &why);
    if (rc < 0)
        return pass_lost(g, event, step, &why, err);
    if (rc > 0)
        return pass(g, &own, step, err);
    return ++g->changes > AGAIN_MAX ? COAT_EUNAVAILABLE : begin(g, event, step, err);
}

static void guard_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err)
{
    struct coat_guard *g = (struct coat_guard *)op;
    int rc;
    if (event->kind == COAT_EVENT_START)
        g->changes = g->asked = 0;
    if (event->kind == COAT_EVENT_START)
        rc = begin(g, event, step, err);
    else
        rc = g->phase == ASKING ? take_asked(g, event, step, err) : take_run(g, event, step, err);
    if (g->changes > AGAIN_MAX)
        rc = coat_error_because(err, COAT_EUNAVAILABLE, "generation",
                                "the namespace was invalidated again and again while a call was "
                                "on its way; see who does that");
    if (rc < 0)
        done(step, rc);
}
