/*
 * The sessions of a principal: list them, end one, end all. What has ended leaves the index last,
 * and whether that succeeds changes no result: the next list, or a login that needs room, sees to
 * what is left.
 */
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "index.h"
#include "merge.h"
#include "session.h"

enum { READING, PEEKING, FETCHING, ENDING, MARKING, SWEEPING };

/*
 * A list reads so much of each record at first, which a pipeline's replies have room for, and is
 * all of most; without fields to show, the part that comes before them.
 */
enum { PEEK = 4096, PEEK_HEAD = COAT_HEAD_LEN + COAT_PRINCIPAL_ITEM_MAX };

struct coat_session_list {
    size_t count;
    struct coat_session_info infos[];
};

struct coat_index_op {
    struct coat_op op;
    struct coat_store *store;
    enum coat_index_do what;
    char principal[COAT_PRINCIPAL_MAX + 1];
    char public_id[COAT_PUBLIC_ID_LEN + 1]; /* to be ended, or kept; "": none */
    char member[COAT_H_LEN];                /* to be ended; all zero: it is looked for */
    struct coat_index index;
    int phase;
    int found; /* the session with that public id */
    int read_again;
    int64_t from; /* the rank of the first member that was read */
    int rc;
    struct coat_doc *show;          /* the names of the fields to show, or NULL */
    struct coat_session_list *list; /* one for each member, until it is done */
};

/* ---- Making it ----------------------------------------------------------------------------- */

/* The option's names as a document, as coat_merge_drop wants them. */
static int read_show(struct coat_index_op *x, const char *names, struct coat_error *err)
{
    static const unsigned char NIL = 0xc0;
    int rc = coat_doc_new(&x->show, NULL, err);
    while (rc == 0 && *names) {
        size_t len = strcspn(names, ",");
        rc = coat_doc_set(x->show, names, len, &NIL, 1, err);
        names += len + (names[len] == ',');
    }
    return rc;
}

static int check(const char *principal, const char *keep, struct coat_error *err)
{
    if (!coat_principal_valid(principal))
        return coat_error_set(err, COAT_EUSAGE, "a principal is UTF-8 text of 1 to %d bytes",
                              COAT_PRINCIPAL_MAX);
    if (keep && strlen(keep) != COAT_PUBLIC_ID_LEN)
        return coat_error_set(err, COAT_EUSAGE,
                              "the session to keep is named by its public id, %d characters",
                              COAT_PUBLIC_ID_LEN);
    return 0;
}

static int make(struct coat_index_op **out, struct coat_store *store, enum coat_index_do what,
                const char *principal, struct coat_error *err)
{
    struct coat_index_op *x = calloc(1, sizeof *x);
    *out = NULL;
    if (!x)
        return coat_error_nomem(err);
    x->store = store;
    x->what = what;
    memcpy(x->principal, principal, strlen(principal));
    int rc = coat_index_open(&x->index, store, principal, err);
    if (rc == 0 && what == COAT_INDEX_LIST && store->options->show)
        rc = read_show(x, store->options->show, err);
    if (rc < 0) {
        coat_index_op_free(x);
        return rc;
    }
    *out = x;
    return 0;
}

int coat_index_op_new(struct coat_index_op **out, struct coat_store *store, enum coat_index_do what,
                      const char *principal, const char *public_id, struct coat_error *err)
{
    *out = NULL;
    int rc = check(principal, what == COAT_INDEX_END_ALL ? public_id : NULL, err);
    if (rc == 0)
        rc = make(out, store, what, principal, err);
    if (rc < 0)
        return rc;
    if (public_id && strlen(public_id) == COAT_PUBLIC_ID_LEN)
        memcpy((*out)->public_id, public_id, COAT_PUBLIC_ID_LEN);
    return 0;
}

int coat_index_op_new_member(struct coat_index_op **out, struct coat_store *store,
                             const char *principal, const struct coat_keys *keys,
                             struct coat_error *err)
{
    int rc = make(out, store, COAT_INDEX_END_ONE, principal, err);
    if (rc == 0)
        memcpy((*out)->member, coat_keys_member(keys), COAT_H_LEN);
    return rc;
}

void coat_index_op_free(struct coat_index_op *x)
{
    if (!x)
        return;
    coat_index_release(&x->index);
    coat_doc_free(x->show);
    coat_session_list_free(x->list);
    coat_life_drop(&x->op.life);
    free(x);
}

