/* The command line tool: coatcheck --help. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache_url.h"
#include "cli/cli.h"
#include "coat_cache.h"
#include "coat_store.h"
#include "options.h"

static const char HELP[] =
    "usage: coatcheck [options] command\n"
    "\n"
    "  ping                        ask the server for a sign of life\n"
    "  doctor                      is this a safe place for sessions? looks at every key\n"
    "  stats                       what there is under the prefix; looks at every key\n"
    "  acl                         print the ACL line of a user who may do no more than needed\n"
    "  sessions list PRINCIPAL     the sessions of a principal; with --show FIELD,FIELD these, too\n"
    "  sessions show PUBLIC_ID     one session; with --values what is in it\n"
    "  sessions destroy PUBLIC_ID  end one\n"
    "  sessions destroy-all PRINCIPAL\n"
    "                              end all of a principal; all but one with --keep PUBLIC_ID\n"
    "  embedded stop [DIR]         stop the server of embedded:DIR, data kept\n"
    "  cache get KEY               the value of an entry, as JSON\n"
    "  cache set KEY VALUE         store a value, JSON, or with - what the input says; for --ttl SECONDS\n"
    "                              or none (300); --if-new, --if-present\n"
    "  cache del KEY...            delete entries\n"
    "  cache ttl KEY               how many seconds it has left\n"
    "  cache incr KEY [BY]         add to an int; one that is not there begins with --initial N (0)\n"
    "  cache keys [PATTERN]        the keys that a pattern fits, * all; looks at every key\n"
    "  cache clear                 delete all entries under the prefix\n"
    "  cache invalidate NAME...    end all entries of a namespace, or with a tag\n"
    "  cache stats                 how many there are, and their bytes; reads every one\n"
    "\n"
    "  --json                      one JSON object in place of text\n"
    "  --values                    sessions show: the values, too\n"
    "  --namespace NAME            cache ...: in this namespace\n"
    "  --url URL, --prefix P       and every other option of a store, as in --timeout 5; else from\n"
    "                              the environment, COATCHECK_URL, COATCHECK_PREFIX, ..., for a cache\n"
    "                              COATCHECK_CACHE_URL, COATCHECK_CACHE_PREFIX, ...\n"
    "  --help, --version\n"
    "  --                          what follows is no option, as a principal that begins with --\n"
    "\n"
    "Passwords come from COATCHECK_URL, COATCHECK_PASSWORD or --password-file only: others can see\n"
    "the arguments of a process.\n"
    "\n"
    "It ends with 0: done, 1: not found, 2: called wrongly, 3: the store is not available, 4: unsafe,\n"
    "5: the output could not be written, for instance to a disk that is full.\n";

enum needs { NOTHING, SERVER, PREFIX, CACHE };

enum { ANY = 1 << 30 };

static const struct command {
    const char *words[2]; /* the second may be NULL */
    int min_args, max_args;
    enum needs needs;
    cli_command_fn *run;
} commands[] = {
    {{"ping", NULL}, 0, 0, SERVER, cli_ping},
    {{"doctor", NULL}, 0, 0, PREFIX, cli_doctor},
    {{"stats", NULL}, 0, 0, PREFIX, cli_stats},
    {{"acl", NULL}, 0, 0, NOTHING, cli_acl},
    {{"sessions", "list"}, 1, 1, PREFIX, cli_list},
    {{"sessions", "show"}, 1, 1, PREFIX, cli_show},
    {{"sessions", "destroy"}, 1, 1, PREFIX, cli_destroy},
    {{"sessions", "destroy-all"}, 1, 1, PREFIX, cli_destroy_all},
    {{"cache", "get"}, 1, 1, CACHE, cli_cache_get},
    {{"cache", "set"}, 2, 2, CACHE, cli_cache_set},
    {{"cache", "del"}, 1, ANY, CACHE, cli_cache_del},
    {{"cache", "ttl"}, 1, 1, CACHE, cli_cache_ttl},
    {{"cache", "incr"}, 1, 2, CACHE, cli_cache_incr},
    {{"cache", "keys"}, 0, 1, CACHE, cli_cache_keys},
    {{"cache", "clear"}, 0, 0, CACHE, cli_cache_clear},
    {{"cache", "invalidate"}, 1, ANY, CACHE, cli_cache_invalidate},
    {{"cache", "stats"}, 0, 0, CACHE, cli_cache_stats},
    {{"embedded", "stop"}, 0, 1, NOTHING, cli_embedded_stop},
};

int cli_exit_of(int rc)
{
    return rc == COAT_EUSAGE || rc == COAT_ECONFIG ? CLI_USAGE : CLI_UNAVAILABLE;
}

