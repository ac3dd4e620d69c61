/*
 * doctor: is this a safe place for sessions? One row for each thing that was looked at. "unsafe" is
 * what loses sessions, or lets them live too long; "warning" what somebody should know.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "attempt.h"
#include "cli/cli.h"
#include "cli/survey.h"
#include "clock.h"
#include "refusal.h"
#include "store.h"

enum finding { FINE, WARNING, UNSAFE, UNKNOWN };

struct doctor {
    struct cli *cli;
    struct survey survey;
    int unsafe; /* something was */
    char node[160];

    /* While all records, and then all indexes, are looked at. */
    int64_t records, corrupt, without_ttl, orphans, members;
};

static void __attribute__((format(printf, 4, 5)))
say(struct doctor *d, enum finding finding, const char *check, const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "unsafe", "unknown"};
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    output_text(&d->cli->out, words[finding]);
    output_text(&d->cli->out, check);
    output_text(&d->cli->out, d->node[0] ? d->node : NULL);
    output_text(&d->cli->out, text);
    d->unsafe |= finding == UNSAFE;
}

/* ---- What a node says of itself ------------------------------------------------------------- */

/* The value of a line of INFO, "" if it is not there. Returns `to`. */
static const char *info(const struct coat_reply *reply, const char *name, char to[64])
{
    const char *at = reply->bytes, *end = at + reply->len;
    size_t len = strlen(name);
    to[0] = 0;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((line_end ? line_end : end) - at);
        if (line > len && memcmp(at, name, len) == 0 && at[len] == ':') {
            size_t n = line - len - 1;
            snprintf(to, 64, "%.*s", (int)(n < 63 ? n : 63), at + len + 1);
            to[strcspn(to, "\r")] = 0;
            break;
        }
        at += line + 1;
    }
    return to;
}

static int64_t info_number(const struct coat_reply *reply, const char *name)
{
    char text[64];
    return strtoll(info(reply, name, text), NULL, 10);
}

static void check_version(struct doctor *d, const struct coat_reply *reply)
{
    char redis[64], valkey[64];
    info(reply, "redis_version", redis);
    if (info(reply, "valkey_version", valkey)[0])
        say(d, FINE, "version", "Valkey %s", valkey);
    else if (strtod(redis, NULL) < 6.2)
        say(d, UNSAFE, "version", "Redis %s: 6.2 is the oldest that will do", redis);
    else
        say(d, FINE, "version", "Redis %s", redis);
}

static void check_replicas(struct doctor *d, int64_t replicas)
{
    int64_t confirm = d->survey.store->options->confirm;
    if (replicas < confirm)
        say(d, UNSAFE, "role",
            "master with %" PRId64 " replicas: with confirm=%" PRId64
            " each login and logout fails",
            replicas, confirm);
    else
        say(d, FINE, "role", "master with %" PRId64 " replicas", replicas);
}

static void check_role(struct doctor *d, const struct coat_reply *reply)
{
    char role[64];
    if (strcmp(info(reply, "role", role), "master") != 0)
        say(d, UNSAFE, "role", "%s: nothing can be written there; name the master", role);
    else
        check_replicas(d, info_number(reply, "connected_slaves"));
}

static void check_eviction(struct doctor *d, const struct coat_reply *reply)
{
    char policy[64];
    if (strcmp(info(reply, "maxmemory_policy", policy), "noeviction") == 0)
        say(d, FINE, "eviction", "noeviction");
    else
        say(d, UNSAFE, "eviction",
            "%s: sessions and the lists of who is logged in may be thrown away; set "
            "maxmemory-policy noeviction",
            policy);
}

static void check_memory(struct doctor *d, const struct coat_reply *reply)
{
    int64_t used = info_number(reply, "used_memory"), most = info_number(reply, "maxmemory");
    if (most == 0)
        say(d, WARNING, "memory", "%" PRId64 " MiB used, no maxmemory: the system is the limit",
            used >> 20);
    else
        say(d, used > most / 10 * 9 ? UNSAFE : FINE, "memory",
            "%" PRId64 " of %" PRId64 " MiB used%s", used >> 20, most >> 20,
            used > most / 10 * 9 ? ": when it is full, nobody can log in" : "");
}