int coat_index_op_lost(const struct coat_index_op *x)
{
    return x->what == COAT_INDEX_END_ALL && x->public_id[0] && !x->found;
}

struct coat_session_list *coat_index_op_list(struct coat_index_op *x)
{
    struct coat_session_list *list = x->list;
    x->list = NULL;
    return list;
}

/* ---- Steps that both have ------------------------------------------------------------------ */

static void done(struct coat_index_op *x, struct coat_step *step, int rc)
{
    if (rc == COAT_ECORRUPT)
        coat_store_note(x->store, COAT_COUNT_CORRUPT);
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
}

static void send(struct coat_index_op *x, int phase, struct coat_step *step)
{
    x->phase = phase;
    coat_attempt_send(&x->index.attempt, step);
}

static void read_members(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    int rc = coat_index_range(&x->index, x->from, err);
    if (rc < 0)
        done(x, step, rc);
    else
        send(x, READING, step);
}

/* The index may have more members than were read at once. */
static int may_go_on(const struct coat_index_op *x)
{
    return x->index.count == COAT_INDEX_READ_MAX;
}

/* Only what leaves the index makes way for the others that are to be ended. */
static int must_sweep(const struct coat_index_op *x)
{
    return x->what == COAT_INDEX_END_ALL && may_go_on(x);
}

/* Otherwise what was found out about the members stands, also where this fails. */
static void sweep(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    int outdated = x->principal[0] && coat_index_count_outdated(&x->index) > 0;
    int rc = outdated ? coat_index_sweep(&x->index, must_sweep(x) ? err : NULL) : 0;
    if (outdated && rc == 0)
        send(x, SWEEPING, step);
    else
        done(x, step, must_sweep(x) && rc < 0 ? rc : x->rc);
}

/* ---- List ---------------------------------------------------------------------------------- */

static int make_list(struct coat_index_op *x, struct coat_error *err)
{
    size_t size = x->index.count * sizeof x->list->infos[0]; /* no more than resp.h lets through */
    x->list = calloc(1, sizeof *x->list + size);
    if (!x->list)
        return coat_error_nomem(err);
    x->list->count = x->index.count;
    return 0;
}

void coat_session_list_free(struct coat_session_list *list)
{
    for (size_t i = 0; list && i < list->count; i++)
        coat_doc_free((struct coat_doc *)list->infos[i].shown);
    free(list);
}

size_t coat_session_list_count(const struct coat_session_list *list)
{
    return list->count;
}

const struct coat_session_info *coat_session_list_get(const struct coat_session_list *list,
                                                      size_t n)
{
    return n < list->count ? &list->infos[n] : NULL;
}

/* Of members that are no sessions nothing is left. */
static void close_ranks(struct coat_session_list *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->infos[i].public_id[0])
            list->infos[n++] = list->infos[i];
    list->count = n;
}

/* The next records to be read; first the beginning of each, then the longer ones. */
static void read_on(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    struct coat_index *index = &x->index;
    int rc = x->phase == FETCHING ? 0 : coat_index_peek(index, x->show ? PEEK : PEEK_HEAD, err);
    if (rc > 0) {
        send(x, PEEKING, step);
        return;
    }
    if (rc == 0 && x->phase != FETCHING)
        index->at = 0;
    if (rc == 0)
        rc = coat_index_fetch(index, err);
    if (rc > 0) {
        send(x, FETCHING, step);
        return;
    }
    if (rc < 0) {
        done(x, step, rc);
        return;
    }
    close_ranks(x->list);
    sweep(x, step, err);
}

static void note_corrupt(struct coat_index_op *x, size_t i)
{
    coat_store_note(x->store, COAT_COUNT_CORRUPT);
    coat_life_note(&x->op.life, x->store, COAT_LIFE_CORRUPT, x->index.piece[i].keys.public_id,
                   x->principal, NULL);
}

/* The fields to show. What is wrong with the others is no reason to hide a session. */
static int show_fields(struct coat_index_op *x, size_t i, const struct coat_record *record,
                       struct coat_error *err)
{
    struct coat_session_info *info = &x->list->infos[x->index.piece[i].member];
    struct coat_doc *doc;
    int rc =
        coat_doc_parse(&doc, record->fields, record->fields_len, &x->store->options->limits, err);
    if (rc == COAT_ENOMEM)
        return rc;
    if (rc < 0) {
        note_corrupt(x, i);
        return 0;
    }
    info->shown = doc;
    return coat_merge_drop(doc, x->show, err);
}

