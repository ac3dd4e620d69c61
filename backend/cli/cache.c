/* What is asked of a cache. Values are JSON, in and out (json.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "coat_cache.h"
#include "coat_store.h"
#include "store.h"

enum { INPUT_MAX = 64 << 20, READ_PIECE = 65536 };

static const struct coat_options *options_of(const struct cli *cli)
{
    return coat_cache_store(cli->cache)->options;
}

static int not_found(const struct cli *cli, struct coat_error *err)
{
    coat_error_set(err, COAT_EGONE, "there is no entry %s under the prefix %s", cli->args[0],
                   options_of(cli)->prefix);
    return CLI_NOT_FOUND;
}

/* ---- Numbers among the arguments ------------------------------------------------------------ */

static int take_int(const char *text, const char *what, int64_t *number, struct coat_error *err)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (*text && !*end && errno == 0)
        return 0;
    return coat_error_set(err, COAT_EUSAGE, "%s must be an int of 64 bits, as in %s 5", what, what);
}

/* Of what is stored without another; as that of Python's caches. */
static const char DEFAULT_TTL[] = "300";

static int take_ttl(const struct cli *cli, int64_t *ttl_ms, struct coat_error *err)
{
    const char *text = cli->entry.ttl ? cli->entry.ttl : DEFAULT_TTL;
    char *end;
    *ttl_ms = COAT_CACHE_NO_TTL;
    if (strcmp(text, "none") == 0)
        return 0;
    double seconds = strtod(text, &end);
    if (*text && !*end && seconds >= 0.001 && seconds <= (double)COAT_CACHE_TTL_MAX / 1000) {
        *ttl_ms = (int64_t)(seconds * 1000);
        return 0;
    }
    return coat_error_set(err, COAT_EUSAGE,
                          "--ttl must be seconds from 0.001 to 315360000 (10 years), or none");
}

/* ---- get ------------------------------------------------------------------------------------ */

int cli_cache_get(struct cli *cli, struct coat_error *err)
{
    struct coat_cache_values *values;
    struct coat_buf json = COAT_BUF_INIT;
    const void *value;
    size_t len;
    int rc = coat_cache_get(cli->cache, cli->args[0], &values, err);
    if (rc == 0)
        return not_found(cli, err);
    if (rc == 1) {
        coat_cache_value_of(values, 0, &value, &len);
        rc = json_append(&json, value, len) < 0 ? coat_error_nomem(err) : 0;
    }
    if (rc == 0)
        output_json(&cli->out, "value", json.bytes, json.len);
    coat_buf_release(&json);
    coat_cache_values_free(values);
    return rc < 0 ? cli_exit_of(rc) : CLI_OK;
}

/* ---- set ------------------------------------------------------------------------------------ */

static int read_input(struct coat_buf *to, struct coat_error *err)
{
    size_t got = 1;
    while (got > 0 && to->len <= INPUT_MAX) {
        if (coat_buf_reserve(to, READ_PIECE) < 0)
            return coat_error_nomem(err);
        got = fread(coat_buf_end(to), 1, READ_PIECE, stdin);
        to->len += got;
    }
    if (ferror(stdin))
        return coat_error_set(err, COAT_EUSAGE, "the input cannot be read: %s", strerror(errno));
    if (to->len > INPUT_MAX)
        return coat_error_set(err, COAT_EUSAGE, "the input has more than %d MiB", INPUT_MAX >> 20);
    return 0;
}

/* The value of the arguments, or of the input for "-". */
static int pack_value(struct cli *cli, struct coat_packer *p, struct coat_error *err)
{
    const char *text = cli->args[1];
    struct coat_buf input = COAT_BUF_INIT;
    if (strcmp(text, "-") != 0)
        return json_pack(p, text, strlen(text), err);
    int rc = read_input(&input, err);
    if (rc == 0)
        rc = json_pack(p, input.len ? (const char *)input.bytes : "", input.len, err);
    coat_buf_release(&input);
    return rc;
}

int cli_cache_set(struct cli *cli, struct coat_error *err)
{
    const struct cli_entry *entry = &cli->entry;
    enum coat_cache_when when = entry->if_new       ? COAT_CACHE_IF_NEW
                                : entry->if_present ? COAT_CACHE_IF_PRESENT
                                                    : COAT_CACHE_ALWAYS;
    struct coat_packer p;
    int64_t ttl_ms = 0;
    coat_packer_init(&p, &options_of(cli)->limits);
    int rc = take_ttl(cli, &ttl_ms, err);
    if (rc == 0)
        rc = pack_value(cli, &p, err);
    if (rc == 0)
        rc = coat_cache_set(cli->cache, cli->args[0], &p, ttl_ms, when, err);
    coat_packer_release(&p);
    if (rc < 0)
        return rc == COAT_ELIMIT || rc == COAT_ENOTSTORABLE ? CLI_USAGE : cli_exit_of(rc);
    if (rc == 0 && when == COAT_CACHE_IF_PRESENT)
        return not_found(cli, err);
    if (rc == 0)
        coat_error_set(err, COAT_EGONE, "there is an entry %s already", cli->args[0]);
    return rc ? CLI_OK : CLI_NOT_FOUND;
}

/* ---- del, ttl, incr ------------------------------------------------------------------------- */

