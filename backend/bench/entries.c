#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "bench/contender.h"
#include "coat_cache.h"
#include "coat_store.h"
#include "entry.h"

enum { NAME_SIZE = 32 };

struct entries {
    struct contender base;
    struct coat_cache *cache;
    int64_t ttl_ms;
    /* Of each thread, as many as plan->pipeline. */
    char (*names)[NAME_SIZE];
    const char **keys;
    struct coat_cache_item *items;
};

static struct entries *of(struct contender *c)
{
    return (struct entries *)c;
}

static void name_of(char to[NAME_SIZE], uint64_t n)
{
    snprintf(to, NAME_SIZE, "entry:%llu", (unsigned long long)n);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static int get(struct entries *e, const struct choice *choice, struct coat_error *err)
{
    size_t count = e->base.plan->pipeline, at = choice->thread * count;
    struct coat_cache_values *values;
    const void *value;
    size_t len;
    int found = 1, rc;
    for (size_t i = 0; i < count; i++)
        name_of(e->names[at + i], choice->which[i]);
    rc = count == 1 ? coat_cache_get(e->cache, e->names[at], &values, err)
                    : coat_cache_get_many(e->cache, &e->keys[at], count, &values, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && found; i++)
        found = values && coat_cache_value_of(values, i, &value, &len);
    coat_cache_values_free(values);
    return found ? 0 : CONTENDER_MISSING;
}

static int set(struct entries *e, const struct choice *choice, struct coat_error *err)
{
    size_t count = e->base.plan->pipeline, at = choice->thread * count;
    for (size_t i = 0; i < count; i++) {
        struct coat_cache_item *item = &e->items[at + i];
        name_of(e->names[at + i], choice->which[i]);
        payload_entry(e->base.payload, choice->which[i], &item->value, &item->len);
    }
    return coat_cache_set_many(e->cache, &e->items[at], count, e->ttl_ms, err);
}

/* ---- The contender -------------------------------------------------------------------------- */

static int operate(struct contender *c, const struct choice *choice, struct coat_error *err)
{
    return choice->kind == 0 ? get(of(c), choice, err) : set(of(c), choice, err);
}

static int prepare(struct contender *c, uint64_t n, struct coat_error *err)
{
    char name[NAME_SIZE];
    struct coat_cache_item item = {.key = name};
    name_of(name, n);
    payload_entry(c->payload, n, &item.value, &item.len);
    return coat_cache_set_many(of(c)->cache, &item, 1, of(c)->ttl_ms, err);
}

static uint64_t round_trips(struct contender *c)
{
    return contender_store_round_trips(coat_cache_store(of(c)->cache));
}

static int key_of(struct contender *c, uint64_t n, char *key, size_t *len, struct coat_error *err)
{
    struct coat_buf buf = {0};
    char name[NAME_SIZE];
    name_of(name, n);
    int rc = coat_entry_key(&buf, plan_prefix(c->plan), name, strlen(name), err);
    if (rc == 0) {
        *len = buf.len < CONTENDER_KEY_MAX ? buf.len : CONTENDER_KEY_MAX;
        memcpy(key, buf.bytes, *len);
    }
    coat_buf_release(&buf);
    return rc;
}

static void close_entries(struct contender *c)
{
    struct entries *e = of(c);
    coat_cache_close(e->cache);
    free(e->names);
    free(e->keys);
    free(e->items);
    free(e);
}

static int make_room(struct entries *e, struct coat_error *err)
{
    size_t count = (size_t)e->base.plan->threads * e->base.plan->pipeline;
    e->names = calloc(count, sizeof *e->names);
    e->keys = calloc(count, sizeof *e->keys);
    e->items = calloc(count, sizeof *e->items);
    if (!e->names || !e->keys || !e->items)
        return coat_error_nomem(err);
    for (size_t i = 0; i < count; i++)
        e->keys[i] = e->items[i].key = e->names[i];
    return 0;
}

int contender_of_entries(struct contender **out, const struct plan *plan,
                         const struct payload *payload, struct coat_error *err)
{
    struct entries *e = calloc(1, sizeof *e);
    *out = NULL;
    if (!e)
        return coat_error_nomem(err);
    e->base = (struct contender){.name = "coatcheck",
                                 .plan = plan,
                                 .payload = payload,
                                 .count = plan->sessions,
                                 .prepare = prepare,
                                 .operate = operate,
                                 .round_trips = round_trips,
                                 .key = key_of,
                                 .close = close_entries};
    e->ttl_ms = plan_keep_s(plan) * 1000;
    int rc = make_room(e, err);
    if (rc == 0)
        rc = coat_cache_open(&e->cache, plan->options, err);
    if (rc < 0) {
        close_entries(&e->base);
        return rc;
    }
    *out = &e->base;
    return 0;
}