static int is_theirs(const struct coat_index_op *x, const struct coat_record *record,
                     int64_t now_ms)
{
    return coat_record_is_of(record, x->principal) &&
           !coat_session_over(x->store, &record->head, now_ms);
}

/* A record, or as much of it as was asked for. 0, or why the list cannot be made. */
static int look(struct coat_index_op *x, size_t i, const struct coat_reply *reply, int64_t now_ms,
                struct coat_error *err)
{
    struct coat_member *member = coat_index_member(&x->index, i);
    struct coat_session_info *info = &x->list->infos[x->index.piece[i].member];
    struct coat_record record;
    member->asked = 0;
    if (reply->kind != COAT_REPLY_BULK && (x->phase != FETCHING || reply->kind != COAT_REPLY_NIL))
        return coat_attempt_foreign(err);
    if (reply->kind == COAT_REPLY_NIL || reply->len == 0) {
        member->outdated = 1;
        return 0;
    }
    int rc = coat_record_parse(&record, reply->bytes, reply->len, err);
    if (rc == COAT_ECORRUPT)
        note_corrupt(x, i);
    if (rc < 0)
        return rc == COAT_ECORRUPT ? 0 : rc;
    if (!is_theirs(x, &record, now_ms))
        return 0;
    if (x->show && x->phase == PEEKING && reply->len == PEEK) {
        member->asked = 1; /* for the rest of it */
        return 0;
    }
    memcpy(info->public_id, x->index.piece[i].keys.public_id, sizeof info->public_id);
    info->created_ms = coat_head_created_ms(&record.head);
    info->deadline_ms = coat_head_deadline_ms(&record.head);
    return x->show ? show_fields(x, i, &record, err) : 0;
}

static void records_came(struct coat_index_op *x, const struct coat_event *event,
                         struct coat_step *step, struct coat_error *err)
{
    for (size_t i = 0; i < x->index.piece_count; i++) {
        int rc = look(x, i, &event->replies[i], coat_ms_add(event->now_ms, 0), err);
        if (rc < 0) {
            done(x, step, rc);
            return;
        }
    }
    read_on(x, step, err);
}

/* ---- End ----------------------------------------------------------------------------------- */

static void end_on(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    int rc = coat_index_end(&x->index, COAT_LOSS_UNCERTAIN, err);
    coat_attempt_confirm(&x->index.attempt, x->store->options->confirm);
    if (rc > 0)
        send(x, ENDING, step);
    else if (rc < 0)
        done(x, step, rc);
    else
        sweep(x, step, err);
}

/* The one that was named: as if the index had said so. */
static void end_member(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    struct coat_reply name = {.kind = COAT_REPLY_BULK, .bytes = x->member, .len = COAT_H_LEN};
    struct coat_reply members = {.kind = COAT_REPLY_ARRAY, .items = &name, .count = 1};
    int rc = coat_index_read(&x->index, &members, err);
    if (rc < 0)
        done(x, step, rc);
    else
        end_on(x, step, err);
}

/* Asked for is the one with the public id, or all but that one. */
static int choose(struct coat_index_op *x, struct coat_error *err)
{
    struct coat_index *index = &x->index;
    struct coat_keys keys;
    if (!x->public_id[0])
        return 0;
    for (size_t i = 0; i < index->count; i++) {
        struct coat_member *member = &index->members[i];
        int rc = coat_keys_of_member(&keys, x->store->options->prefix, member->name.bytes,
                                     member->name.len, err);
        if (rc < 0)
            return rc;
        int is_it = rc > 0 && strcmp(keys.public_id, x->public_id) == 0;
        x->found |= is_it;
        member->asked = is_it == (x->what == COAT_INDEX_END_ONE);
    }
    return 0;
}

/* A session that was gone after a repeat has most likely been ended by the send before. */
static void ends_came(struct coat_index_op *x, const struct coat_event *event,
                      struct coat_step *step, struct coat_error *err)
{
    int missing = 0;
    for (size_t i = 0; i < x->index.piece_count; i++) {
        const struct coat_reply *reply = &event->replies[i];
        if (!coat_index_is_end(reply)) {
            done(x, step, coat_attempt_foreign(err));
            return;
        }
        if (reply->integer > 0 || (reply->integer == 0 && x->index.attempt.unclear)) {
            x->rc++;
            coat_index_note_ended(&x->index, i,
                                  x->what == COAT_INDEX_END_ONE ? "destroy_one" : "destroy_all");
        }
        coat_index_member(&x->index, i)->outdated = 1;
        missing |= reply->integer == 0;
    }
    int rc = coat_attempt_confirmed(&x->index.attempt, event, err);
    if (rc == 0 && missing && x->store->options->confirm > 0)
        rc = coat_index_mark(&x->index, err);
    if (rc < 0)
        done(x, step, rc);
    else if (rc > 0)
        send(x, MARKING, step);
    else
        end_on(x, step, err);
}

