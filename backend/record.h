/*
 * record.h: the record of a session, as it lies in Redis.
 *
 * It is one msgpack array,
 *
 *     [format, revisions, ids, created, deadline, tag, idle, principal, fields]
 *
 * whose first seven items have fixed widths, so that a script finds them by their offsets. Those
 * are the head. The principal (nil or text) and the fields (a dict) follow. docs/protocol.md says
 * what each part is for.
 */
#ifndef COAT_BACKEND_RECORD_H
#define COAT_BACKEND_RECORD_H

#include <stdint.h>

#include "coat_value.h"
#include "sid.h"

enum {
    COAT_FORMAT = 1,
    COAT_REVISION_LEN = 8,
    COAT_REVISIONS = 5, /* a record's own, then the 4 before it, newest first */
    COAT_PRINCIPAL_MAX = 255,
    COAT_HEAD_LEN = 119
};

/* All times, in records and out, stay below this: a double and a script hold them exactly. */
#define COAT_MS_MAX ((int64_t)1 << 53)

/* All hosts' clocks are assumed within this of true time. */
#define COAT_CLOCK_BOUND_MS ((int64_t)60000)

#define COAT_IDLE_MAX_S ((int64_t)INT32_MAX)

/* A time, or a sum of times, forced into 0 <= ms < COAT_MS_MAX. Both at most 2^62 in size. */
int64_t coat_ms_add(int64_t a, int64_t b);

/* Milliseconds of so many seconds, likewise. */
int64_t coat_ms_of_seconds(int64_t seconds);

/* Byte for byte what is stored, integers big-endian; the names in _item are the msgpack heads. */
struct coat_head {
    unsigned char array;
    unsigned char format;
    unsigned char revisions_item[2];
    unsigned char revisions[COAT_REVISIONS][COAT_REVISION_LEN];
    unsigned char ids_item[2];
    unsigned char current[COAT_HASH_LEN]; /* hash of the verifier that opens the record */
    unsigned char other[COAT_HASH_LEN];   /* of another one: see `until` */
    unsigned char until[8]; /* two bits, what the other is: 00 the previous one in its grace period
                               until a time, 10 dead since then, 11 offered since then; the rest
                               is that time. All zero: there is no other */
    unsigned char created_item[1];
    unsigned char created[8];
    unsigned char deadline_item[1];
    unsigned char deadline[8];
    unsigned char tag_item[2];
    unsigned char tag[COAT_TAG_LEN];
    unsigned char idle_item[1];
    unsigned char idle[4]; /* seconds; 0: until the deadline */
};

/* A record taken apart. The pointers are into the bytes that were read. */
struct coat_record {
    struct coat_head head;
    const char *principal; /* UTF-8 without NUL inside or after it; NULL: nobody is logged in */
    size_t principal_len;
    const unsigned char *fields; /* not yet checked: coat_doc_parse does that */
    size_t fields_len;
    size_t fields_at; /* their offset in the record */
};

/*
 * Take a record apart and check everything but the fields. 0; COAT_EFORMAT: of a newer format;
 * COAT_ECORRUPT: not a record, with the offset.
 */
int coat_record_parse(struct coat_record *record, const void *bytes, size_t len,
                      struct coat_error *err);

/* Its principal as text; "": nobody is logged in. */
void coat_record_principal(const struct coat_record *record, char to[COAT_PRINCIPAL_MAX + 1]);

/* 1 if it is this principal's ("": nobody's). */
int coat_record_is_of(const struct coat_record *record, const char *principal);

/* How long a record with this principal ("": none) and so many bytes of fields is. No overflow:
 * fields lie in memory. */
size_t coat_record_size(const char *principal, size_t fields_len);

/* Write head and principal; returns where the fields go. */
unsigned char *coat_record_write(unsigned char *to, const struct coat_head *head,
                                 const char *principal);

/* 1 if it can be a principal: UTF-8, 1 to 255 bytes. */
int coat_principal_valid(const char *principal);

/* A principal as it stands in records, which begins with its length: no other begins so. */
enum { COAT_PRINCIPAL_ITEM_MAX = 2 + COAT_PRINCIPAL_MAX };
size_t coat_principal_write(unsigned char to[COAT_PRINCIPAL_ITEM_MAX], const char *principal);
/* The text of what that has written. */
void coat_principal_read(const unsigned char *item, size_t len, char to[COAT_PRINCIPAL_MAX + 1]);

/* ---- The head ------------------------------------------------------------------------------ */

/* All but the revision: for a new record. */
void coat_head_init(struct coat_head *head, const unsigned char tag[COAT_TAG_LEN],
                    const unsigned char hash[COAT_HASH_LEN], int64_t created_ms,
                    int64_t deadline_ms, int64_t idle_s);

/* Put a new revision in front of the others; the oldest falls out. */
void coat_head_revise(struct coat_head *head, const unsigned char revision[COAT_REVISION_LEN]);

/* 1 if it is this revision, or was saved on top of it, four saves ago at most. */
int coat_head_knows(const struct coat_head *head, const unsigned char revision[COAT_REVISION_LEN]);

/* Replace the verifier at once: the one that was current is dead since now. */
void coat_head_rotate(struct coat_head *head, const unsigned char hash[COAT_HASH_LEN],
                      int64_t now_ms);

/* The other verifier, and what is known of it, for a renewal without any risk of a lost answer. */

/* 1 if a renewal may offer a verifier: no other one works, or it is an offer of a period ago; and
 * a period has passed since the record was created or its verifier last changed. */
int coat_head_may_offer(const struct coat_head *head, int64_t period_ms, int64_t now_ms);

/* Offer a verifier beside the current one, since now. */
void coat_head_offer(struct coat_head *head, const unsigned char hash[COAT_HASH_LEN],
                     int64_t now_ms);

/* 1 if this verifier is offered. */
int coat_head_offers(const struct coat_head *head, const unsigned char hash[COAT_HASH_LEN]);

/* It was used: it is the current one, and the one that was works until then. */
void coat_head_take_offer(struct coat_head *head, int64_t until_ms);

enum coat_opening {
    COAT_OPENS, /* the current verifier, or the other one while it is offered or in its grace */
    COAT_STALE, /* the other one, and it ended less than stale_ms ago (or, here, is yet to end) */
    COAT_DEAD   /* anything else */
};
/* What a verifier is to the record. The hashes are compared in constant time. */
enum coat_opening coat_head_opening(const struct coat_head *head,
                                    const unsigned char hash[COAT_HASH_LEN], int64_t now_ms,
                                    int64_t stale_ms);

int64_t coat_head_created_ms(const struct coat_head *head);
int64_t coat_head_deadline_ms(const struct coat_head *head);
int64_t coat_head_idle_s(const struct coat_head *head);
void coat_head_set_deadline_ms(struct coat_head *head, int64_t deadline_ms);
void coat_head_set_idle_s(struct coat_head *head, int64_t idle_s); /* forced into its range */

/* The TTL that a write at this time gives the record; 0: it has expired. */
int64_t coat_head_ttl_ms(const struct coat_head *head, int64_t now_ms);

#endif
