/* What is asked of the server as such: ping, stats, acl, embedded stop. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "cli/cli.h"
#include "cli/survey.h"
#include "clock.h"
#include "coat_store.h"
#include "embedded.h"
#include "store.h"

/* ---- ping ----------------------------------------------------------------------------------- */

int cli_ping(struct cli *cli, struct coat_error *err)
{
    int rc = coat_store_ping(cli->store, err); /* connects, too */
    int64_t begun_us = coat_monotonic_us();
    if (rc == 0)
        rc = coat_store_ping(cli->store, err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_text(&cli->out, "answer", "PONG");
    output_fact_number(&cli->out, "microseconds", coat_monotonic_us() - begun_us);
    return CLI_OK;
}

/* ---- stats ---------------------------------------------------------------------------------- */

struct totals {
    int64_t sessions, with_principal, corrupt, without_ttl, bytes, largest;
    int64_t keys; /* of the kind that is counted now */
};

static int count_record(void *context, const struct survey_record *seen, struct coat_error *err)
{
    struct totals *t = context;
    (void)err;
    t->sessions += seen->record != NULL;
    t->corrupt += seen->record == NULL;
    t->with_principal += seen->record && seen->record->principal;
    t->without_ttl += seen->ttl_ms < 0;
    t->bytes += seen->bytes;
    if (seen->bytes > t->largest)
        t->largest = seen->bytes;
    return 0;
}

static int count_keys(void *context, struct coat_node *node, const struct survey_key *keys,
                      size_t count, struct coat_error *err)
{
    (void)node;
    (void)keys;
    (void)err;
    ((struct totals *)context)->keys += (int64_t)count;
    return 0;
}

int cli_stats(struct cli *cli, struct coat_error *err)
{
    struct totals t = {0};
    struct survey survey;
    int64_t principals = 0;
    int rc = survey_begin(&survey, cli->store, err);
    if (rc < 0)
        return cli_exit_of(rc);
    rc = survey_records(&survey, count_record, &t, err);
    if (rc == 0) {
        rc = survey_keys(&survey, 'p', count_keys, &t, err);
        principals = t.keys;
        t.keys = 0;
    }
    if (rc == 0)
        rc = survey_keys(&survey, 'l', count_keys, &t, err);
    survey_end(&survey);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_number(&cli->out, "sessions", t.sessions);
    output_fact_number(&cli->out, "with_principal", t.with_principal);
    output_fact_number(&cli->out, "principals", principals);
    output_fact_number(&cli->out, "locks", t.keys);
    output_fact_number(&cli->out, "bytes", t.bytes);
    output_fact_number(&cli->out, "largest", t.largest);
    output_fact_number(&cli->out, "corrupt", t.corrupt);
    output_fact_number(&cli->out, "without_ttl", t.without_ttl);
    return CLI_OK;
}

/* ---- acl ------------------------------------------------------------------------------------ */

/* The same as in docs/guide.md, which a test sees to. */
static const char PERMISSIONS[] =
    "+get +set +del +pttl +pexpire +pexpireat +getrange +zadd +zrange +zrem +zremrangebyscore +zscore "
    "+zcard +time +eval +evalsha +ping";

/* What may be the name of a user, from the prefix: "shop" for "shop:". */
static void user_name(const char *prefix, char *to)
{
    char *start = to;
    for (; *prefix; prefix++)
        if (isalnum((unsigned char)*prefix) || *prefix == '-' || *prefix == '_')
            *to++ = *prefix;
    if (to == start)
        to = stpcpy(to, "coatcheck");
    *to = 0;
}

enum { WORD_MAX = 4 * COAT_PREFIX_MAX + 8 };

/*
 * "~shop:*", in quotes where redis-cli or redis.conf would take a quote of the prefix for theirs. A
 * pattern may hold no space; there "?" has to do, which is any character.
 */
static void key_word(const char *prefix, char to[WORD_MAX])
{
    char pattern[2 * COAT_PREFIX_MAX + 1];
    const char *quote = strpbrk(prefix, "\"'") ? "\"" : "";
    *survey_escape(pattern, prefix) = 0;
    to = stpcpy(stpcpy(to, quote), "~");
    for (const char *at = pattern; *at; at++) {
        if (*quote && (*at == '"' || *at == '\\'))
            *to++ = '\\';
        *to++ = (char)(*at == ' ' ? '?' : *at);
    }
    stpcpy(stpcpy(to, "*"), quote);
}

int cli_acl(struct cli *cli, struct coat_error *err)
{
    char user[COAT_PREFIX_MAX + 16], keys[WORD_MAX], line[1024];
    const char *prefix = cli->prefix ? cli->prefix : getenv("COATCHECK_PREFIX");
    if (!prefix || !*prefix) {
        coat_error_set(err, COAT_EUSAGE, "acl: say for which keys, as in --prefix shop:");
        return CLI_USAGE;
    }
    if (strlen(prefix) > COAT_PREFIX_MAX) { /* from the environment, which nothing has checked */
        coat_error_set(err, COAT_EUSAGE, "acl: a prefix has at most %d bytes", COAT_PREFIX_MAX);
        return CLI_USAGE;
    }
    user_name(prefix, user);
    key_word(prefix, keys);
    snprintf(line, sizeof line, "ACL SETUSER %s on >PASSWORD %s %s", user, keys, PERMISSIONS);
    output_line(&cli->out, "acl", line);
    return CLI_OK;
}

/* ---- embedded stop -------------------------------------------------------------------------- */

int cli_embedded_stop(struct cli *cli, struct coat_error *err)
{
    int rc = coat_embedded_stop_in(cli->args[0], err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_text(&cli->out, "embedded", rc ? "stopped" : "was not running");
    return rc ? CLI_OK : CLI_NOT_FOUND;
}