static int complain(const char *text)
{
    fputs("coatcheck: ", stderr);
    output_escaped(stderr, text);
    fputc('\n', stderr);
    return CLI_USAGE;
}

/* What the process ends with, now that all is said. */
static int written(int exit)
{
    char text[160];
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit;
    snprintf(text, sizeof text, "the output could not be written%s%s", errno ? ": " : "",
             errno ? strerror(errno) : "");
    complain(text);
    return CLI_UNWRITTEN;
}

/* ---- The command line ----------------------------------------------------------------------- */

struct line {
    struct coat_options *options;
    struct cli *cli;
    int json;
    const char **words; /* of the command and its arguments, NULL-terminated */
    int count;
    const char *url;     /* --url, or NULL */
    char ttl_of_url[32]; /* of a cache */
};

static int is_secret(const char *name)
{
    static const char *const names[] = {"password", "sentinel_password", "tls_key_password"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static int has_secret(const struct coat_options *o)
{
    return o->connect.password || o->connect.sentinel_password || o->connect.tls.key_password;
}

/* --tls-ca-file FILE: the option tls_ca_file. */
static int set_option(struct line *line, const char *flag, const char *value)
{
    static const char ADVICE[] =
        "a password among the arguments can be seen by every user of this host; put it into the "
        "environment (COATCHECK_URL, COATCHECK_PASSWORD) or into a file (--password-file)";
    struct coat_error err;
    char name[40];
    snprintf(name, sizeof name, "%s", flag);
    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    if (is_secret(name))
        return complain(ADVICE);
    if (coat_options_set(line->options, name, value, &err) < 0)
        return complain(err.text);
    if (has_secret(line->options))
        return complain(ADVICE);
    if (strcmp(name, "prefix") == 0)
        line->cli->prefix = value;
    return CLI_OK;
}

/* A flag without a value: 1; 0: it is none. */
static int take_switch(struct line *line, const char *flag)
{
    struct cli *cli = line->cli;
    const struct {
        const char *name;
        int *to;
    } switches[] = {{"json", &line->json},
                    {"values", &cli->values},
                    {"if-new", &cli->entry.if_new},
                    {"if-present", &cli->entry.if_present}};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (strcmp(flag, switches[i].name) == 0)
            return *switches[i].to = 1;
    return 0;
}

/* Where a value goes that is no option of a store. NULL: nowhere. */
static const char **place_of(struct cli *cli, const char *name)
{
    return strcmp(name, "keep") == 0        ? &cli->keep
           : strcmp(name, "ttl") == 0       ? &cli->entry.ttl
           : strcmp(name, "initial") == 0   ? &cli->entry.initial
           : strcmp(name, "namespace") == 0 ? &cli->entry.space
                                            : NULL;
}

/* --name VALUE, or --name=VALUE; *used: how many arguments that are. */
static int read_flag(struct line *line, char *const *argv, int *used)
{
    char name[40];
    const char *flag = argv[0] + 2, *equals = strchr(flag, '=');
    size_t len = equals ? (size_t)(equals - flag) : strlen(flag);
    *used = 1;
    if (take_switch(line, flag))
        return CLI_OK;
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), flag);
    const char *value = equals ? equals + 1 : argv[1];
    if (!value)
        return complain("the last option lacks its value; see coatcheck --help");
    *used = equals ? 1 : 2;
    const char **place = strcmp(name, "url") == 0 ? &line->url : place_of(line->cli, name);
    if (!place)
        return set_option(line, name, value);
    *place = value;
    return CLI_OK;
}

/* That of a cache may say more than the library is to know, and only now it is clear whose it is.
 */
static int set_url(struct line *line)
{
    if (!line->url)
        return CLI_OK;
    if (line->count == 0 || strcmp(line->words[0], "cache") != 0)
        return set_option(line, "url", line->url);
    char *rest = coat_cache_url_rest(line->url, line->ttl_of_url);
    int rc = rest ? set_option(line, "url", rest) : complain("out of memory");
    free(rest);
    return rc;
}

static int read_line(struct line *line, char *const *argv)
{
    int only_words = 0; /* from "--" on */
    while (*argv) {
        int used = 1;
        if (!only_words && strcmp(*argv, "--") == 0) {
            only_words = 1;
        } else if (!only_words && strncmp(*argv, "--", 2) == 0) {
            int rc = read_flag(line, argv, &used);
            if (rc != CLI_OK)
                return rc;
        } else {
            line->words[line->count++] = *argv;
        }
        argv += used;
    }
    return set_url(line);
}

