/* session.h: the state of a session, and what its operations share. */
#ifndef COAT_BACKEND_SESSION_H
#define COAT_BACKEND_SESSION_H

#include "api/buf.h"
#include "api/doc.h"
#include "attempt.h"
#include "coat_session.h"
#include "merge.h"
#include "record.h"
#include "room.h"
#include "store.h"

enum coat_session_state {
    COAT_SESSION_UNLOADED, /* has an id; whether that opens anything is not known */
    COAT_SESSION_NEW,      /* not stored */
    COAT_SESSION_STALE,    /* not stored, and only a login stores it: see coat_store_load */
    COAT_SESSION_STORED
};

/* What the next save is to do besides writing changed fields. */
struct coat_pending {
    char login[COAT_PRINCIPAL_MAX + 1]; /* principal, or "" */
    struct coat_doc *carry;             /* the names that a login lets through; NULL: all */
    int rotate;
    int64_t idle_s; /* or -1: as it is */
};

/* Its lock: op_lock.c. */
struct coat_lock_of_session {
    unsigned char token[16];
    int held;
    int phase, losses, rc;
    int64_t wait_ms;       /* that the last wait took at most */
    struct coat_error why; /* the caller's: why it was not loaded, while the lock is given back */
};

/*
 * What an operation under way has of its own. The session changes only when it has succeeded, so
 * that a failed or abandoned one leaves it as it was.
 */
struct coat_work {
    int phase;
    struct coat_attempt attempt;
    unsigned char hash[COAT_HASH_LEN]; /* of the verifier that the session is held with */
    struct coat_doc *doc;              /* what the session's document is to become, or NULL */
    int64_t ttl_ms;                    /* that the attempt gives the key */
    int64_t asked_ms;                  /* when it did: the earliest that this TTL counts from */
    int rc; /* the result, while LOAD repairs a TTL, DESTROY tidies the index */

    /* DESTROY */
    struct coat_index_key index; /* that the session is to leave */
    int joins;                   /* in the script that deletes the record, not after it */

    /* SAVE */
    struct coat_sid sid; /* the id that this save gives it */
    struct coat_keys keys;
    int created;            /* it is new, or that of a session to take the place of one gone */
    int64_t deadline_ms;    /* that a login gives it */
    struct coat_room *room; /* a login's place in the index, or NULL */
    unsigned char new_hash[COAT_HASH_LEN];
    struct coat_head base; /* what the attempt was computed from, and can only land on */
    struct coat_head next; /* what it writes */
    struct coat_buf record;
    unsigned char mine[COAT_REVISIONS][COAT_REVISION_LEN]; /* my newest revisions */
    size_t tries;
    struct coat_conflicts conflicts;
    int draws;       /* a new id was drawn, for a login, a rotation or an offer */
    int offers;      /* the attempt offers it */
    int takes_offer; /* the attempt is the first use of an id that was offered */
    int starts_over; /* where another has saved meanwhile, in place of merging: COAT_OP_UPDATE */
};

struct coat_session {
    struct coat_op op; /* first, so that the one leads to the other */
    struct coat_work work;
    struct coat_store *store;
    enum coat_session_state state;

    /* UNLOADED, STORED */
    struct coat_sid sid;
    struct coat_keys keys;
    char id[COAT_SID_LEN + 1];

    /* STORED */
    struct coat_head head;                  /* as it was last read or written */
    char principal[COAT_PRINCIPAL_MAX + 1]; /* or "" */
    int64_t left_ms, left_at_ms;            /* the TTL that the key had, and when */

    struct coat_doc *doc; /* all but UNLOADED */
    struct coat_pending pending;
    struct coat_lock_of_session lock;
    int uses_offer;       /* loaded with an id that a renewal has offered: its first use */
    int merged;           /* the last save was: coat_session_merged */
    int heals;            /* the save under way enters the index as well: op_save.c */
    int64_t contended_ms; /* when an update first had to start over, of the monotonic clock; or 0 */
    int unsure; /* a save was sent, and it is not known whether it landed, nor surely not */
};

static inline struct coat_session *coat_session_of(struct coat_op *op)
{
    return (struct coat_session *)op;
}

/* ---- The operations, each in its op_*.c ----------------------------------------------------- */

void coat_load_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err);
void coat_save_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err);
void coat_destroy_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                       struct coat_error *err);

void coat_lock_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                    struct coat_error *err);
void coat_unlock_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err);

/* ---- What they share ------------------------------------------------------------------------ */

/* The operation is over. Frees and wipes its work, counts a record that was not one. */
void coat_session_done(struct coat_session *s, struct coat_step *step, int rc);

/* Something has happened to it, as it is now; reason: a word, or NULL. */
void coat_session_note(struct coat_session *s, enum coat_life_kind kind, const char *reason);

/* Not stored, or not any more: wipes the id; its fields become `doc`, owned from now on. */
void coat_session_reset(struct coat_session *s, enum coat_session_state state,
                        struct coat_doc *doc);

/* Stored: this is what Redis holds, under the id that it has. principal: "" for nobody; copied.
 * doc: owned from now on. */
void coat_session_adopt(struct coat_session *s, const struct coat_head *head, const char *principal,
                        struct coat_doc *doc);

/* Send PEXPIRE; work->ttl_ms and asked_ms are for coat_session_note_ttl when it was answered. */
void coat_session_expire(struct coat_session *s, int64_t ttl_ms, int64_t now_ms,
                         struct coat_step *step);

/* The key has this TTL at this time. */
void coat_session_note_ttl(struct coat_session *s, int64_t ttl_ms, int64_t at_ms);

/* From now on it has this id. */
void coat_session_identify(struct coat_session *s, const struct coat_sid *sid,
                           const struct coat_keys *keys);

/*
 * The idle timeout that a record with this one gets: another one where somebody logs in to a
 * session that had that of visitors.
 */
int64_t coat_session_idle_after(const struct coat_session *s, int64_t idle_s);

/* 1 if it was created before the option not_before: no host with that option can load it. */
int coat_session_too_old(const struct coat_store *store, const struct coat_head *head);

/* Why the session of a record has ended, whatever the TTL of its key says: a word of coat_life.h;
 * NULL: it has not. */
const char *coat_session_over(const struct coat_store *store, const struct coat_head *head,
                              int64_t now_ms);

/* An empty document within the limits of the store, owned by the caller. */
int coat_session_empty_doc(const struct coat_session *s, struct coat_doc **doc,
                           struct coat_error *err);

/*
 * A record that the server sent for this session, taken apart and its tag compared; its fields as
 * a document, owned by the caller. As coat_record_parse and coat_doc_parse, or COAT_EFOREIGN.
 */
int coat_session_read_record(const struct coat_session *s, const struct coat_reply *reply,
                             struct coat_record *record, struct coat_error *err);
int coat_session_read_fields(const struct coat_session *s, const struct coat_record *record,
                             struct coat_doc **doc, struct coat_error *err);

#endif
