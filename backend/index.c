#include "index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "script.h"
#include "store.h"

/* ---- Opening and closing ------------------------------------------------------------------- */

int coat_index_open(struct coat_index *x, struct coat_store *store, const char *principal,
                    struct coat_error *err)
{
    x->store = store;
    x->principal_len = coat_principal_write(x->principal, principal);
    return coat_index_key_make(&x->key, store->options->prefix, principal, err);
}

static void forget_members(struct coat_index *x)
{
    free(x->reply);
    free(x->members);
    free(x->piece);
    x->reply = NULL;
    x->members = NULL;
    x->piece = NULL;
    x->count = x->piece_count = x->at = 0;
}

void coat_index_release(struct coat_index *x)
{
    coat_attempt_release(&x->attempt);
    forget_members(x);
    *x = (struct coat_index){0};
}

/* ---- Members ------------------------------------------------------------------------------- */

static int is_list_of_names(const struct coat_reply *reply)
{
    if (reply->kind != COAT_REPLY_ARRAY)
        return 0;
    for (size_t i = 0; i < reply->count; i++)
        if (reply->items[i].kind != COAT_REPLY_BULK)
            return 0;
    return 1;
}

/* Counts are those of a reply that is in memory, so no size overflows. */
static int make_room(struct coat_index *x, size_t count)
{
    size_t piece = count < COAT_INDEX_PIECE ? count : COAT_INDEX_PIECE;
    x->members = calloc(count + 1, sizeof *x->members);
    x->piece = calloc(piece + 1, sizeof *x->piece);
    return x->members && x->piece;
}

int coat_index_read(struct coat_index *x, const struct coat_reply *reply, struct coat_error *err)
{
    if (!is_list_of_names(reply))
        return coat_attempt_foreign(err);
    forget_members(x);
    x->reply = coat_reply_copy(reply);
    if (!x->reply || !make_room(x, reply->count)) {
        forget_members(x);
        return coat_error_nomem(err);
    }
    x->count = reply->count;
    for (size_t i = 0; i < x->count; i++)
        x->members[i] = (struct coat_member){
            .name = {x->reply->items[i].bytes, x->reply->items[i].len}, .asked = 1};
    return 0;
}

void coat_index_ask_none(struct coat_index *x)
{
    for (size_t i = 0; i < x->count; i++)
        x->members[i].asked = 0;
    x->at = 0;
}

size_t coat_index_count_outdated(const struct coat_index *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->count; i++)
        n += (size_t)x->members[i].outdated;
    return n;
}

void coat_index_name_outdated(struct coat_index *x)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->members[i].outdated)
            coat_attempt_arg(&x->attempt, x->members[i].name.bytes, x->members[i].name.len);
}

/* ---- Pipelines about members --------------------------------------------------------------- */

/* The next piece, of so many members at most. Its size; COAT_ENOMEM. */
static int take_piece(struct coat_index *x, size_t most, struct coat_error *err)
{
    x->piece_count = 0;
    while (x->at < x->count && x->piece_count < most) {
        struct coat_member *member = &x->members[x->at];
        struct coat_asked *asked = &x->piece[x->piece_count];
        asked->member = x->at++;
        if (!member->asked)
            continue;
        int rc = coat_keys_of_member(&asked->keys, x->store->options->prefix, member->name.bytes,
                                     member->name.len, err);
        if (rc < 0)
            return rc;
        member->outdated |= rc == 0;
        x->piece_count += rc > 0;
    }
    return (int)x->piece_count;
}

/* The same, and an attempt with room for a command of so many arguments about each. 1, 0, ENOMEM.
 */
static int begin_piece(struct coat_index *x, enum coat_loss loss, size_t most, size_t args,
                       struct coat_error *err)
{
    int count = take_piece(x, most, err);
    if (count <= 0)
        return count;
    int rc = coat_attempt_reserve(&x->attempt, x->piece_count, x->piece_count * args, err);
    coat_attempt_begin(&x->attempt, loss, NULL, 0);
    return rc < 0 ? rc : 1;
}

