#include "bare_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set(struct coat_options *o, const char *name, const char *value)
{
    struct coat_error err;
    if (coat_options_set(o, name, value, &err) < 0) {
        fprintf(stderr, "bare store: %s\n", err.text);
        abort();
    }
}

struct coat_store *live_store_new(const char *url, ...)
{
    struct coat_store *store = calloc(1, sizeof *store);
    const char *name;
    va_list args;
    if (!store || coat_options_new(&store->options, NULL) < 0)
        abort();
    set(store->options, "url", url);
    set(store->options, "prefix", "test:");
    va_start(args, url);
    while ((name = va_arg(args, const char *)))
        set(store->options, name, va_arg(args, const char *));
    va_end(args);
    if (coat_pool_new(&store->pool, store->options, NULL) < 0)
        abort();
    return store;
}

void live_store_free(struct coat_store *store)
{
    coat_pool_free(store->pool);
    coat_options_free(store->options);
    free(store);
}

int live_run(struct coat_store *store, struct simple_op *s, struct coat_error *err)
{
    struct coat_call call;
    int rc;
    coat_call_init(&call, store, &s->op, 0);
    do
        rc = coat_call_run(&call, err);
    while (rc == COAT_EINTR);
    coat_call_release(&call);
    return rc;
}

int live_ask(struct coat_store *store, const char *words, struct simple_op *s)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", words);
    simple_op_init(s, copy);
    return live_run(store, s, NULL);
}