/* What had ended before is known to the replicas, too. */
static void marks_came(struct coat_index_op *x, const struct coat_event *event,
                       struct coat_step *step, struct coat_error *err)
{
    int rc = coat_attempt_confirmed(&x->index.attempt, event, err);
    if (rc < 0)
        done(x, step, rc);
    else
        end_on(x, step, err);
}

/* ---- The operation ------------------------------------------------------------------------- */

/*
 * What is no session's name was put there by somebody else, or is bytes that went astray on their
 * way; then the connection is not in step, which the next reply shows.
 */
static int must_read_again(struct coat_index_op *x)
{
    int strange = 0;
    for (size_t i = 0; !strange && i < x->index.count; i++)
        strange = !coat_is_member(x->index.members[i].name.bytes, x->index.members[i].name.len);
    return strange && !x->read_again++;
}

/* Some that were read may leave the index meanwhile, and the ranks of the others change. */
static void read_next(struct coat_index_op *x, struct coat_step *step, struct coat_error *err)
{
    enum { READ_TWICE = 1024 };
    x->from += COAT_INDEX_READ_MAX - READ_TWICE;
    read_members(x, step, err);
}

static void members_came(struct coat_index_op *x, const struct coat_event *event,
                         struct coat_step *step, struct coat_error *err)
{
    int rc = coat_index_read(&x->index, event->replies, err);
    if (rc == 0 && must_read_again(x)) {
        read_members(x, step, err);
        return;
    }
    if (rc == 0)
        rc = x->what == COAT_INDEX_LIST ? make_list(x, err) : choose(x, err);
    if (rc < 0)
        done(x, step, rc);
    else if (x->what == COAT_INDEX_END_ONE && !x->found && may_go_on(x))
        read_next(x, step, err);
    else if (x->what == COAT_INDEX_LIST)
        read_on(x, step, err);
    else
        end_on(x, step, err);
}

static void swept(struct coat_index_op *x, int rc, struct coat_step *step, struct coat_error *err)
{
    if (rc > 0 && must_sweep(x)) {
        read_members(x, step, err);
        return;
    }
    done(x, step, must_sweep(x) ? rc : x->rc);
    step->close = rc == COAT_EFOREIGN;
}

static void take(struct coat_index_op *x, const struct coat_event *event, struct coat_step *step,
                 struct coat_error *err)
{
    int sweeping = x->phase == SWEEPING;
    int quiet = sweeping && !must_sweep(x);
    int rc = coat_attempt_take(&x->index.attempt, event, step, quiet ? NULL : err);
    if (rc == 0)
        return;
    if (sweeping)
        swept(x, rc, step, err);
    else if (rc < 0)
        done(x, step, rc);
    else if (x->phase == READING)
        members_came(x, event, step, err);
    else if (x->phase == ENDING)
        ends_came(x, event, step, err);
    else if (x->phase == MARKING)
        marks_came(x, event, step, err);
    else
        records_came(x, event, step, err);
}

static void step_index(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err)
{
    struct coat_index_op *x = (struct coat_index_op *)op;
    if (event->kind != COAT_EVENT_START)
        take(x, event, step, err);
    else if (x->member[0])
        end_member(x, step, err);
    else if (x->what == COAT_INDEX_END_ONE && !x->public_id[0])
        done(x, step, 0);
    else
        read_members(x, step, err);
}

struct coat_op *coat_index_op(struct coat_index_op *x)
{
    static const enum coat_op_kind KINDS[] = {[COAT_INDEX_LIST] = COAT_KIND_LIST,
                                              [COAT_INDEX_END_ONE] = COAT_KIND_DESTROY_ONE,
                                              [COAT_INDEX_END_ALL] = COAT_KIND_DESTROY_ALL};
    x->op = (struct coat_op){.step = step_index, .kind = KINDS[x->what]};
    x->index.life = &x->op.life;
    return &x->op;
}
