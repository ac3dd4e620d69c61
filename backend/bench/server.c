#include "bench/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "attempt.h"
#include "cli/survey.h"
#include "coat_store.h"
#include "options.h"
#include "refusal.h"

enum { SAMPLE = 1000, PASSES = 20, PATIENCE_MS = 5000 };

struct server {
    struct coat_store *store;
    struct survey survey;
    const char *prefix;
    char marker[COAT_PREFIX_MAX + 8];
    char name[512];
    char keep[24]; /* how long the marker does, in seconds */
    int claimed;
};

/* ---- Asking about keys ---------------------------------------------------------------------- */

static struct coat_arg arg(const char *text)
{
    return (struct coat_arg){text, strlen(text)};
}

static int is_marker(const struct server *server, struct coat_arg key)
{
    return key.len == strlen(server->marker) && memcmp(key.bytes, server->marker, key.len) == 0;
}

/* The same of each of these keys but for the marker, as one pipeline to the node that has them.
 * *asked: of how many, known when the replies come. */
static int ask_of_each(const struct server *server, struct coat_node *node,
                       const struct survey_key *keys, size_t count, const char *const words[2],
                       survey_replies_fn *fn, void *context, size_t *asked, struct coat_error *err)
{
    struct coat_arg(*args)[3] = calloc(count, sizeof *args);
    struct coat_command *commands = calloc(count, sizeof *commands);
    int rc = args && commands ? 0 : coat_error_nomem(err);
    *asked = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct coat_arg *to = args[*asked];
        size_t len = 0;
        if (is_marker(server, keys[i].key))
            continue;
        for (int k = 0; k < 2 && words[k]; k++)
            to[len++] = arg(words[k]);
        to[len++] = keys[i].key;
        commands[(*asked)++] = (struct coat_command){.args = to, .count = len};
    }
    if (rc == 0 && *asked)
        rc = survey_ask_node(&server->survey, node, commands, *asked, fn, context, err);
    free(args);
    free(commands);
    return rc;
}

static int status_came(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal(reply, err);
    *(int *)context = reply->kind != COAT_REPLY_NIL;
    return 0;
}

