/* The command line tool: coatcheck --help. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
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
    "\n"
    "  --json                      one JSON object in place of text\n"
    "  --values                    sessions show: the values, too\n"
    "  --url URL, --prefix P       and every other option of a store, as in --timeout 5; else from\n"
    "                              the environment, COATCHECK_URL, COATCHECK_PREFIX, ...\n"
    "  --help, --version\n"
    "  --                          what follows is no option, as a principal that begins with --\n"
    "\n"
    "Passwords come from COATCHECK_URL, COATCHECK_PASSWORD or --password-file only: others can see\n"
    "the arguments of a process.\n"
    "\n"
    "It ends with 0: done, 1: not found, 2: called wrongly, 3: the store is not available, 4: unsafe,\n"
    "5: the output could not be written, for instance to a disk that is full.\n";

enum needs { NOTHING, SERVER, PREFIX };

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
    const char *words[4]; /* of the command and its arguments, NULL-terminated */
    int count;
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

/* --name VALUE, or --name=VALUE; *used: how many arguments that are. */
static int read_flag(struct line *line, char *const *argv, int *used)
{
    char name[40];
    const char *flag = argv[0] + 2, *equals = strchr(flag, '=');
    size_t len = equals ? (size_t)(equals - flag) : strlen(flag);
    *used = 1;
    if (!equals && strcmp(flag, "json") == 0) {
        line->json = 1;
        return CLI_OK;
    }
    if (!equals && strcmp(flag, "values") == 0) {
        line->cli->values = 1;
        return CLI_OK;
    }
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), flag);
    const char *value = equals ? equals + 1 : argv[1];
    if (!value)
        return complain("the last option lacks its value; see coatcheck --help");
    *used = equals ? 1 : 2;
    if (strcmp(name, "keep") == 0) {
        line->cli->keep = value;
        return CLI_OK;
    }
    return set_option(line, name, value);
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
        } else if (line->count < 3) {
            line->words[line->count++] = *argv;
        } else {
            return complain("too many arguments; see coatcheck --help");
        }
        argv += used;
    }
    return CLI_OK;
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
        int fits = args >= c->min_args && args <= c->max_args &&
                   (!line->cli->keep || c->run == cli_destroy_all) &&
                   (!line->cli->values || c->run == cli_show);
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

static int open_store(struct line *line, enum needs needs, struct coat_error *err)
{
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
    (void)argc;
    if (wants(argv, "--help")) {
        fputs(HELP, stdout);
        return written(CLI_OK);
    }
    if (wants(argv, "--version")) {
        printf("coatcheck %s\n", coat_version());
        return written(CLI_OK);
    }
    if (coat_options_new(&line.options, &err) < 0) {
        complain(err.text);
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
    return rc;
}
