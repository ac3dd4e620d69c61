/* What is asked of sessions: one by its public id, or those of a principal. */
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/op.h"
#include "attempt.h"
#include "cli/cli.h"
#include "cli/literal.h"
#include "cli/survey.h"
#include "coat_doc.h"
#include "coat_store.h"
#include "store.h"

/* ---- Finding one by its public id ----------------------------------------------------------- */

struct search {
    const struct survey *survey;
    const char *public_id;
    struct coat_keys keys; /* of the one that was found */
};

static int is_it(void *context, struct coat_node *node, const struct survey_key *keys, size_t count,
                 struct coat_error *err)
{
    struct search *search = context;
    const char *prefix = search->survey->store->options->prefix;
    (void)node;
    for (size_t i = 0; i < count; i++) {
        int rc = coat_keys_of_member(&search->keys, prefix, keys[i].h, COAT_H_LEN, err);
        if (rc < 0)
            return rc;
        if (rc == 1 && strcmp(search->keys.public_id, search->public_id) == 0)
            return 1;
    }
    return 0;
}

/* 1 and the keys; 0: there is none; or a failure. */
static int find(struct search *search, struct coat_error *err)
{
    if (strlen(search->public_id) != COAT_PUBLIC_ID_LEN)
        return coat_error_set(err, COAT_EUSAGE,
                              "a public id is %d characters, as lists and logs show it",
                              COAT_PUBLIC_ID_LEN);
    return survey_keys(search->survey, 's', is_it, search, err);
}

/* What is done with the one that was found. 1; 0: it is gone; or a failure. */
typedef int found_fn(struct cli *cli, const struct survey *survey, const struct coat_keys *keys,
                     struct coat_error *err);

/* A command about the session with the public id that is its argument. */
static int with_session(struct cli *cli, found_fn *fn, struct coat_error *err)
{
    struct survey survey;
    int rc = survey_begin(&survey, cli->store, err);
    if (rc < 0)
        return cli_exit_of(rc);
    struct search search = {.survey = &survey, .public_id = cli->args[0]};
    rc = find(&search, err);
    if (rc == 1)
        rc = fn(cli, &survey, &search.keys, err);
    survey_end(&survey);
    if (rc == 0)
        coat_error_set(err, COAT_EGONE, "there is no session %s under the prefix %s", cli->args[0],
                       cli->store->options->prefix);
    return rc < 0 ? cli_exit_of(rc) : rc ? CLI_OK : CLI_NOT_FOUND;
}

/* ---- show ----------------------------------------------------------------------------------- */

static int show_fields(struct cli *cli, const struct coat_doc *doc, struct coat_error *err)
{
    static const struct output_column columns[] = {
        {"field", 24}, {"kind", 6}, {"bytes", 6}, {"value", 0}};
    struct coat_buf text = COAT_BUF_INIT;
    const char *name;
    const void *value;
    size_t at = 0, name_len, len;
    int rc = 0;
    output_table(&cli->out, "fields", columns, cli->values ? 4 : 3);
    while (rc == 0 && coat_doc_next(doc, &at, &name, &name_len, &value, &len)) {
        struct coat_cursor cursor;
        struct coat_item item;
        coat_cursor_init(&cursor, value, len);
        coat_cursor_next(&cursor, &item);
        output_bytes(&cli->out, name, name_len);
        output_text(&cli->out, coat_kind_name(item.kind));
        output_number(&cli->out, (int64_t)len);
        if (!cli->values)
            continue;
        coat_buf_clear(&text);
        rc = literal_append(&text, value, len);
        output_bytes(&cli->out, (const char *)text.bytes, text.len);
    }
    output_table_end(&cli->out);
    coat_buf_release(&text);
    return rc < 0 ? coat_error_nomem(err) : 0;
}

static int show(struct cli *cli, const struct coat_record *record, struct coat_error *err)
{
    char principal[COAT_PRINCIPAL_MAX + 1], time[32];
    struct coat_doc *doc;
    int rc =
        coat_doc_parse(&doc, record->fields, record->fields_len, &cli->store->options->limits, err);
    if (rc < 0)
        return rc;
    coat_record_principal(record, principal);
    output_fact_text(&cli->out, "public_id", cli->args[0]);
    output_fact_text(&cli->out, "principal", record->principal ? principal : NULL);
    output_fact_text(&cli->out, "created", output_time(coat_head_created_ms(&record->head), time));
    output_fact_text(&cli->out, "deadline",
                     output_time(coat_head_deadline_ms(&record->head), time));
    output_fact_number(&cli->out, "idle", coat_head_idle_s(&record->head));
    output_fact_number(&cli->out, "bytes", (int64_t)(record->fields_at + record->fields_len));
    rc = show_fields(cli, doc, err);
    coat_doc_free(doc);
    return rc;
}

static int record_came(void *cli, const struct coat_reply *reply, struct coat_error *err)
{
    struct coat_record record;
    if (reply->kind == COAT_REPLY_NIL)
        return 0;
    if (reply->kind != COAT_REPLY_BULK)
        return coat_attempt_foreign(err);
    int rc = coat_record_parse(&record, reply->bytes, reply->len, err);
    if (rc == 0)
        rc = show(cli, &record, err);
    return rc < 0 ? rc : 1;
}