/* To the node of the key. 0 and *done: it was no nil that came back. */
static int ask_of_marker(const struct server *server, struct coat_arg *args, size_t count,
                         int *done, struct coat_error *err)
{
    struct coat_command command = {.args = args, .count = count, .key = arg(server->marker)};
    return survey_ask(&server->survey, &command, status_came, done, err);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void take_version(struct server *server, const char *info, size_t len)
{
    static const char *const kinds[] = {"valkey_version:", "redis_version:"};
    static const char *const names[] = {"Valkey", "Redis"};
    char where[300];
    coat_store_describe(server->store, where, sizeof where);
    char *with = strstr(where, ", prefix");
    if (with)
        *with = 0;
    snprintf(server->name, sizeof server->name, "%s", where);
    for (int i = 0; i < 2; i++) {
        const char *at = memmem(info, len, kinds[i], strlen(kinds[i]));
        if (!at)
            continue;
        at += strlen(kinds[i]);
        size_t left = len - (size_t)(at - info), size = 0;
        while (size < left && size < 32 && at[size] > ' ')
            size++;
        snprintf(server->name, sizeof server->name, "%s %.*s at %s", names[i], (int)size, at,
                 where);
        return;
    }
}

static int info_came(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal(reply, err);
    if (reply->kind != COAT_REPLY_BULK)
        return coat_attempt_foreign(err);
    take_version(context, reply->bytes, reply->len);
    return 0;
}

/* With connections that the work does not take, and the patience to clean up after a work that is
 * in a hurry. */
static int open_store(struct server *server, const struct plan *plan, struct coat_error *err)
{
    struct coat_options *options = coat_options_copy(plan->options);
    if (!options)
        return coat_error_nomem(err);
    int rc = coat_options_set(options, "max_connections", "8", err);
    if (rc == 0 && options->timeout_ms < PATIENCE_MS)
        rc = coat_options_set(options, "timeout", "5", err);
    if (rc == 0)
        rc = coat_store_open(&server->store, options, err);
    coat_options_free(options);
    return rc;
}

int server_open(struct server **out, const struct plan *plan, struct coat_error *err)
{
    struct coat_arg args[] = {arg("INFO"), arg("server")};
    struct coat_command info = {.args = args, .count = 2};
    struct server *server = calloc(1, sizeof *server);
    *out = NULL;
    if (!server)
        return coat_error_nomem(err);
    server->prefix = plan_prefix(plan);
    snprintf(server->marker, sizeof server->marker, "%smarker", server->prefix);
    snprintf(server->keep, sizeof server->keep, "%lld", (long long)plan_keep_s(plan));
    int rc = open_store(server, plan, err);
    if (rc == 0)
        rc = survey_begin(&server->survey, server->store, err);
    if (rc == 0)
        rc = survey_ask_node(&server->survey, server->survey.nodes[0], &info, 1, info_came, server,
                             err);
    if (rc < 0) {
        server_close(server);
        return rc;
    }
    *out = server;
    return 0;
}

void server_close(struct server *server)
{
    if (!server)
        return;
    survey_end(&server->survey);
    coat_store_close(server->store);
    free(server);
}

const char *server_name(const struct server *server)
{
    return server->name;
}

const struct coat_peer *server_peer(const struct server *server)
{
    return server->survey.count == 1 ? &server->survey.nodes[0]->peer : NULL;
}

/* ---- The prefix ----------------------------------------------------------------------------- */

static int set_marker(struct server *server, struct coat_error *err)
{
    struct coat_arg args[] = {arg("SET"), arg(server->marker), arg("coatcheck-bench"),
                              arg("NX"),  arg("EX"),           arg(server->keep)};
    int was_set = 0;
    int rc = ask_of_marker(server, args, 6, &was_set, err);
    if (rc == 0 && !was_set)
        return coat_error_set(err, COAT_EUSAGE,
                              "another coatcheck-bench has the prefix '%s', or had it and was "
                              "killed; take another one, or none: then it is drawn",
                              server->prefix);
    server->claimed = rc == 0;
    return rc;
}

static int delete_marker(struct server *server, struct coat_error *err)
{
    struct coat_arg args[] = {arg("UNLINK"), arg(server->marker)};
    int done, rc = ask_of_marker(server, args, 2, &done, err);
    if (rc == 0)
        server->claimed = 0;
    return rc;
}

static int refuse_key(void *context, struct coat_node *node, const struct survey_key *keys,
                      size_t count, struct coat_error *err)
{
    struct server *server = context;
    (void)node;
    for (size_t i = 0; i < count; i++) {
        size_t len = keys[i].key.len < 80 ? keys[i].key.len : 80;
        if (!is_marker(server, keys[i].key))
            return coat_error_set(err, COAT_EUSAGE,
                                  "under the prefix '%s' is what this run has not made, such as "
                                  "'%.*s'; all keys there would be deleted at the end, so take "
                                  "another prefix, or none: then it is drawn",
                                  server->prefix, (int)len, (const char *)keys[i].key.bytes);
    }
    return 0;
}

int server_claim(struct server *server, struct coat_error *err)
{
    int rc = set_marker(server, err);
    if (rc < 0)
        return rc;
    rc = survey_every_key(&server->survey, refuse_key, server, err);
    if (rc < 0)
        delete_marker(server, NULL);
    return rc;
}

struct sweep {
    const struct server *server;
    size_t asked; /* of the present pipeline */
    int64_t found;
};

/* One that has gone to another node meanwhile is found there by the next pass. */
static int deletions_came(void *context, const struct coat_reply *replies, struct coat_error *err)
{
    const struct sweep *sweep = context;
    for (size_t i = 0; i < sweep->asked; i++)
        if (replies[i].kind == COAT_REPLY_ERROR && !coat_refusal_means(&replies[i], "MOVED"))
            return coat_refusal(&replies[i], err);
    return 0;
}

static int delete_keys(void *context, struct coat_node *node, const struct survey_key *keys,
                       size_t count, struct coat_error *err)
{
    static const char *const words[2] = {"UNLINK", NULL};
    struct sweep *sweep = context;
    int rc = ask_of_each(sweep->server, node, keys, count, words, deletions_came, sweep,
                         &sweep->asked, err);
    sweep->found += (int64_t)sweep->asked;
    return rc;
}

int server_sweep(struct server *server, int64_t *left, struct coat_error *err)
{
    struct sweep sweep;
    int rc, passes = 0;
    *left = server->claimed ? -1 : 0;
    if (!server->claimed)
        return 0;
    do {
        sweep = (struct sweep){.server = server};
        rc = survey_every_key(&server->survey, delete_keys, &sweep, err);
    } while (rc == 0 && sweep.found && ++passes < PASSES);
    if (rc == 0)
        *left = sweep.found;
    return rc == 0 ? delete_marker(server, err) : rc;
}

/* ---- Costs ---------------------------------------------------------------------------------- */

static int seconds_of(const struct coat_reply *reply, const char *name, double *us)
{
    const char *at = memmem(reply->bytes, reply->len, name, strlen(name));
    double seconds;
    char text[32];
    if (!at)
        return 0;
    at += strlen(name);
    snprintf(text, sizeof text, "%.*s", (int)((const char *)reply->bytes + reply->len - at), at);
    seconds = strtod(text, NULL);
    *us += seconds * 1e6;
    return 1;
}

static int cpu_came(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    if (reply->kind == COAT_REPLY_ERROR)
        return coat_refusal(reply, err);
    if (reply->kind != COAT_REPLY_BULK || !seconds_of(reply, "used_cpu_sys:", context) ||
        !seconds_of(reply, "used_cpu_user:", context))
        return coat_attempt_foreign(err);
    return 0;
}

int server_cpu_us(struct server *server, double *us, struct coat_error *err)
{
    struct coat_arg args[] = {arg("INFO"), arg("cpu")};
    struct coat_command command = {.args = args, .count = 2};
    int rc = 0;
    *us = 0;
    for (size_t i = 0; rc == 0 && i < server->survey.count; i++)
        rc = survey_ask_node(&server->survey, server->survey.nodes[i], &command, 1, cpu_came, us,
                             err);
    return rc;
}

struct sample {
    const struct server *server;
    const char *rest; /* that a key has after the prefix */
    double sizes[SAMPLE];
    size_t count;
    size_t asked; /* of the present pipeline */
};

static int sizes_came(void *context, const struct coat_reply *replies, struct coat_error *err)
{
    struct sample *sample = context;
    for (size_t i = 0; i < sample->asked; i++) {
        if (replies[i].kind == COAT_REPLY_ERROR && !coat_refusal_means(&replies[i], "MOVED"))
            return coat_refusal(&replies[i], err);
        if (replies[i].kind == COAT_REPLY_INTEGER)
            sample->sizes[sample->count++] = (double)replies[i].integer;
    }
    return 0;
}

static int measure_keys(void *context, struct coat_node *node, const struct survey_key *keys,
                        size_t count, struct coat_error *err)
{
    static const char *const words[2] = {"MEMORY", "USAGE"};
    struct sample *sample = context;
    size_t before = strlen(sample->server->prefix), len = strlen(sample->rest), found = 0;
    struct survey_key wanted[SAMPLE];
    for (size_t i = 0; i < count && sample->count + found < SAMPLE; i++)
        if (keys[i].key.len >= before + len &&
            memcmp((const char *)keys[i].key.bytes + before, sample->rest, len) == 0)
            wanted[found++] = keys[i];
    int rc = found ? ask_of_each(sample->server, node, wanted, found, words, sizes_came, sample,
                                 &sample->asked, err)
                   : 0;
    return rc < 0 ? rc : sample->count == SAMPLE;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int server_bytes(struct server *server, char kind, struct server_bytes *bytes,
                 struct coat_error *err)
{
    const char rest[] = {kind, ':', 0};
    struct sample sample = {.server = server, .rest = rest};
    *bytes = (struct server_bytes){0};
    int rc = survey_every_key(&server->survey, measure_keys, &sample, err);
    if (rc < 0)
        return rc;
    qsort(sample.sizes, sample.count, sizeof sample.sizes[0], by_size);
    if (sample.count)
        *bytes =
            (struct server_bytes){sample.count, sample.sizes[0], sample.sizes[sample.count / 2],
                                  sample.sizes[sample.count - 1]};
    return 0;
}