int coat_index_peek(struct coat_index *x, size_t bytes, struct coat_error *err)
{
    snprintf(x->number, sizeof x->number, "%zu", bytes - 1);
    int rc = begin_piece(x, COAT_LOSS_FAILS, COAT_INDEX_PIECE, 4, err);
    for (size_t i = 0; rc > 0 && i < x->piece_count; i++) {
        const struct coat_keys *keys = &x->piece[i].keys;
        coat_attempt_key(&x->attempt, keys->record, keys->len);
        coat_attempt_command(&x->attempt, "GETRANGE");
        coat_attempt_arg(&x->attempt, keys->record, keys->len);
        coat_attempt_word(&x->attempt, "0");
        coat_attempt_word(&x->attempt, x->number);
    }
    return rc;
}

int coat_index_probe(struct coat_index *x, struct coat_error *err)
{
    return coat_index_peek(x, COAT_HEAD_LEN + x->principal_len, err);
}

int coat_index_fetch(struct coat_index *x, struct coat_error *err)
{
    int rc = begin_piece(x, COAT_LOSS_FAILS, 1, 2, err);
    if (rc <= 0)
        return rc;
    coat_attempt_key(&x->attempt, x->piece->keys.record, x->piece->keys.len);
    coat_attempt_command(&x->attempt, "GET");
    coat_attempt_arg(&x->attempt, x->piece->keys.record, x->piece->keys.len);
    return 1;
}

int coat_index_end(struct coat_index *x, enum coat_loss loss, struct coat_error *err)
{
    int rc = begin_piece(x, loss, COAT_INDEX_PIECE, 6, err);
    for (size_t i = 0; rc > 0 && i < x->piece_count; i++) {
        const struct coat_keys *keys = &x->piece[i].keys;
        coat_attempt_key(&x->attempt, keys->record, keys->len);
        coat_attempt_script(&x->attempt, &coat_script_end, keys);
        coat_attempt_arg(&x->attempt, x->principal, x->principal_len);
    }
    return rc;
}

int coat_index_mark(struct coat_index *x, struct coat_error *err)
{
    int rc = coat_attempt_reserve(&x->attempt, x->piece_count, 5 * x->piece_count, err);
    coat_attempt_begin(&x->attempt, COAT_LOSS_UNCERTAIN, NULL, 0);
    for (size_t i = 0; rc == 0 && i < x->piece_count; i++)
        coat_attempt_mark(&x->attempt, &x->piece[i].keys, x->store->options->confirm);
    return rc < 0 ? rc : 1;
}

int coat_index_is_end(const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_INTEGER && -1 <= reply->integer && reply->integer <= 2;
}

void coat_index_note_ended(const struct coat_index *x, size_t i, const char *reason)
{
    char principal[COAT_PRINCIPAL_MAX + 1];
    coat_principal_read(x->principal, x->principal_len, principal);
    coat_life_note(x->life, x->store, COAT_LIFE_DESTROYED, x->piece[i].keys.public_id, principal,
                   reason);
}

int coat_index_is_others(const struct coat_index *x, const char *bytes, size_t len)
{
    static const char NOBODY = (char)0xc0;
    int is_ours = len == x->principal_len && memcmp(bytes, x->principal, len) == 0;
    return len > 0 && !is_ours && bytes[0] != NOBODY;
}

/* ---- Commands on the index ----------------------------------------------------------------- */

static int begin_command(struct coat_index *x, size_t args, const char *name,
                         struct coat_error *err)
{
    int rc = coat_attempt_reserve(&x->attempt, 1, args, err);
    if (rc < 0)
        return rc;
    coat_attempt_begin(&x->attempt, COAT_LOSS_FAILS, x->key.bytes, x->key.len);
    coat_attempt_command(&x->attempt, name);
    coat_attempt_arg(&x->attempt, x->key.bytes, x->key.len);
    return 0;
}

int coat_index_range(struct coat_index *x, int64_t from, struct coat_error *err)
{
    int rc = begin_command(x, 4, "ZRANGE", err);
    if (rc < 0)
        return rc;
    coat_attempt_number(&x->attempt, from);
    coat_attempt_number(&x->attempt, from + COAT_INDEX_READ_MAX - 1);
    return 0;
}

int coat_index_sweep(struct coat_index *x, struct coat_error *err)
{
    int rc = begin_command(x, 2 + coat_index_count_outdated(x), "ZREM", err);
    if (rc < 0)
        return rc;
    coat_index_name_outdated(x);
    return 0;
}
