/*
 * survey.h: looking at everything under a store's prefix, on every node, in small steps. It blocks
 * and is for people's questions, never for requests: SCAN goes over all keys of a server.
 */
#ifndef COAT_CLI_SURVEY_H
#define COAT_CLI_SURVEY_H

#include "api/op.h"
#include "node.h"
#include "record.h"

struct survey {
    struct coat_store *store;
    struct coat_node **nodes; /* masters, each with a reference */
    size_t count;
};

/* Which nodes there are. 0, and to be ended; or a failure, COAT_EDENIED where they are not said. */
int survey_begin(struct survey *survey, struct coat_store *store, struct coat_error *err);
void survey_end(struct survey *survey);

/* Replies, one for each command, valid during the call. What is returned ends up with the asker. */
typedef int survey_replies_fn(void *context, const struct coat_reply *replies,
                              struct coat_error *err);

/* One pipeline to one node, within the store's timeout. What fn has returned, or a failure. */
int survey_ask_node(const struct survey *survey, struct coat_node *node,
                    const struct coat_command *commands, size_t count, survey_replies_fn *fn,
                    void *context, struct coat_error *err);

/* One command with a key to the node of that key, wherever it is by now. */
int survey_ask(const struct survey *survey, const struct coat_command *command,
               survey_replies_fn *fn, void *context, struct coat_error *err);

/*
 * A prefix (of COAT_PREFIX_MAX bytes at most) as a pattern that matches nothing else: at most twice
 * as long. Returns where to go on; no NUL is written.
 */
char *survey_escape(char *to, const char *prefix);

/* A key under the prefix, and the COAT_H_LEN characters between its braces. Borrowed. */
struct survey_key {
    struct coat_arg key;
    const char *h;
};

/* Some keys of one node. Anything but 0 ends the survey. */
typedef int survey_keys_fn(void *context, struct coat_node *node, const struct survey_key *keys,
                           size_t count, struct coat_error *err);

/*
 * All keys of a kind: 's' records, 'p' indexes, 'l' locks. One that comes, goes or moves meanwhile
 * may be missed or seen twice. What fn has returned, or a failure.
 */
int survey_keys(const struct survey *survey, char kind, survey_keys_fn *fn, void *context,
                struct coat_error *err);

/* The same for all keys under the prefix, whoever has written them; their h is NULL. */
int survey_every_key(const struct survey *survey, survey_keys_fn *fn, void *context,
                     struct coat_error *err);

/* A record as it was seen: its head and principal, without its fields. Borrowed. */
struct survey_record {
    const char *h;
    const struct coat_record *record; /* NULL: these bytes are no record */
    int64_t ttl_ms;                   /* -1: it has none */
    int64_t bytes;
};
typedef int survey_record_fn(void *context, const struct survey_record *record,
                             struct coat_error *err);

/* All records, likewise. */
int survey_records(const struct survey *survey, survey_record_fn *fn, void *context,
                   struct coat_error *err);

#endif