static int show_found(struct cli *cli, const struct survey *survey, const struct coat_keys *keys,
                      struct coat_error *err)
{
    struct coat_arg args[] = {{"GET", 3}, {keys->record, keys->len}};
    struct coat_command get = {.args = args, .count = 2, .key = args[1]};
    return survey_ask(survey, &get, record_came, cli, err);
}

int cli_show(struct cli *cli, struct coat_error *err)
{
    return with_session(cli, show_found, err);
}

/* ---- destroy -------------------------------------------------------------------------------- */

/* Whose the record is, as it is now. */
struct owner {
    char principal[COAT_PRINCIPAL_MAX + 1]; /* "": nobody's */
};

static int read_owner(void *context, const struct coat_reply *reply, struct coat_error *err)
{
    struct owner *owner = context;
    struct coat_record record;
    if (reply->kind != COAT_REPLY_BULK)
        return coat_attempt_foreign(err);
    if (reply->len == 0)
        return 0;
    int rc = coat_record_parse(&record, reply->bytes, reply->len, err);
    if (rc < 0)
        return rc;
    coat_record_principal(&record, owner->principal);
    return 1;
}

static int find_owner(const struct survey *survey, const struct coat_keys *keys,
                      struct owner *owner, struct coat_error *err)
{
    struct coat_arg record = {keys->record, keys->len};
    struct coat_arg args[] = {{"GETRANGE", 8}, record, {"0", 1}, {"511", 3}};
    struct coat_command command = {.args = args, .count = 4, .key = record};
    *owner = (struct owner){0};
    return survey_ask(survey, &command, read_owner, owner, err);
}

/* 1: ended; 0: it is gone, or another principal's since. */
static int end(const struct survey *survey, const struct coat_keys *keys, const struct owner *owner,
               struct coat_error *err)
{
    struct coat_index_op *x;
    int rc = coat_index_op_new_member(&x, survey->store, owner->principal, keys, err);
    if (rc == 0)
        rc = coat_store_run(survey->store, coat_index_op(x), err);
    coat_index_op_free(x);
    return rc;
}

/* A login may give it a principal between the two; it has that for ever. */
static int destroy_found(struct cli *cli, const struct survey *survey, const struct coat_keys *keys,
                         struct coat_error *err)
{
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct owner owner;
        rc = find_owner(survey, keys, &owner, err);
        if (rc <= 0)
            return rc;
        rc = end(survey, keys, &owner, err);
    }
    if (rc == 1)
        output_fact_text(&cli->out, "destroyed", cli->args[0]);
    return rc;
}

int cli_destroy(struct cli *cli, struct coat_error *err)
{
    return with_session(cli, destroy_found, err);
}

/* ---- Those of a principal ------------------------------------------------------------------- */

/* What the option show names: device='x', seen=1. */
static int show_some(struct cli *cli, const struct coat_doc *doc, struct coat_error *err)
{
    struct coat_buf text = COAT_BUF_INIT;
    const char *name;
    const void *value;
    size_t at = 0, name_len, len;
    int rc = 0;
    while (rc == 0 && doc && coat_doc_next(doc, &at, &name, &name_len, &value, &len)) {
        rc = text.len ? coat_buf_append(&text, ", ", 2) : 0;
        if (rc == 0)
            rc = coat_buf_append(&text, name, name_len);
        if (rc == 0)
            rc = coat_buf_append(&text, "=", 1);
        if (rc == 0)
            rc = literal_append(&text, value, len);
    }
    output_bytes(&cli->out, text.len ? (const char *)text.bytes : "", text.len);
    coat_buf_release(&text);
    return rc < 0 ? coat_error_nomem(err) : 0;
}

int cli_list(struct cli *cli, struct coat_error *err)
{
    static const struct output_column columns[] = {
        {"public_id", 12}, {"created", 20}, {"deadline", 20}, {"shown", 0}};
    struct coat_session_list *list;
    char time[32];
    int rc = coat_store_sessions(cli->store, cli->args[0], &list, err);
    if (rc < 0)
        return cli_exit_of(rc);
    size_t count = coat_session_list_count(list);
    output_table(&cli->out, "sessions", columns, cli->store->options->show ? 4 : 3);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct coat_session_info *info = coat_session_list_get(list, i);
        output_text(&cli->out, info->public_id);
        output_text(&cli->out, output_time(info->created_ms, time));
        output_text(&cli->out, output_time(info->deadline_ms, time));
        if (cli->store->options->show)
            rc = show_some(cli, info->shown, err);
    }
    output_table_end(&cli->out);
    coat_session_list_free(list);
    if (rc == 0 && count == 0)
        coat_error_set(err, COAT_EGONE, "%s has no sessions under the prefix %s", cli->args[0],
                       cli->store->options->prefix);
    return rc < 0 ? cli_exit_of(rc) : count ? CLI_OK : CLI_NOT_FOUND;
}

int cli_destroy_all(struct cli *cli, struct coat_error *err)
{
    int lost = 0;
    int rc = coat_store_destroy_all(cli->store, cli->args[0], cli->keep, &lost, err);
    if (rc < 0)
        return cli_exit_of(rc);
    output_fact_number(&cli->out, "destroyed", rc);
    if (cli->keep)
        output_fact_text(&cli->out, "kept", lost ? NULL : cli->keep);
    return CLI_OK;
}
