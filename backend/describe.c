#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

/* A text under construction. */
struct line {
    char *to;
    size_t left; /* the closing null character included */
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is cut off. */
static void add(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->to, line->left, format, args);
    va_end(args);
    size_t took = n < 0 || !line->left ? 0 : (size_t)n < line->left ? (size_t)n : line->left - 1;
    line->to += took;
    line->left -= took;
}

static void add_host(struct line *line, const struct coat_address *address)
{
    add(line, strchr(address->host, ':') ? "[%s]:%d" : "%s:%d", address->host, address->port);
}

static void add_servers(struct line *line, const struct coat_connect *connect)
{
    static const char *const kinds[] = {"", "+sentinel", "+cluster"};
    add(line, "redis%s%s://", connect->tls.on ? "s" : "", kinds[connect->kind]);
    if (connect->host_count == 0)
        add_host(line, &connect->address);
    for (size_t i = 0; i < connect->host_count; i++) {
        add(line, "%s", i > 0 ? "," : "");
        add_host(line, &connect->hosts[i]);
    }
    if (connect->service)
        add(line, "/%s", connect->service);
    if (connect->kind != COAT_CLUSTER)
        add(line, "/%d", connect->address.db);
}

const char *coat_store_describe(const struct coat_store *store, char *to, size_t size)
{
    const struct coat_options *o = store->options;
    struct line line = {to, size};
    if (o->embedded_dir)
        add(&line, "embedded:%s", o->embedded_dir);
    else if (o->connect.address.scheme == COAT_SCHEME_TCP)
        add_servers(&line, &o->connect);
    else
        add(&line, "unix:%s?db=%d", o->connect.address.path, o->connect.address.db);
    add(&line, ", prefix %s", o->prefix);
    return to;
}