/* Does the command know what else was said? */
static int takes_flags(const struct command *c, const struct cli *cli)
{
    const struct cli_entry *entry = &cli->entry;
    int sets = c->run == cli_cache_set, adds = c->run == cli_cache_incr;
    return (!entry->space || c->needs == CACHE) && (!cli->keep || c->run == cli_destroy_all) &&
           (!cli->values || c->run == cli_show) && (!entry->ttl || sets || adds) &&
           (!entry->initial || adds) && (!entry->if_new || sets) &&
           (!entry->if_present || sets || adds) && !(entry->if_new && entry->if_present) &&
           !(entry->initial && entry->if_present);
}

static const struct command *find_command(struct line *line)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *c = &commands[i];
        int words = c->words[1] ? 2 : 1;
        int args = line->count - words;
        if (args < 0 || strcmp(line->words[0], c->words[0]) != 0 ||
            (c->words[1] && strcmp(line->words[1], c->words[1]) != 0))
            continue;
        line->cli->args = &line->words[words];
        int fits = args >= c->min_args && args <= c->max_args && takes_flags(c, line->cli);
        return fits ? c : NULL;
    }
    return NULL;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* A survey has several connections to a node at once. */
static int set_defaults(struct coat_options *o, enum needs needs, struct coat_error *err)
{
    int rc = coat_options_env(o, err);
    if (rc == 0 && o->connect.max_connections < 8)
        rc = coat_options_set(o, "max_connections", "8", err);
    if (rc == 0 && needs == SERVER && !o->prefix)
        rc = coat_options_set(o, "prefix", "ping:", err);
    return rc;
}

/* In the order in which Python's caches have it: by itself, of the URL, of the environment. */
static void find_ttl(struct line *line)
{
    const char *url = getenv("COATCHECK_CACHE_URL"), *ttl = getenv("COATCHECK_CACHE_TTL");
    if (line->cli->entry.ttl)
        return;
    if (!line->url && url)
        free(coat_cache_url_rest(url, line->ttl_of_url));
    line->cli->entry.ttl = *line->ttl_of_url ? line->ttl_of_url : ttl && *ttl ? ttl : NULL;
}

static int open_cache(struct line *line, struct coat_error *err)
{
    struct cli *cli = line->cli;
    find_ttl(line);
    int rc = coat_options_env_cache(line->options, err);
    if (rc == 0)
        rc = coat_cache_open(&cli->whole, line->options, err);
    if (rc == 0 && cli->entry.space)
        return coat_cache_namespace(&cli->cache, cli->whole, cli->entry.space, err);
    cli->cache = cli->whole;
    return rc;
}

static int open_store(struct line *line, enum needs needs, struct coat_error *err)
{
    if (needs == CACHE)
        return open_cache(line, err);
    int rc = set_defaults(line->options, needs, err);
    return rc < 0 ? rc : coat_store_open(&line->cli->store, line->options, err);
}

static int run(struct line *line, const struct command *command)
{
    struct coat_error err = {0};
    struct cli *cli = line->cli;
    int rc = command->needs == NOTHING ? 0 : open_store(line, command->needs, &err);
    if (rc < 0) {
        rc = cli_exit_of(rc);
    } else {
        output_begin(&cli->out, stdout, line->json);
        rc = command->run(cli, &err);
        output_end(&cli->out);
    }
    if (err.code)
        complain(err.text);
    if (err.code == COAT_EDENIED && strcmp(err.reason, "NOPERM") == 0)
        complain("beside that line, doctor and stats need +scan and +strlen, and sessions show and "
                 "sessions destroy +scan");
    coat_store_close(cli->store);
    if (cli->cache != cli->whole)
        coat_cache_close(cli->cache);
    coat_cache_close(cli->whole);
    return written(rc);
}

static int wants(char *const *argv, const char *flag)
{
    for (; *argv && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, flag) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    struct line line = {.cli = &cli};
    struct coat_error err;
    if (wants(argv, "--help")) {
        fputs(HELP, stdout);
        return written(CLI_OK);
    }
    if (wants(argv, "--version")) {
        printf("coatcheck %s\n", coat_version());
        return written(CLI_OK);
    }
    line.words = calloc((size_t)argc + 1, sizeof *line.words);
    if (!line.words || coat_options_new(&line.options, &err) < 0) {
        complain(line.words ? err.text : "out of memory");
        free(line.words);
        return CLI_UNAVAILABLE;
    }
    int rc = read_line(&line, argv + 1);
    if (rc == CLI_OK) {
        const struct command *command = line.count ? find_command(&line) : NULL;
        rc = command ? run(&line, command)
                     : complain(line.count ? "no such command, or not with these arguments; see "
                                             "coatcheck --help"
                                           : "no command; see coatcheck --help");
    }
    coat_options_free(line.options);
    free(line.words);
    return rc;
}
