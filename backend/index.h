/*
 * index.h: the index of a principal's sessions, as the operations on it see it: its key, its
 * members, and pipelines about these.
 *
 * A member is the `h` in a session's keys, its score the session's deadline and twice the bound on
 * clocks, so that no host holds the session for alive when the member is gone. Index and sessions
 * live on different nodes of a cluster, so each command touches one of them. Pipelines about many
 * members go piece by piece:
 *
 *     while ((rc = coat_index_probe(&x, err)) > 0)
 *         send x.attempt, take its replies;
 *         for (i = 0; i < x.piece_count; i++)
 *             replies[i] is about coat_index_member(&x, i)
 */
#ifndef COAT_BACKEND_INDEX_H
#define COAT_BACKEND_INDEX_H

#include "attempt.h"
#include "record.h"

struct coat_store;

enum {
    COAT_INDEX_PIECE = 256,     /* members that one pipeline is about, at most */
    COAT_INDEX_READ_MAX = 32768 /* members that are read at once, also by ENTER: what a reply may
                                   have of bytes (coat_store_reply_bytes) is enough for these */
};

struct coat_member {
    struct coat_arg name;
    int asked;    /* the pipelines to come are about it */
    int outdated; /* it can never again be a session of the principal: to be taken out */
};

/* A member that the present pipeline is about. */
struct coat_asked {
    size_t member;
    struct coat_keys keys; /* without tag */
};

/* All zero before coat_index_open, and after coat_index_release. */
struct coat_index {
    struct coat_attempt attempt;
    struct coat_store *store;
    struct coat_life *life; /* the caller's: of the operation that it is part of */
    struct coat_index_key key;
    unsigned char principal[COAT_PRINCIPAL_ITEM_MAX]; /* as it stands in records */
    size_t principal_len;
    char number[24]; /* an argument of all commands of a pipeline */

    struct coat_reply *reply;    /* the members' names lie in it */
    struct coat_member *members; /* the first to end first */
    size_t count;
    struct coat_asked *piece;
    size_t piece_count;
    size_t at; /* the first member after the piece */
};

/* principal: a valid one, copied. 0, COAT_ENOMEM. */
int coat_index_open(struct coat_index *x, struct coat_store *store, const char *principal,
                    struct coat_error *err);
void coat_index_release(struct coat_index *x);

/*
 * The members are those of this reply, an array of their names, and the pipelines to come are about
 * all of them. 0, COAT_EFOREIGN, COAT_ENOMEM.
 */
int coat_index_read(struct coat_index *x, const struct coat_reply *reply, struct coat_error *err);

/* The pipelines to come are about none of them, and begin at the first. */
void coat_index_ask_none(struct coat_index *x);

/*
 * A pipeline about the next members that are to be asked: is the record the principal's (its bytes
 * up to the end of that); end it unless it is another one's; so many bytes of it. What is no
 * session's name is outdated, and not asked. 1, 0: all were asked; COAT_ENOMEM.
 */
int coat_index_probe(struct coat_index *x, struct coat_error *err);
int coat_index_end(struct coat_index *x, enum coat_loss loss, struct coat_error *err);
int coat_index_peek(struct coat_index *x, size_t bytes, struct coat_error *err);
/* After that, a write on the node of each of the same members, for replicas to confirm. 1. */
int coat_index_mark(struct coat_index *x, struct coat_error *err);
/* The same as those before, but of one member alone: all of its record. */
int coat_index_fetch(struct coat_index *x, struct coat_error *err);

static inline struct coat_member *coat_index_member(const struct coat_index *x, size_t i)
{
    return &x->members[x->piece[i].member];
}

/* 1 if it can be a reply to END: 1 or 2 ended, 0 no record, -1 another principal's. */
int coat_index_is_end(const struct coat_reply *reply);

/* The member of the piece that a pipeline was about has been ended; reason: as in coat_life.h. */
void coat_index_note_ended(const struct coat_index *x, size_t i, const char *reason);

/* What a record has where principals stand: nobody's, or another one's? No bytes: no record. */
int coat_index_is_others(const struct coat_index *x, const char *bytes, size_t len);

/* Commands on the index: read its members from this rank on, take the outdated ones out. 0, ENOMEM.
 */
int coat_index_range(struct coat_index *x, int64_t from, struct coat_error *err);
int coat_index_sweep(struct coat_index *x, struct coat_error *err);

size_t coat_index_count_outdated(const struct coat_index *x);
/* The names of these, as arguments of the command under way. */
void coat_index_name_outdated(struct coat_index *x);

#endif