static void check_persistence(struct doctor *d, const struct coat_reply *reply)
{
    char rdb[64], aof[64];
    int aof_is_on = info_number(reply, "aof_enabled") == 1;
    info(reply, "rdb_last_bgsave_status", rdb);
    info(reply, "aof_last_write_status", aof);
    if (strcmp(rdb, "err") == 0 || (aof_is_on && strcmp(aof, "err") == 0))
        say(d, UNSAFE, "persistence", "the last attempt to write to the disk has failed");
    else if (!aof_is_on)
        say(d, WARNING, "persistence",
            "no append-only file: a server that crashes forgets the newest saves and logouts");
    else
        say(d, FINE, "persistence", "append-only file");
}

/* Seconds since 1970, and microseconds. */
static int is_time(const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_ARRAY && reply->count == 2 &&
           reply->items[0].kind == COAT_REPLY_BULK && reply->items[0].len < 20;
}

static void check_clock(struct doctor *d, const struct coat_reply *reply)
{
    enum { NOTABLE_MS = 5000 };
    int64_t now_ms = coat_wall_ms(), theirs_ms = 0;
    if (is_time(reply)) {
        char seconds[24];
        snprintf(seconds, sizeof seconds, "%.*s", (int)reply->items[0].len, reply->items[0].bytes);
        theirs_ms = coat_ms_of_seconds(strtoll(seconds, NULL, 10));
    }
    int64_t off_ms = theirs_ms > now_ms ? theirs_ms - now_ms : now_ms - theirs_ms;
    if (!is_time(reply))
        say(d, UNKNOWN, "clock", "TIME was refused; the user needs +time");
    else
        say(d,
            off_ms > COAT_CLOCK_BOUND_MS ? UNSAFE
            : off_ms > NOTABLE_MS        ? WARNING
                                         : FINE,
            "clock", "%" PRId64 " s from that of this host; %" PRId64 " s is what may be",
            off_ms / 1000, COAT_CLOCK_BOUND_MS / 1000);
}

static int node_answered(void *context, const struct coat_reply *replies, struct coat_error *err)
{
    struct doctor *d = context;
    (void)err;
    if (replies[0].kind == COAT_REPLY_BULK) {
        check_version(d, &replies[0]);
        check_role(d, &replies[0]);
        check_eviction(d, &replies[0]);
        check_memory(d, &replies[0]);
        check_persistence(d, &replies[0]);
    } else {
        say(d, UNKNOWN, "info",
            "INFO was refused: version, role, eviction, memory and persistence are not known; the "
            "user needs +info");
    }
    check_clock(d, &replies[1]);
    return 0;
}

static int check_node(struct doctor *d, struct coat_node *node, struct coat_error *err)
{
    static const struct coat_arg info_args[] = {{"INFO", 4}}, time_args[] = {{"TIME", 4}};
    const struct coat_command commands[] = {{.args = info_args, .count = 1},
                                            {.args = time_args, .count = 1}};
    coat_node_name(node, d->node, sizeof d->node);
    return survey_ask_node(&d->survey, node, commands, 2, node_answered, d, err);
}

/* ---- What lies there ------------------------------------------------------------------------ */

static int look_at_record(void *context, const struct survey_record *seen, struct coat_error *err)
{
    struct doctor *d = context;
    (void)err;
    d->records += seen->record != NULL;
    d->corrupt += seen->record == NULL;
    d->without_ttl += seen->ttl_ms < 0;
    return 0;
}

static int record_exists(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    struct doctor *d = context;
    if (reply->kind != COAT_REPLY_INTEGER)
        return coat_attempt_foreign(err);
    d->members++;
    d->orphans += reply->integer == -2; /* no key; -1: no TTL */
    return 0;
}

/* A member of an index: does what it stands for exist? (PTTL says so, and needs no more rights.) */
static int look_at_member(struct doctor *d, const struct coat_reply *member, struct coat_error *err)
{
    struct coat_keys keys;
    const char *prefix = d->survey.store->options->prefix;
    int rc = member->kind != COAT_REPLY_BULK
                 ? 0
                 : coat_keys_of_member(&keys, prefix, member->bytes, member->len, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        d->members++;
        d->orphans++;
        return 0;
    }
    struct coat_arg args[] = {{"PTTL", 4}, {keys.record, keys.len}};
    struct coat_command pttl = {.args = args, .count = 2, .key = args[1]};
    return survey_ask(&d->survey, &pttl, record_exists, d, err);
}