int cli_cache_del(struct cli *cli, struct coat_error *err)
{
    size_t count = 0;
    while (cli->args[count])
        count++;
    int rc = coat_cache_delete_many(cli->cache, cli->args, count, err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_number(&cli->out, "deleted", rc);
    return CLI_OK;
}

int cli_cache_ttl(struct cli *cli, struct coat_error *err)
{
    char text[32] = "none";
    int64_t ttl_ms;
    int rc = coat_cache_ttl(cli->cache, cli->args[0], &ttl_ms, err);
    if (rc < 0)
        return cli_exit_of(rc);
    if (rc == 0)
        return not_found(cli, err);
    if (ttl_ms != COAT_CACHE_NO_TTL)
        snprintf(text, sizeof text, "%" PRId64 ".%03d", ttl_ms / 1000, (int)(ttl_ms % 1000));
    if (cli->out.json && ttl_ms == COAT_CACHE_NO_TTL)
        output_json(&cli->out, "ttl", "null", 4);
    else
        output_json(&cli->out, "ttl", text, strlen(text));
    return CLI_OK;
}

int cli_cache_incr(struct cli *cli, struct coat_error *err)
{
    const char *by_text = cli->args[1];
    int64_t by = 1, initial = 0, ttl_ms = 0, sum;
    char text[32];
    int rc = by_text ? take_int(by_text, "BY", &by, err) : 0;
    if (rc == 0 && cli->entry.initial)
        rc = take_int(cli->entry.initial, "--initial", &initial, err);
    if (rc == 0)
        rc = take_ttl(cli, &ttl_ms, err);
    if (rc == 0)
        rc = coat_cache_incr(cli->cache, cli->args[0], by, cli->entry.if_present ? NULL : &initial,
                             ttl_ms, &sum, err);
    if (rc < 0)
        return cli_exit_of(rc);
    if (rc == 0)
        return not_found(cli, err);
    int len = snprintf(text, sizeof text, "%" PRId64, sum);
    output_json(&cli->out, "value", text, (size_t)len);
    return CLI_OK;
}

/* ---- All entries ---------------------------------------------------------------------------- */

static int say_key(void *context, const char *key, size_t len)
{
    output_bytes(&((struct cli *)context)->out, key, len);
    return 0;
}

int cli_cache_keys(struct cli *cli, struct coat_error *err)
{
    static const struct output_column columns[] = {{"key", 0}};
    const char *pattern = cli->args[0] ? cli->args[0] : "*";
    output_table(&cli->out, "keys", columns, 1);
    int rc = coat_cache_keys(cli->cache, pattern, say_key, cli, err);
    output_table_end(&cli->out);
    return rc < 0 ? cli_exit_of(rc) : CLI_OK;
}

int cli_cache_clear(struct cli *cli, struct coat_error *err)
{
    int64_t removed = 0;
    int rc = coat_cache_clear(cli->cache, &removed, err);
    output_fact_number(&cli->out, "deleted", removed);
    return rc < 0 ? cli_exit_of(rc) : CLI_OK;
}

int cli_cache_invalidate(struct cli *cli, struct coat_error *err)
{
    size_t count = 0;
    while (cli->args[count])
        count++;
    int rc = coat_cache_invalidate(cli->cache, cli->args, count, err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_number(&cli->out, "invalidated", rc);
    return CLI_OK;
}

/* ---- stats ---------------------------------------------------------------------------------- */

enum { BATCH = 200 };

/* Keys are collected, and then looked at together. */
struct census {
    struct cli *cli;
    char *keys[BATCH];
    size_t count;
    int64_t entries, bytes, largest;
    struct coat_error *err;
};

static int look_at_them(struct census *c)
{
    struct coat_cache_values *values = NULL;
    const void *value;
    size_t len;
    int rc =
        coat_cache_get_many(c->cli->cache, (const char *const *)c->keys, c->count, &values, c->err);
    for (size_t i = 0; rc >= 0 && i < c->count; i++) {
        int there = coat_cache_value_of(values, i, &value, &len);
        c->entries += there;
        c->bytes += (int64_t)len;
        if ((int64_t)len > c->largest)
            c->largest = (int64_t)len;
    }
    coat_cache_values_free(values);
    for (size_t i = 0; i < c->count; i++)
        free(c->keys[i]);
    c->count = 0;
    return rc < 0 ? rc : 0;
}

static int count_key(void *context, const char *key, size_t len)
{
    struct census *c = context;
    char *copy = strndup(key, len);
    if (!copy)
        return coat_error_nomem(c->err);
    c->keys[c->count++] = copy;
    return c->count < BATCH ? 0 : look_at_them(c);
}

int cli_cache_stats(struct cli *cli, struct coat_error *err)
{
    struct census census = {.cli = cli, .err = err};
    int rc = coat_cache_keys(cli->cache, "*", count_key, &census, err);
    if (rc == 0)
        rc = look_at_them(&census);
    for (size_t i = 0; i < census.count; i++)
        free(census.keys[i]);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_number(&cli->out, "entries", census.entries);
    output_fact_number(&cli->out, "bytes", census.bytes);
    output_fact_number(&cli->out, "largest", census.largest);
    return CLI_OK;
}
