/* cli.h: the command line, taken apart, and the commands. */
#ifndef COAT_CLI_CLI_H
#define COAT_CLI_CLI_H

#include "cli/output.h"
#include "coat_error.h"

struct coat_cache;
struct coat_store;

/* What the process ends with. */
enum cli_exit {
    CLI_OK = 0,
    CLI_NOT_FOUND = 1,
    CLI_USAGE = 2,
    CLI_UNAVAILABLE = 3, /* also: it answered with something that is not right */
    CLI_UNSAFE = 4,      /* doctor only */
    CLI_UNWRITTEN = 5    /* what was to be said could not be written */
};

/* What is said of an entry; NULL where it was not. */
struct cli_entry {
    const char *ttl;     /* --ttl, or of the cache; "none" */
    const char *initial; /* --initial */
    const char *space;   /* --namespace */
    int if_new, if_present;
};

struct cli {
    struct coat_store *store; /* NULL for commands that talk to none */
    struct coat_cache *cache; /* of the commands of a cache, which have no store */
    struct coat_cache *whole; /* the same, or what --namespace is in */
    const char *prefix;       /* as it was given; NULL: it was not */
    const char *const *args;  /* of the command: NULL-terminated, as many as it asks for */
    struct cli_entry entry;
    int values;       /* --values */
    const char *keep; /* --keep, or NULL */
    struct output out;
};

/* A command: what the process ends with; for CLI_UNAVAILABLE and CLI_USAGE *err says why. */
typedef int cli_command_fn(struct cli *cli, struct coat_error *err);

cli_command_fn cli_ping, cli_doctor, cli_acl, cli_stats, cli_embedded_stop;
cli_command_fn cli_list, cli_show, cli_destroy, cli_destroy_all;
cli_command_fn cli_cache_get, cli_cache_set, cli_cache_del, cli_cache_ttl, cli_cache_incr;
cli_command_fn cli_cache_keys, cli_cache_clear, cli_cache_stats, cli_cache_invalidate;

/* CLI_USAGE where a failure is the caller's mistake, otherwise CLI_UNAVAILABLE. */
int cli_exit_of(int rc);

#endif
