/*
 * cache_script.h: operations of a cache in the scripted driver.
 *
 *     cache_new(&t, COAT_CACHE_GET, "a", "b", NULL);
 *     cache_start(&t);
 *     script_sent(&t.script, 0, "GET", "shop:c:k:a", NULL);
 */
#ifndef CACHE_SCRIPT_H
#define CACHE_SCRIPT_H

#include "script_driver.h"

#include "api/cache.h"

#define VALUE "\xa3two" /* the text "two", as packed */
#define ENTRY                                                                                      \
    "\xc1"                                                                                         \
    "\x00" VALUE

struct cache_script {
    struct script script;
    struct coat_cache_op *x;
    int told;           /* how often `found` was called */
    int found_answers;  /* what it returns */
    size_t found_count; /* of replies */
};

static inline void cache_begin(struct cache_script *t, enum coat_cache_do what, size_t count)
{
    memset(t, 0, sizeof *t);
    script_init(&t->script);
    assert_int_equal(coat_cache_op_new(&t->x, &t->script.store, what, count, NULL), 0);
    t->script.op = coat_cache_op(t->x);
}

static inline void cache_key(struct cache_script *t, const char *key)
{
    assert_int_equal(coat_cache_op_key(t->x, key, strlen(key), NULL), 0);
}

static inline void cache_value(struct cache_script *t, const char *value, size_t len,
                               int64_t ttl_ms)
{
    assert_int_equal(coat_cache_op_value(t->x, value, len, ttl_ms, NULL), 0);
}

/* On the one key "a". */
static inline void cache_one(struct cache_script *t, enum coat_cache_do what)
{
    cache_begin(t, what, 1);
    cache_key(t, "a");
}

static inline void cache_start(struct cache_script *t)
{
    script_event(&t->script, (struct coat_event){.kind = COAT_EVENT_START});
}

/* The same reply to each command that was sent. */
static inline void cache_answer(struct cache_script *t, struct coat_reply reply)
{
    struct coat_reply replies[4] = {reply, reply, reply, reply};
    assert_true(script_commands(&t->script) <= 4);
    script_answer_all(&t->script, replies);
}

static inline int cache_found(void *context, const struct coat_reply *replies, size_t count,
                              struct coat_error *err)
{
    struct cache_script *t = context;
    assert_non_null(replies);
    t->told++;
    t->found_count = count;
    return t->found_answers < 0 ? coat_error_set(err, t->found_answers, "said by a test")
                                : t->found_answers;
}

static inline void cache_free(struct cache_script *t)
{
    coat_cache_op_free(t->x);
}

#endif