static int members_came(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    int rc = 0;
    if (reply->kind != COAT_REPLY_ARRAY)
        return coat_attempt_foreign(err);
    for (size_t i = 0; rc == 0 && i < reply->count; i++)
        rc = look_at_member(context, &reply->items[i], err);
    return rc;
}

/* So many members of a list, from one on. What lies there may be no list: that is a finding. */
enum { MEMBERS_AT_ONCE = 1000 };
static int look_at_members(struct doctor *d, struct coat_arg key, int64_t from,
                           struct coat_error *err)
{
    char first[24], last[24];
    snprintf(first, sizeof first, "%" PRId64, from);
    snprintf(last, sizeof last, "%" PRId64, from + MEMBERS_AT_ONCE - 1);
    struct coat_arg args[] = {{"ZRANGE", 6}, key, {first, strlen(first)}, {last, strlen(last)}};
    struct coat_command zrange = {.args = args, .count = 4, .key = key};
    struct coat_error why;
    int rc = survey_ask(&d->survey, &zrange, members_came, d, &why);
    if (rc == COAT_ECORRUPT) { /* WRONGTYPE */
        d->corrupt++;
        return 0;
    }
    if (rc < 0)
        *err = why;
    return rc;
}

static int look_at_index(void *context, struct coat_node *node, const struct survey_key *keys,
                         size_t count, struct coat_error *err)
{
    struct doctor *d = context;
    int rc = 0;
    (void)node;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int64_t before, from = 0;
        do {
            before = d->members;
            rc = look_at_members(d, keys[i].key, from, err);
            from += MEMBERS_AT_ONCE;
        } while (rc == 0 && d->members - before == MEMBERS_AT_ONCE);
    }
    return rc;
}

static void check_records(struct doctor *d)
{
    if (d->records == 0 && d->corrupt == 0)
        say(d, WARNING, "records",
            "there are none under the prefix %s: nobody has a session yet, or the application has "
            "another prefix",
            d->survey.store->options->prefix);
    else
        say(d, d->corrupt ? UNSAFE : FINE, "records",
            "%" PRId64 " keys that are named as records or lists of ours are none%s", d->corrupt,
            d->corrupt ? ": something else writes under this prefix" : "");
}

static int check_keys(struct doctor *d, struct coat_error *err)
{
    d->node[0] = 0;
    int rc = survey_records(&d->survey, look_at_record, d, err);
    if (rc < 0)
        return rc;
    rc = survey_keys(&d->survey, 'p', look_at_index, d, err);
    if (rc < 0)
        return rc;
    say(d, d->without_ttl ? UNSAFE : FINE, "ttl",
        "%" PRId64 " of %" PRId64 " records have no TTL%s", d->without_ttl, d->records + d->corrupt,
        d->without_ttl ? ": they would stay for ever; the next load of each repairs it" : "");
    check_records(d);
    say(d, d->orphans > d->records ? WARNING : FINE, "index",
        "%" PRId64 " of %" PRId64 " entries in the lists of who is logged in are of sessions "
        "that have ended; they go by themselves",
        d->orphans, d->members);
    return 0;
}

int cli_doctor(struct cli *cli, struct coat_error *err)
{
    static const struct output_column columns[] = {
        {"finding", 8}, {"check", 12}, {"node", 24}, {"text", 0}};
    struct doctor d = {.cli = cli};
    int rc = survey_begin(&d.survey, cli->store, err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_table(&cli->out, "checks", columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; rc == 0 && i < d.survey.count; i++)
        rc = check_node(&d, d.survey.nodes[i], err);
    if (rc == 0)
        rc = check_keys(&d, err);
    output_table_end(&cli->out);
    survey_end(&d.survey);
    return rc < 0 ? cli_exit_of(rc) : d.unsafe ? CLI_UNSAFE : CLI_OK;
}
